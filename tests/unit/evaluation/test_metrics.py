import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvs_bidsapp.evaluation import metrics


def volume(*voxels):
    out = np.zeros((8, 8, 8), bool)
    for voxel in voxels:
        out[voxel] = True
    return out


def test_hand_worked_example():
    reference = volume((1, 1, 1), (1, 1, 2), (5, 5, 5))
    predicted = volume((1, 1, 2), (1, 1, 3), (7, 0, 0))
    scores = metrics.score(predicted, reference)
    assert scores.dice == pytest.approx(2 * 1 / 6)
    assert (scores.recall, scores.precision) == pytest.approx((1 / 3, 1 / 3))
    assert scores.avd == 0
    assert (scores.cluster_recall, scores.cluster_precision, scores.cluster_dice) == (0.5, 0.5, 0.5)


def test_diagonal_neighbours_are_one_cluster():
    reference = volume((1, 1, 1), (2, 2, 2))
    assert metrics.score(volume((2, 2, 2)), reference).cluster_recall == 1


def test_empty_masks():
    empty, some = volume(), volume((1, 1, 1))
    both = metrics.score(empty, empty)
    assert (both.dice, both.cluster_dice, both.avd) == (1, 1, 0)
    assert metrics.score(empty, some).dice == 0
    assert metrics.score(some, empty).avd == np.inf
    assert metrics.score(empty, some).cluster_dice == 0


def test_small_clusters_are_dropped_by_volume():
    mask = volume((1, 1, 1), (5, 5, 5), (5, 5, 6))
    assert metrics.remove_small(mask, 2.0, 1.0).sum() == 2
    assert metrics.remove_small(mask, 2.0, 2.0).sum() == 3
    assert metrics.remove_small(mask, 2.0, 1 - 1e-15).sum() == 2  # the rounded voxel of an oblique grid


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31))
def test_dice_is_symmetric_and_agrees_with_monai(seed):
    import torch
    from monai.metrics import compute_dice

    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 5, 5, 5)) > 0.6
    assert metrics.dice(a, b) == metrics.dice(b, a)
    other = compute_dice(torch.tensor(a)[None, None].float(), torch.tensor(b)[None, None].float())
    assert metrics.dice(a, b) == pytest.approx(float(other), abs=1e-6)
