"""The sections of the estimated grades: the right place of the head, with and without outlines."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pvs_bidsapp.anatomy.acpc import Frame
from pvs_bidsapp.anatomy.regions import indices_of
from pvs_bidsapp.clusters.visual_grades import GRADES, Grade
from pvs_bidsapp.reports.sections import draw_grades

FRAME = Frame(origin=np.zeros(3), axes=np.eye(3))
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
AFFINE[:3, 3] = (-80, -120, -50)
NONE = Grade(value=0, count=0, hemisphere='both', height=None)


@pytest.fixture
def head():
    """Bright in the section 20 mm above the AC-PC plane only, with a cluster in it."""
    image, clusters = np.ones((80, 100, 60), np.float32), np.zeros((80, 100, 60), np.int32)
    image[:, :, 34:37] = 100
    clusters[30:36, 50:56, 35] = 1
    return image, clusters


def draw(head, tmp_path, **grades):
    (region, *_) = indices_of('basal ganglia', 'left')
    owners = np.array([0, region])
    found = dict.fromkeys(GRADES, NONE) | grades
    path = draw_grades(head[0], AFFINE, head[1], owners, FRAME, found, tmp_path)
    return np.asarray(Image.open(path).convert('RGB')).astype(int)


def test_the_section_that_decides_is_drawn_plain_and_with_outlines(head, tmp_path):
    grade = Grade(value=1, count=1, hemisphere='left', height=20.0)
    picture = draw(head, tmp_path, potter_basal_ganglia=grade)
    height, width = picture.shape[0] // 2, picture.shape[1] // 5
    is_orange = (picture[..., 0] - picture[..., 2]) > 120
    assert not is_orange[:height].any()
    assert is_orange[height:, :width].sum() > 20
    assert not is_orange[height:, width:].any()


def test_spaces_that_a_grade_does_not_count_are_grey(head, tmp_path):
    other = Grade(value=1, count=1, hemisphere='right', height=20.0)
    picture = draw(head, tmp_path, potter_basal_ganglia=other)
    assert not ((picture[..., 0] - picture[..., 2]) > 120).any()


def test_a_space_beside_the_middle_of_a_section_is_in_its_picture(head, tmp_path):
    grade = Grade(value=1, count=1, hemisphere='left', height=20.8)
    picture = draw(head, tmp_path, potter_basal_ganglia=grade)
    assert ((picture[..., 0] - picture[..., 2]) > 120).any()


def test_without_any_spaces_there_is_a_picture_all_the_same(head, tmp_path):
    picture = draw((head[0], 0 * head[1]), tmp_path)
    assert not ((picture[..., 0] - picture[..., 2]) > 120).any()
    assert picture.max() > 200
