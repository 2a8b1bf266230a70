import numpy as np
import pytest

from pvs_bidsapp.clusters import visual_grades


@pytest.mark.parametrize(
    ('count', 'grade'), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (40, 3), (41, 4)]
)
def test_potter(count, grade):
    assert visual_grades.potter(count) == grade


def test_zhu():
    assert [visual_grades.zhu_basal_ganglia(n) for n in (0, 4, 5, 10, 11, 26)] == [1, 1, 2, 2, 3, 4]
    assert [visual_grades.zhu_white_matter(*p) for p in ((9, 9), (12, 8), (40, 11), (90, 21))] == [1, 2, 3, 4]


def test_grades_count_spots_of_the_worst_section_not_clusters():
    clusters, regions = np.zeros((2, 30, 30, 10), np.int32)
    regions[:] = 21
    clusters[2:28:3, 4, 5] = np.arange(1, 10)  # nine spots in one section
    clusters[2:28:3, 20, 5] = np.arange(10, 19)  # and nine more
    clusters[2, 4, :] = 1  # one of them runs through all sections
    grades = visual_grades.estimate_grades(clusters, regions, np.eye(4))
    assert grades['potter_basal_ganglia'] == 2
    assert grades['zhu_basal_ganglia'] == 3
    assert grades['potter_midbrain'] == 0
