"""Many tubes at once: where they run, and the volume that they fill."""

from __future__ import annotations

import numpy as np
import pytest

from pvs_bidsapp.simulation.rendering import tube_occupancy
from pvs_bidsapp.simulation.tubes import Tubes, fill_tubes, trace_tubes
from pvs_bidsapp.simulation.vessels import STEP

SHAPE = (24, 24, 40)


def upward(points: np.ndarray) -> np.ndarray:
    return np.tile([0.0, 0.0, 2.0], (len(points), 1))


def anywhere(points: np.ndarray) -> np.ndarray:
    return np.ones(len(points), bool)


def straight(radius: float, spacing: np.ndarray, length: float = 12.0) -> tuple[Tubes, np.ndarray]:
    line = np.array([12.3, 11.8, 10.0]) * spacing + np.arange(0, length + STEP / 2, STEP)[:, None] * [
        0.0,
        0.3,
        0.954,
    ]
    number = len(line) - 1
    tubes = Tubes(
        starts=line[:-1], ends=line[1:], radii=np.full(number, radius), numbers=np.zeros(number, int)
    )
    return tubes, line


@pytest.mark.parametrize('radius', [0.3, 0.8, 1.8])
@pytest.mark.parametrize('spacing', [(0.6, 0.6, 0.6), (1.2, 1.0, 0.8)])
def test_tubes_fill_their_volume_where_they_run(radius, spacing):
    spacing = np.array(spacing)
    tubes, line = straight(radius, spacing)
    occupancy, value = fill_tubes(tubes, np.array([0.7]), SHAPE, spacing, np.random.default_rng(1))
    volume = np.pi * radius**2 * np.linalg.norm(line[-1] - line[0])
    assert occupancy.sum() * spacing.prod() == pytest.approx(volume, rel=0.05)
    assert occupancy.max() <= 1
    assert value[occupancy > 0] == pytest.approx(0.7, rel=1e-5)
    assert not value[occupancy == 0].any()
    exact = np.zeros(SHAPE)
    voxels, fraction = tube_occupancy(line, np.full(len(line), radius), SHAPE, spacing)
    exact[tuple(voxels.T)] = fraction
    assert np.abs(occupancy - exact).mean() < 0.1 * exact.mean()


def test_where_tubes_meet_their_property_is_a_mean():
    tubes, _ = straight(0.8, np.ones(3))
    double = Tubes(
        starts=np.concatenate([tubes.starts] * 2),
        ends=np.concatenate([tubes.ends] * 2),
        radii=np.concatenate([tubes.radii] * 2),
        numbers=np.repeat([0, 1], len(tubes.numbers)),
    )
    _, value = fill_tubes(double, np.array([0.2, 0.6]), SHAPE, np.ones(3), np.random.default_rng(1))
    assert np.median(value[value > 0]) == pytest.approx(0.4, abs=0.02)


def test_tubes_beyond_the_grid_leave_no_trace():
    tubes, _ = straight(0.8, np.ones(3))
    moved = Tubes(starts=tubes.starts + 100, ends=tubes.ends + 100, radii=tubes.radii, numbers=tubes.numbers)
    assert not fill_tubes(moved, np.ones(1), SHAPE, np.ones(3), np.random.default_rng(1))[0].any()
    nothing = trace_tubes(
        np.empty((0, 3)),
        np.empty(0),
        np.empty(0),
        np.random.default_rng(1),
        direction=upward,
        is_allowed=anywhere,
    )
    assert not fill_tubes(nothing, np.ones(0), SHAPE, np.ones(3), np.random.default_rng(1))[0].any()


def test_tubes_follow_the_directions_for_their_length():
    starts, lengths, radii = np.full((200, 3), 50.0), np.full(200, 10.0), np.full(200, 0.6)
    tubes = trace_tubes(
        starts,
        lengths,
        radii,
        np.random.default_rng(1),
        direction=upward,
        is_allowed=anywhere,
        tilt=0.0,
        bend=0.0,
    )
    steps = tubes.ends - tubes.starts
    assert np.allclose(np.linalg.norm(steps, axis=1), STEP)
    assert np.allclose(steps[:, :2], 0)
    total = np.bincount(tubes.numbers) * STEP
    assert np.all((total >= 9) & (total <= 10))
    assert tubes.radii.mean() == pytest.approx(0.6, rel=0.05)
    assert tubes.radii.min() > 0


def test_tubes_end_where_they_may_not_go():
    def below(points: np.ndarray) -> np.ndarray:
        return points[:, 2] < 52

    starts = np.full((50, 3), 50.0)
    tubes = trace_tubes(
        starts,
        np.full(50, 30.0),
        np.full(50, 0.5),
        np.random.default_rng(2),
        direction=upward,
        is_allowed=below,
    )
    assert tubes.ends[:, 2].max() < 52
    assert tubes.starts[:, 2].min() < 45  # the other way is free
