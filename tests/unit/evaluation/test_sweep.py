import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from pvs_bidsapp.evaluation import metrics
from pvs_bidsapp.evaluation.sweep import average_precision, bootstrap, bootstrap_ratio, sweep


@pytest.fixture
def maps(rng):
    from scipy import ndimage

    reference = ndimage.gaussian_filter(rng.normal(size=(40, 40, 40)), 1.2) > 0.16
    noise = ndimage.gaussian_filter(rng.normal(size=reference.shape), 1.0)
    return np.clip(0.6 * reference + 0.25 + noise, 0, 1).astype(np.float32), reference


def test_the_sweep_agrees_with_the_plain_scores(maps):
    probability, reference = maps
    voxel = 0.8**3
    for row in sweep(probability, reference, voxel, thresholds=(0.3, 0.5, 0.8), sizes=(0, 3, 8)).itertuples():
        predicted = probability >= row.threshold
        large = (metrics.remove_small(m, row.min_size_mm3, voxel) for m in (predicted, reference))
        expected = metrics.score(*large)
        for name in (
            'dice',
            'recall',
            'precision',
            'avd',
            'cluster_dice',
            'cluster_recall',
            'cluster_precision',
        ):
            assert getattr(row, name) == pytest.approx(getattr(expected, name), abs=1e-12), (row, name)
        recall, precision = metrics.cluster_scores(predicted, reference, row.min_size_mm3, voxel)
        assert row.large_dice == pytest.approx(2 * recall * precision / (recall + precision))


def test_a_large_space_found_in_small_pieces_is_found():
    reference = np.zeros((20, 5, 5), bool)
    reference[2:18, 2, 2] = True
    probability = reference.astype(float)
    probability[[5, 9, 13]] = 0
    row = sweep(probability, reference, 1.0, thresholds=(0.5,), sizes=(4,)).iloc[0]
    assert row.large_dice == 1.0


def test_voxel_dice_agrees_with_monai(maps):
    probability, reference = maps
    table = sweep(probability, reference, 1.0, thresholds=(0.5,), sizes=(0,))
    both = (torch.from_numpy(m[None, None].astype(np.float32)) for m in (probability >= 0.5, reference))
    assert table['dice'].iloc[0] == pytest.approx(float(compute_dice(*both)), abs=1e-6)


def test_empty_masks_agree_and_a_single_one_does_not():
    nothing, something = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), np.float32)
    row = sweep(something, nothing, 1.0, thresholds=(0.5,), sizes=(0,)).iloc[0]
    assert (row.dice, row.cluster_dice, row.avd) == (1, 1, 0)
    something[4, 4, 4] = 1
    row = sweep(something, nothing, 1.0, thresholds=(0.5,), sizes=(0, 5)).iloc
    assert (row[0].dice, row[0].avd) == (0, np.inf)
    assert row[1].dice == 1  # the one voxel is below the filter


def test_bootstrap_covers_the_mean_as_often_as_it_says(rng):
    hits = 0
    for k in range(200):
        mean, low, high = bootstrap(rng.normal(0.5, 0.1, 40), rounds=400, seed=k)
        assert low <= mean <= high
        hits += low <= 0.5 <= high
    assert 178 <= hits <= 199
    assert np.isnan(bootstrap(np.array([np.nan]))[0])
    assert bootstrap(np.array([0.3, 0.3, np.inf]))[1:] == pytest.approx((0.3, 0.3))


def test_one_scan_has_no_interval():
    for values in ([0.5], [0.5, np.nan, np.inf]):
        assert bootstrap(np.array(values)) == pytest.approx((0.5, np.nan, np.nan), nan_ok=True)
    one = bootstrap_ratio(np.array([3.0]), np.array([4.0]))
    assert one == pytest.approx((0.75, np.nan, np.nan), nan_ok=True)
    assert bootstrap_ratio(np.array([3.0, 0.0]), np.array([4.0, 0.0])) == pytest.approx(one, nan_ok=True)


def test_average_precision_of_a_worked_example():
    probability = np.array([0.9, 0.8, 0.7, 0.1, 0.95]).reshape(5, 1, 1)
    reference = np.array([1, 0, 1, 0, 0], bool).reshape(5, 1, 1)
    brain = np.array([1, 1, 1, 1, 0], bool).reshape(5, 1, 1)
    # precisions 1 and 2/3 at the two true voxels; a false one outside of the brain counts only without a mask
    assert average_precision(probability, reference, brain) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(probability, reference, None) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert np.isnan(average_precision(probability, reference, ~brain))


def test_the_interval_of_a_ratio_is_that_over_scans():
    ratio, low, high = bootstrap_ratio(np.array([1.0, 9.0]), np.array([10.0, 10.0]))
    assert (ratio, low, high) == (0.5, 0.1, 0.9)
    # samples without any whole are left out
    parts, wholes = np.array([3.0, 3.0, 0.0]), np.array([4.0, 4.0, 0.0])
    assert bootstrap_ratio(parts, wholes) == (0.75, 0.75, 0.75)
    assert np.isnan(bootstrap_ratio(np.array([0.0]), np.array([0.0]))[0])
