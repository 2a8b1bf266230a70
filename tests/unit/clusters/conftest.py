import numpy as np
import pytest

from pvs_bidsapp.clusters.found import find_clusters
from pvs_bidsapp.clusters.surroundings import Surroundings


@pytest.fixture
def two_clusters():
    """Two clusters: a line of six voxels in region 1, a single voxel in region 22."""
    probability = np.zeros((20, 20, 20), np.float32)
    probability[5, 5, 4:10] = 0.9
    probability[15, 15, 15] = 0.6
    regions = np.zeros((20, 20, 20), np.uint8)
    regions[:10], regions[10:] = 1, 22
    return probability, regions


@pytest.fixture
def found_of():
    """Clusters of a probability map on a grid of 1 mm, all of them inside the regions."""

    def make(probability, regions=None, **options):
        regions = np.ones(probability.shape, np.uint8) if regions is None else regions
        return find_clusters(probability, regions, np.eye(4), **({'threshold': 0.5, 'minimum': 0} | options))

    return make


@pytest.fixture
def around():
    """Surroundings of a cluster."""

    def make(**values):
        given = {
            'weighted_volume': 1.0, 'contrast': 0.6, 'contrast_to_noise': 5.0,
            'ventricle_distance': 8.0, 'cortex_distance': 6.0,
        }  # fmt: skip
        return Surroundings(**(given | values))

    return make
