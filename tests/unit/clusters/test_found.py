import numpy as np
import pytest


@pytest.fixture
def probability():
    """A line of eight voxels and one of four."""
    made = np.zeros((12, 12, 12), np.float32)
    made[2, 2, 1:9] = 0.9
    made[8, 8, 2:6] = 0.7
    return made


def test_clusters_are_numbered_by_size(found_of, probability):
    found = found_of(probability)
    assert [int((found.clusters == k).sum()) for k in (1, 2)] == [8, 4]


def test_clusters_in_lesions_are_left_out_with_their_probability(found_of, probability):
    lesions = np.zeros(probability.shape, bool)
    lesions[2, 2, 1:7] = True  # three quarters of the larger one
    without = found_of(probability, lesions=lesions, most_in_lesions=0.75)
    assert without.clusters.max() == 1
    assert without.clusters[8, 8, 3] == 1
    assert not without.probability[2, 2].any()
    assert found_of(probability, lesions=lesions, most_in_lesions=0.8).clusters.max() == 2
    assert found_of(probability, lesions=lesions).clusters.max() == 2


def test_what_is_left_out_extends_no_region(found_of, probability):
    regions = np.ones(probability.shape, np.uint8)
    regions[2, 2, 6:9] = regions[8, 8, 5] = 0  # the ends of both clusters
    lesions = np.zeros(probability.shape, bool)
    lesions[2, 2] = True
    found = found_of(probability, regions, lesions=lesions, most_in_lesions=0.75)
    assert not found.regions[2, 2, 6:9].any()
    assert found.regions[8, 8, 5] == 1


def test_the_faint_rim_of_what_is_left_out_goes_with_it(found_of, probability):
    """Else it would count as a space of its own where numbers are expected by the probabilities."""
    probability[2, 3, 1:9] = 0.3
    probability[8, 9, 2:6] = 0.3
    lesions = np.zeros(probability.shape, bool)
    lesions[2, 2:4] = True
    found = found_of(probability, lesions=lesions, most_in_lesions=0.75)
    assert not found.probability[2].any()
    assert found.probability[8, 9, 3] == pytest.approx(0.3, abs=1e-3)


def test_what_touches_no_lesion_stays(found_of, probability):
    lesions = np.zeros(probability.shape, bool)
    assert found_of(probability, lesions=lesions, most_in_lesions=1e-6).clusters.max() == 2
