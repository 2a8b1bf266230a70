from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pvs_bidsapp.training.distributed import ProcessGroup
from pvs_bidsapp.training.sampling import Locations, Sampling

SAMPLING = Sampling(shape=(16, 16, 16), batch_size=4, steps=9, seed=1)


@pytest.mark.parametrize(('batch_size', 'world_size'), [(4, 2), (5, 2), (4, 1), (3, 3)])
def test_processes_share_a_batch(batch_size, world_size):
    parts = [
        replace(SAMPLING, batch_size=batch_size, rank=k, world_size=world_size).own_samples
        for k in range(world_size)
    ]
    assert sorted(k for part in parts for k in part) == list(range(batch_size))


def test_no_process_is_without_a_sample():
    assert len(replace(SAMPLING, batch_size=1, rank=1, world_size=2).own_samples) == 1


def test_a_location_depends_on_the_generator_and_lies_near_the_voxels_that_are_wanted(images):
    label, brain = np.zeros((40, 40, 40), np.uint8), np.ones((40, 40, 40), bool)
    label[10, 20, 30] = 1
    locations = Locations([label], [brain], replace(SAMPLING, positive_fraction=1.0))
    number, centre = locations.draw(np.random.default_rng(3), 0)
    again = locations.draw(np.random.default_rng(3), 0)
    assert number == again[0] == 0
    np.testing.assert_array_equal(centre, again[1])
    assert (np.abs(centre - (10, 20, 30)) <= 4).all()


def test_sampling_of_a_configuration(make_config):
    config = make_config(warmup_epochs=20, positive_fraction=0.3, all_orientations=True, seed=5)
    sampling = Sampling.of(config, ProcessGroup(1, 2))
    assert sampling == Sampling(
        shape=(16, 16, 16),
        batch_size=4,
        steps=48,
        seed=5,
        positive_fraction=0.3,
        warmup_steps=24,  # half of the epochs
        all_orientations=True,
        rank=1,
        world_size=2,
    )
    whole = Sampling.of(make_config(patch_size=None, all_orientations=True), ProcessGroup())
    assert (whole.shape, whole.whole_volumes, whole.all_orientations) == ((160, 214, 176), True, False)
