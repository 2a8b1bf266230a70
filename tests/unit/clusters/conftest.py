import numpy as np
import pytest


@pytest.fixture
def two_clusters():
    """Two clusters: a line of six voxels in region 1, a single voxel in region 22."""
    probability = np.zeros((20, 20, 20), np.float32)
    probability[5, 5, 4:10] = 0.9
    probability[15, 15, 15] = 0.6
    regions = np.zeros((20, 20, 20), np.uint8)
    regions[:10], regions[10:] = 1, 22
    return probability, regions
