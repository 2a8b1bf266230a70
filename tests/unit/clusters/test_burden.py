"""Expected numbers and volumes: sums of probabilities, and the intervals about them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pvs_bidsapp.anatomy.regions import REGIONS
from pvs_bidsapp.clusters.burden import (
    FAINTEST,
    UNITS,
    Burden,
    Calibration,
    expected_dice,
    fit,
    sum_probabilities,
)
from pvs_bidsapp.clusters.tables import CLUSTER_COLUMNS, EXPECTED_COLUMNS, REGION_COLUMNS, region_table

FIRST, SECOND = REGIONS[0].index, REGIONS[1].index


@pytest.fixture
def scan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability, clusters and regions: one cluster, two candidates, two voxels below all candidates."""
    probability = np.zeros((12, 5, 5))
    probability[1:3, 2, 2] = 0.9, 0.6
    probability[3, 2, 2] = 0.2  # beside the cluster: no candidate of its own
    probability[6, 2, 2] = 0.25
    probability[8:11, 2, 2] = 0.1, 0.3, 0.2
    probability[6, 0, 0] = 0.05
    probability[4, 4, 4] = 0.04  # what a network gives everywhere
    regions = np.full((12, 5, 5), FIRST)
    regions[9:] = SECOND
    return probability, (probability >= 0.5).astype(int), regions


def test_sums_of_a_known_scan(scan: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    sums = sum_probabilities(*scan, voxel_volume=2.0)
    assert sums['count'][FIRST] == pytest.approx(0.9 + 0.25)
    assert sums['count'][SECOND] == pytest.approx(0.3)  # most of its voxels lie there
    assert sums['volume'][FIRST] == pytest.approx(2 * (0.9 + 0.6 + 0.2 + 0.25 + 0.1 + 0.05))
    assert sums['volume'][SECOND] == pytest.approx(2 * 0.5)


def test_nothing_is_expected_where_no_probability_is() -> None:
    empty = np.zeros((4, 4, 4))
    sums = sum_probabilities(empty, empty.astype(int), np.full(empty.shape, FIRST), 1.0)
    assert not sums['count'].any()
    assert not sums['volume'].any()


def test_the_expected_dice_of_a_known_scan(scan: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    # two voxels with 0.9 and 0.6; beside them 0.2 + 0.25 + 0.1 + 0.3 + 0.2 + 0.05 in voxels of 0.05 and more
    assert expected_dice(*scan) == pytest.approx(2 * 1.5 / (2 + 1.5 + 1.1))
    probability, clusters, regions = scan
    assert expected_dice(probability, clusters, np.where(clusters > 0, regions, 0)) == pytest.approx(3 / 3.5)


def test_without_a_cluster_no_dice_is_expected(scan: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    assert np.isnan(expected_dice(scan[0], np.zeros_like(scan[1]), scan[2]))


@pytest.mark.parametrize('threshold', [0.2, 0.4])
def test_right_probabilities_foretell_the_dice(threshold: float) -> None:
    rng = np.random.default_rng(7)
    probability = rng.beta(0.1, 1.5, (100, 100, 100))
    truth, mask = rng.random(probability.shape) < probability, probability >= threshold
    expected = expected_dice(probability, mask.astype(int), np.ones(probability.shape, int))
    faint = (truth & (probability < FAINTEST)).sum()  # of which nothing is expected
    assert expected == pytest.approx(2 * (truth & mask).sum() / (truth.sum() - faint + mask.sum()), abs=0.01)


@given(
    probability=arrays(np.float32, (3, 3, 3), elements=st.floats(0, 1, width=32)),
    threshold=st.floats(0.01, 1),
)
def test_an_expected_dice_lies_between_0_and_1(probability: np.ndarray, threshold: float) -> None:
    clusters = (probability >= threshold).astype(int)
    dice = expected_dice(probability, clusters, np.ones(probability.shape, int))
    assert np.isnan(dice) == (not clusters.any())
    assert not dice < 0
    assert not dice > 1


@given(
    sums=st.lists(st.floats(0, 1e4), min_size=1, max_size=5),
    scale=st.floats(0.1, 10),
    low=st.floats(0, 1),
    high=st.floats(1, 20),
)
def test_an_interval_holds_what_is_expected(sums: list[float], scale: float, low: float, high: float) -> None:
    calibration = Calibration(scale=scale, low=low, high=high)
    expected, lower, upper = calibration.interval(np.array(sums), 1.0)
    assert (lower >= 0).all()
    assert (lower <= expected + 1e-9).all()
    assert (expected <= upper + 1e-9).all()


def test_a_fit_finds_the_scale_and_holds_new_scans() -> None:
    rng = np.random.default_rng(5)

    def scans(number: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        sums = [rng.uniform(5, 300, 4) for _ in range(number)]
        return sums, [rng.poisson(1.5 * s * rng.lognormal(0, 0.2)).astype(float) for s in sums]

    calibration = fit(*scans(60), UNITS['count'])
    assert calibration.scale == pytest.approx(1.5, rel=0.15)
    sums, truth = scans(400)
    _, low, high = calibration.interval(np.array([s[0] for s in sums]), UNITS['count'])
    is_held = (low <= [t[0] for t in truth]) & ([t[0] for t in truth] <= high)
    assert 0.85 < is_held.mean() < 0.97


def test_of_39_scans_an_interval_leaves_out_the_one_at_each_end() -> None:
    truth = [np.array([float(number)]) for number in range(81, 120)]
    calibration = fit([np.array([100.0])] * 39, truth, unit=1.0)
    assert calibration.scale == 1
    assert (calibration.low, calibration.high) == pytest.approx((83 / 101, 119 / 101))


def test_the_region_table_has_them_for_regions_and_totals(
    scan: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    sums = sum_probabilities(*scan, voxel_volume=1.0)
    exact = Calibration(scale=2.0, low=0.5, high=3.0)
    burden = Burden.from_entry(Burden(count=exact, volume=exact, n_scans=40).entry())
    clusters = pd.DataFrame(columns=list(CLUSTER_COLUMNS))
    table = region_table(clusters, scan[2], 1.0, burden=burden, sums=sums)
    total = table.set_index(['region', 'hemisphere']).loc[('all', 'both')]
    assert list(table) == list(REGION_COLUMNS)
    assert total['expected_count'] == pytest.approx(2 * (0.9 + 0.25 + 0.3))
    assert total['expected_count_high'] == pytest.approx(3 * (2.9 + 1) - 1)
    assert total['expected_volume_low_mm3'] == pytest.approx(0.5 * (5.2 + 5) - 5)


def test_without_a_calibration_nothing_is_expected(scan: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    table = region_table(pd.DataFrame(columns=list(CLUSTER_COLUMNS)), scan[2], 1.0)
    assert table[[name for names in EXPECTED_COLUMNS.values() for name in names]].isna().all(axis=None)
