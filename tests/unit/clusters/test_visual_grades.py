import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.anatomy.acpc import Frame
from pvs_bidsapp.clusters import visual_grades


@pytest.mark.parametrize(
    ('count', 'grade'), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (40, 3), (41, 4)]
)
def test_potter(count, grade):
    assert visual_grades.potter(count) == grade


def test_zhu():
    assert [visual_grades.zhu_basal_ganglia(n) for n in (0, 4, 5, 10, 11, 26)] == [1, 1, 2, 2, 3, 4]
    assert [visual_grades.zhu_white_matter(*p) for p in ((9, 9), (12, 8), (40, 11), (90, 21))] == [1, 2, 3, 4]


FRAME = Frame(origin=np.zeros(3), axes=np.eye(3))


def table_of(regions):
    """A cluster table of which only the regions are known: pairs of name and hemisphere."""
    names, sides = zip(*regions, strict=True)
    return pd.DataFrame({'index': range(1, len(names) + 1), 'region': names, 'hemisphere': sides})


def test_grades_count_the_worst_section_of_a_hemisphere():
    clusters = np.zeros((60, 30, 10), np.int32)
    clusters[2:26:2, 4, 5] = np.arange(1, 13)  # twelve on the left, in one section
    clusters[30:46:2, 4, 5] = np.arange(13, 21)  # eight on the right, in the same
    clusters[2:12:2, 20, 2] = np.arange(21, 26)  # five more on the left, elsewhere
    sides = ['left'] * 12 + ['right'] * 8 + ['left'] * 5
    table = table_of([('lentiform nucleus', side) for side in sides])
    grades = visual_grades.estimate_grades(clusters, table, np.eye(4), FRAME)
    potter, zhu = grades['potter_basal_ganglia'], grades['zhu_basal_ganglia']
    assert (potter.value, potter.count, potter.hemisphere, potter.height) == (2, 12, 'left', 5.0)
    assert (zhu.value, zhu.count, zhu.hemisphere) == (3, 20, 'both')
    none = grades['potter_midbrain']
    assert (none.value, none.count, none.height) == (0, 0, None)


def test_a_space_counts_in_each_section_that_it_crosses_but_once():
    clusters = np.zeros((9, 9, 9), np.int32)
    clusters[4, 4, :] = 1
    clusters[4, 5:8, 3] = 1
    clusters[1, 1, 3] = 2
    table = table_of([('deep white matter frontal', 'left')] * 2)
    grade = visual_grades.estimate_grades(clusters, table, np.eye(4), FRAME)['potter_centrum_semiovale']
    assert (grade.count, grade.height) == (2, 3.0)


def test_what_lies_apart_in_a_section_counts_apart():
    """Three spaces that meet above the section with most of them are one cluster, and are seen as three."""
    clusters = np.zeros((20, 9, 9), np.int32)
    for x in (4, 8, 12):
        clusters[x, 4, :6] = 1
    clusters[4:13, 4, 6] = 1
    clusters[18, 4, 2] = 2
    table = table_of([('lentiform nucleus', 'left')] * 2)
    grade = visual_grades.estimate_grades(clusters, table, np.eye(4), FRAME)['potter_basal_ganglia']
    assert (grade.count, grade.height) == (4, 2.0)


@pytest.mark.parametrize(('sides', 'expected'), [((3, 0.9, 0.9), 1), ((0.9, 0.9, 3), 3), ((1, 1, 1), 1)])
def test_sections_are_as_thick_as_voxels_are_high(sides, expected):
    assert visual_grades.section_thickness(np.diag([*sides, 1]), FRAME) == expected


def test_sections_follow_the_frame_not_the_voxels():
    """Spaces that lie in one section of a head that was scanned at an angle."""
    angle = np.radians(20)
    tilted = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
    clusters = np.zeros((40, 60, 60), np.int32)
    for number, y in enumerate(range(5, 55, 5), start=1):
        clusters[20, y, 30 + round((y - 30) * np.tan(angle))] = number
    table = table_of([('deep white matter frontal', 'left')] * 10)
    affine = np.eye(4)
    affine[:3, 3] = (-20, -30, -30)
    frame = Frame(origin=np.zeros(3), axes=tilted)
    grades = visual_grades.estimate_grades(clusters, table, affine, frame)
    straight = visual_grades.estimate_grades(clusters, table, affine, FRAME)
    assert grades['potter_centrum_semiovale'].count >= 8
    assert straight['potter_centrum_semiovale'].count == 1
