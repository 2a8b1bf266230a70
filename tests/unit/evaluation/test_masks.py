import numpy as np
import pytest

from pvs_bidsapp.anatomy.regions import indices_of
from pvs_bidsapp.evaluation.masks import Evaluator, MaskPair, leave_out, score_pair, summarise


@pytest.fixture
def pair():
    """Reference clusters of 4 and 2 voxels (of 0.5 mm3); half of the larger one is predicted."""
    reference = np.zeros((12, 12, 12), bool)
    reference[2, 2, 2:6] = reference[9, 9, 2:4] = True
    predicted = np.zeros_like(reference)
    predicted[2, 2, 2:4] = True
    regions = np.zeros(reference.shape, np.uint8)
    regions[:6] = indices_of('deep white matter')[0]
    regions[6:] = indices_of('basal ganglia')[0]
    return MaskPair(
        name='sub-01',
        predicted=predicted,
        reference=reference,
        probability=0.8 * predicted + 0.3 * reference,
        regions=regions,
        voxel_volume=0.5,
    )


def test_a_scan_is_scored_whole_by_size_and_by_region(pair):
    rows = {(r['region'], r['min_size_mm3']): r for r in score_pair(pair, (0, 2))}
    whole = rows['all', 0]
    assert whole['dice'] == pytest.approx(2 * 2 / 8)
    assert (whole['cluster_recall'], whole['cluster_precision']) == (0.5, 1)
    filtered = rows['all', 2]  # the predicted cluster is too small, but hits the large reference cluster
    assert (filtered['recall'], filtered['large_recall'], filtered['large_precision']) == (0, 1, 1)
    assert (whole['false_clusters'], whole['cldice']) == (0, pytest.approx(0.5))  # lines: 2 of 2, 2 of 6
    assert whole['auprc'] == pytest.approx((2 + 4) / 6)  # all true voxels are above all others
    assert np.isnan(filtered['auprc'])
    assert rows['deep white matter', 0]['recall'] == 0.5
    assert rows['basal ganglia', 0]['recall'] == 0
    assert rows['midbrain', 0]['dice'] == 1  # both masks are empty


def test_false_clusters_are_counted_by_size(pair):
    predicted = pair.predicted.copy()
    predicted[5, 5, 5] = predicted[10, 2, 2:8] = True
    rows = score_pair(MaskPair(**(vars(pair) | {'predicted': predicted})), (0, 2))
    assert [row['false_clusters'] for row in rows[:2]] == [2, 1]


def test_the_ideal_observer_searches_the_regions_or_else_the_brain(pair):
    assert pair.searched_volume == 12**3 * 0.5
    brain = np.arange(12**3).reshape(pair.reference.shape) < 100
    assert MaskPair(**(vars(pair) | {'regions': None, 'brain': brain})).searched_volume == 50
    assert np.isnan(MaskPair(**(vars(pair) | {'regions': None})).searched_volume)


def test_tables_of_several_scans(pair):
    evaluator = Evaluator(sizes=(0.0,), thresholds=(0.2, 0.9))
    for name in ('a', 'b', 'c'):
        evaluator.add(MaskPair(**(vars(pair) | {'name': name})))
    tables = evaluator.tables()
    assert set(tables.scans['scan']) == {'a', 'b', 'c'}
    summary = tables.summary.set_index(['region', 'score'])
    assert summary.loc[('all', 'recall'), 'mean'] == pytest.approx(2 / 6)
    assert summary.loc[('all', 'recall'), 'n_scans'] == 3
    assert tables.sweep is not None
    by_threshold = tables.sweep.groupby('threshold')['recall'].mean()
    assert by_threshold[0.2] == 1
    assert by_threshold[0.9] == pytest.approx(2 / 6)
    volume = tables.agreement.set_index('measure').loc['volume_mm3']
    assert volume['bias'] == pytest.approx(-2.0)  # predicted less reference: 1 and 3 mm3


def test_without_probability_maps_there_is_no_sweep(pair):
    evaluator = Evaluator(sizes=(0.0,), thresholds=(0.5,))
    evaluator.add(MaskPair(**(vars(pair) | {'probability': None, 'regions': None})))
    tables = evaluator.tables()
    assert tables.sweep is None
    assert set(tables.scans['region']) == {'all'}
    assert len(summarise(tables.scans)) == len(tables.summary)


def test_what_nobody_knows_is_left_out():
    shape = (12, 4, 4)
    predicted, reference, unknown = (np.zeros(shape, bool) for _ in range(3))
    predicted[0:3, 0, 0] = predicted[5:8, 0, 0] = predicted[10, 0, 0] = True
    reference[0, 0, 0] = True
    unknown[2, 0, 0] = unknown[7:9, 0, 0] = True
    probability = np.where(predicted, 0.8, 0.1)
    pair = MaskPair(
        name='a',
        predicted=predicted,
        reference=reference,
        probability=probability,
        regions=None,
        voxel_volume=1.0,
    )
    left = leave_out(pair, unknown)
    # a voxel of the cluster that hits the reference; all of the one that is doubtful; nothing of the other
    assert np.flatnonzero(left.predicted[:, 0, 0]).tolist() == [0, 1, 10]
    assert np.flatnonzero(left.probability[:, 0, 0] == 0).tolist() == [2, 5, 6, 7, 8]
    np.testing.assert_array_equal(left.reference, reference)
