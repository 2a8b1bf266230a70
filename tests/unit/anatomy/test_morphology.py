import numpy as np

from pvs_bidsapp.anatomy import morphology


def test_a_narrow_sulcus_is_closed_and_a_wide_one_is_not():
    mask = np.ones((40, 40, 40), bool)
    mask[10:12, :, 20:] = False
    mask[24:34, :, 20:] = False
    closed = morphology.close(mask, 3.0)
    assert closed[10:12, 20, 30].all()
    assert not closed[28:30, 20, 30].any()


def test_the_bounding_box_ends_where_the_array_does():
    mask = np.zeros((9, 9, 9), bool)
    mask[1, 4, 5:8] = True
    assert morphology.bounding_box(mask) == (slice(1, 2), slice(4, 5), slice(5, 8))
    assert mask[morphology.bounding_box(mask, 2)].shape == (4, 5, 6)
