import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvs_bidsapp.clusters import label
from pvs_bidsapp.clusters.label import label_clusters, within_regions


def test_threshold_is_inclusive(two_clusters):
    probability, _ = two_clusters
    assert label_clusters(probability, threshold=0.6, minimum=0, voxel_volume=1).max() == 2
    assert label_clusters(probability, threshold=0.61, minimum=0, voxel_volume=1).max() == 1
    assert label_clusters(probability, threshold=0.5, minimum=2, voxel_volume=1).max() == 1


@pytest.mark.parametrize(('inside', 'kept'), [(6, 6), (3, 6), (2, 6), (1, 0), (0, 0)])
def test_a_cluster_is_kept_whole_if_a_third_of_it_is_inside_the_regions(two_clusters, inside, kept):
    probability = np.where(two_clusters[0] > 0.8, two_clusters[0], 0.1)
    regions = np.zeros(probability.shape, np.uint8)
    regions[:, :, 4 : 4 + inside] = 22
    found, grown = within_regions(probability, regions, 0.9)
    assert (found >= 0.9).sum() == kept
    faint = probability < 0.9
    np.testing.assert_array_equal(found[faint], np.where(regions > 0, probability, 0)[faint])
    np.testing.assert_array_equal(grown, np.where(found >= 0.9, 22, regions))


def test_voxels_outside_the_regions_join_the_one_that_holds_most(two_clusters):
    probability, regions = two_clusters
    regions[5, 5, 4:10] = (1, 2, 2, 0, 0, 0)
    grown = within_regions(probability, regions, 0.7)[1]
    assert grown[5, 5, 4:10].tolist() == [1, 2, 2, 2, 2, 2]
    assert grown.dtype == regions.dtype


def test_clusters_are_numbered_by_descending_size(two_clusters):
    clusters = label_clusters(two_clusters[0], threshold=0.5, minimum=0, voxel_volume=1)
    assert (clusters == 1).sum() == 6
    assert (clusters == 2).sum() == 1


@given(st.floats(0, 1, width=32))
def test_stored_probabilities_come_back_as_they_were(value):
    found = label.rounded(np.array([value], np.float32))
    assert abs(float(found[0]) - value) <= label.PROBABILITY_STEP / 2
    stored = np.rint(found / label.PROBABILITY_STEP).astype(np.int16)
    np.testing.assert_array_equal(stored * label.PROBABILITY_STEP, found)
    np.testing.assert_array_equal(label.rounded(found), found)
