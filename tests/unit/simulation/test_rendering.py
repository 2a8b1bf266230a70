import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvs_bidsapp.simulation.rendering import render, tube_occupancy
from pvs_bidsapp.simulation.vessels import STEP, Vessel


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.5, 1.2),
    st.floats(0.3, 2.0),
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.tuples(*[st.floats(0, 1)] * 3),
)
def test_volume_of_a_straight_tube_is_that_of_the_cylinder(spacing, radius, axis, shift):
    axis = np.add(axis, (0, 0, 1e-3))
    axis /= np.linalg.norm(axis)
    length = 10.0
    steps = np.linspace(-length / 2, length / 2, int(length / STEP) + 1)
    points = (12 + np.array(shift) * spacing) + steps[:, None] * axis
    voxels, fraction = tube_occupancy(points, np.full(len(points), radius), (64, 64, 64), np.full(3, spacing))
    assert len(np.unique(voxels, axis=0)) == len(voxels)
    assert fraction.max() <= 1
    assert fraction.sum() * spacing**3 == pytest.approx(np.pi * radius**2 * length, rel=0.02)


def test_a_tube_of_one_voxel_fills_pi_quarters_of_it():
    points = np.stack([np.full(21, 5.0), np.full(21, 5.0), np.arange(21) * 0.5], 1)
    voxels, fraction = tube_occupancy(points, np.full(21, 0.5), (11, 11, 11), np.ones(3))
    inner = fraction[(voxels == [5, 5, 5]).all(1)]
    assert inner == pytest.approx(np.pi / 4, abs=0.02)


def test_the_fuller_vessel_owns_a_shared_voxel():
    line = np.stack([np.full(11, 5.0), np.full(11, 5.0), 2 + np.arange(11) * 0.5], 1)
    thin, wide = Vessel(line, np.full(11, 0.3), 'a'), Vessel(line, np.full(11, 1.0), 'a')
    drawn = render([thin, wide], (11, 11, 11), np.ones(3))
    assert set(np.unique(drawn.index)) == {0, 2}
    assert drawn.occupancy[5, 5, 5] == pytest.approx(1, abs=0.02)


def test_a_tube_beyond_the_grid_draws_nothing():
    line = np.array([[90.0, 0, 0], [91, 0, 0]])
    voxels, _ = tube_occupancy(line, np.ones(2), (10, 10, 10), np.ones(3))
    assert len(voxels) == 0
