import numpy as np
import pytest

from pvs_bidsapp.clusters.label import label_clusters
from pvs_bidsapp.clusters.shape import measure


def test_shape_of_a_line(two_clusters):
    clusters = label_clusters(two_clusters[0], threshold=0.5, minimum=0, voxel_volume=1)
    affine = np.diag([-0.5, 0.5, 2.0, 1])
    affine[:3, 3] = (10, -20, 5)
    line, dot = measure(clusters, affine)
    assert line.volume == pytest.approx(6 * 0.5)
    assert line.length == pytest.approx(12.0)
    assert line.width == pytest.approx(2 * np.sqrt(3 / (np.pi * 12)))
    assert line.linearity > 0.95
    np.testing.assert_allclose(line.direction, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(line.centre, [10 - 2.5, -20 + 2.5, 5 + 13])
    assert dot.volume == pytest.approx(0.5)


def test_length_and_width_of_a_slanted_cylinder():
    grid = np.stack(np.meshgrid(*[np.arange(60)] * 3, indexing='ij'), -1) - 30.0
    axis = np.array([1, 2, 2]) / 3
    along = grid @ axis
    away = np.linalg.norm(grid - along[..., None] * axis, axis=-1)
    clusters = ((np.abs(along) < 18) & (away < 3)).astype(np.int32)
    (shape,) = measure(clusters, np.diag([0.5, 0.5, 0.5, 1]))
    assert shape.length == pytest.approx(18, rel=0.05)
    assert shape.width == pytest.approx(3, rel=0.05)
    assert abs(shape.direction @ axis) > 0.999
