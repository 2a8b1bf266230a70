import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvs_bidsapp.evaluation.cldice import centre_line_dice, skeleton


def cldice(predicted, reference):
    return centre_line_dice(predicted, reference, skeleton(predicted), skeleton(reference))


def tube(shape=(24, 9, 9), radius=1, length=slice(2, 22)):
    mask = np.zeros(shape, bool)
    mask[length, 4 - radius : 5 + radius, 4 - radius : 5 + radius] = True
    return mask


def test_a_thick_tube_and_its_axis_agree_although_few_voxels_do():
    thick, thin = tube(radius=2), tube(radius=0)
    assert 2 * (thick & thin).sum() / (thick.sum() + thin.sum()) < 0.1
    assert cldice(thick, thin) == pytest.approx(1, abs=0.05)
    lines = skeleton(thick)
    assert 10 <= lines.sum() <= 20
    assert not (lines & ~thin).any()


def test_half_a_tube_has_all_of_its_line_in_the_whole_and_half_the_other_way():
    half, whole = tube(radius=0, length=slice(2, 12)), tube(radius=0)
    assert cldice(half, whole) == pytest.approx(2 * 1 * 0.5 / 1.5)


def test_a_cluster_that_thinning_removes_keeps_its_middle():
    cube = np.zeros((6, 6, 6), bool)
    cube[2:4, 2:4, 2:4] = True
    assert skeleton(cube).sum() == 1
    assert cldice(cube, cube) == 1


def test_empty_masks():
    empty = np.zeros((5, 5, 5), bool)
    assert cldice(empty, empty) == 1
    assert cldice(empty, ~empty) == cldice(~empty, empty) == 0


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31))
def test_a_mask_has_its_lines_within_and_one_in_each_cluster(seed):
    import cc3d

    mask = np.random.default_rng(seed).random((9, 9, 9)) > 0.85
    lines = skeleton(mask)
    assert not (lines & ~mask).any()
    clusters = cc3d.connected_components(mask, connectivity=26)
    assert set(np.unique(clusters[lines])) == set(np.unique(clusters[mask]))
    assert cldice(mask, mask) == 1
