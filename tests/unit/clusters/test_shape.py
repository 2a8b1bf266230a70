import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from pvs_bidsapp.clusters.label import label_clusters
from pvs_bidsapp.clusters.shape import measure


def test_shape_of_a_line(two_clusters):
    clusters = label_clusters(two_clusters[0], threshold=0.5, minimum=0, voxel_volume=1)
    affine = np.diag([-0.5, 0.5, 2.0, 1])
    affine[:3, 3] = (10, -20, 5)
    line, dot = measure(clusters, affine)
    assert line.volume == pytest.approx(6 * 0.5)
    assert line.length == pytest.approx(12.0)
    assert line.width == line.max_width == pytest.approx(2 * np.sqrt(3 / (np.pi * 12)))
    assert line.linearity > 0.95
    assert line.n_spaces == 1
    np.testing.assert_allclose(line.direction, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(line.centre, [10 - 2.5, -20 + 2.5, 5 + 13])
    assert dot.volume == pytest.approx(0.5)


def mask_of(line, radius, spacing):
    """Voxels within a radius of a line of points, and their affine."""
    low = line.min(0) - radius - 2 * spacing
    shape = np.ceil((line.max(0) + radius + 2 * spacing - low) / spacing).astype(int)
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = low
    points = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3) * spacing + low
    inside = cKDTree(line).query(points)[0] <= radius
    return cc3d.largest_k(inside.reshape(shape), k=1, connectivity=26).astype(np.int32), affine


ANGLES = st.tuples(*[st.floats(0, 360)] * 3)


@settings(max_examples=40, deadline=None, derandomize=True)  # a rare tube of few voxels is off by more
@given(ANGLES, st.floats(1.5, 3), st.floats(0.6, 1.2), st.floats(0, 0.08), st.floats(0, 1))
def test_tubes_straight_and_curved_at_any_angle(angles, width, spacing, curvature, shift):
    """Within 10 % in length and 15 % in width, where voxels are small enough to show it.

    A tube of 2 mm along voxels of 1 mm is 1.6 to 2.5 mm wide in its mask, by where the voxels lie.
    """
    spacing = min(spacing, width / 1.6)
    along = np.arange(0, 14.01, 0.1) + shift
    line = np.stack([along, 0 * along, 0 * along], 1)
    if curvature > 0.01:
        line = np.stack([np.sin(curvature * along), 1 - np.cos(curvature * along), 0 * along], 1) / curvature
    line = Rotation.from_euler('xyz', angles, degrees=True).apply(line)
    clusters, affine = mask_of(line, width / 2, spacing)
    (shape,) = measure(clusters, affine)
    assert shape.length == pytest.approx(14, abs=0.1 * 14 + 0.7 * spacing)
    assert shape.width == pytest.approx(width, rel=0.15 if spacing < width / 3 else 0.36)
    assert shape.max_width < 1.5 * width
    assert shape.n_spaces == 1


def test_length_and_width_of_a_slanted_cylinder():
    grid = np.stack(np.meshgrid(*[np.arange(60)] * 3, indexing='ij'), -1) - 30.0
    axis = np.array([1, 2, 2]) / 3
    along = grid @ axis
    away = np.linalg.norm(grid - along[..., None] * axis, axis=-1)
    clusters = ((np.abs(along) < 18) & (away < 3)).astype(np.int32)
    (shape,) = measure(clusters, np.diag([0.5, 0.5, 0.5, 1]))
    assert shape.length == pytest.approx(18, rel=0.1)
    assert shape.width == pytest.approx(3, rel=0.05)
    assert abs(shape.direction @ axis) > 0.999


def test_a_half_circle_is_as_long_as_its_arc():
    angle = np.linspace(0, np.pi, 300)
    clusters, affine = mask_of(6 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1), 1.0, 0.7)
    (shape,) = measure(clusters, affine)
    assert shape.length == pytest.approx(6 * np.pi, rel=0.1)


def test_a_tube_is_measured_at_its_widest_place():
    clusters, affine = mask_of(np.stack([np.arange(0, 16, 0.1), *np.zeros((2, 160))], 1), 0.8, 0.5)
    wide, _ = mask_of(np.stack([np.arange(0, 16, 0.1), *np.zeros((2, 160))], 1), 0.8, 0.5)
    points = np.moveaxis(np.indices(clusters.shape), 0, -1) * 0.5 + affine[:3, 3]
    clusters[np.linalg.norm(points - [4, 0, 0], axis=-1) <= 1.6] = 1
    (shape,) = measure(clusters, affine)
    assert shape.width < 2.2
    assert 2.4 < shape.max_width < 3.4
    assert measure(wide, affine)[0].max_width < 2


def test_side_branches_are_counted():
    clusters = np.zeros((40, 40, 12), np.int32)
    clusters[5:35, 20, 6] = 1
    clusters[15, 21:30, 6] = 1
    (shape,) = measure(clusters, np.eye(4))
    assert shape.n_spaces == 2
    assert shape.length == pytest.approx(30, abs=1.5)


def test_round_clusters_are_as_long_as_wide():
    ball = np.linalg.norm(np.indices((15, 15, 15)).T - 7, axis=-1) < 3.2
    (shape,) = measure(ball.astype(np.int32), np.eye(4))
    assert shape.length == pytest.approx(shape.width, rel=0.1)
    assert shape.linearity < 0.05


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=30), st.floats(0.5, 2))
def test_whatever_its_form_a_cluster_has_a_shape(voxels, spacing):
    mask = np.zeros((6, 6, 6), bool)
    mask[tuple(np.array(voxels).T)] = True
    clusters = cc3d.largest_k(mask, k=1, connectivity=26).astype(np.int32)
    (shape,) = measure(clusters, np.diag([spacing, spacing, 2 * spacing, 1]))
    assert 0 < shape.width <= shape.max_width
    assert shape.length >= 0.99 * min(shape.width, shape.length)
    assert np.isfinite([shape.length, shape.width, shape.max_width, shape.linearity]).all()
    assert shape.volume == pytest.approx(2 * spacing**3 * clusters.sum())
