"""Simulated heads as the prepared scans of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantoms import small_anatomy

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation.label_maps import Anatomy
from pvs_bidsapp.training import simulated_images
from pvs_bidsapp.training.simulated_images import simulate_image


@pytest.fixture(scope='module')
def small() -> Anatomy:
    return small_anatomy(scale=0.7, step=2)


def test_a_head_is_normalized_as_a_scan_and_depends_on_its_seed_only(small):
    box = (64, 80, 56)
    one, again = (simulate_image(small, 'easy', (3, 1), channels=('T1w', 'T2w'), box=box) for _ in range(2))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.label, again.label)
    assert one.name == 'small-easy'
    assert one.image.shape[1:] == one.brain.shape == one.label.shape
    assert all(n <= most for n, most in zip(one.brain.shape, box, strict=True))
    assert one.label.any()
    assert one.voxel_volume == pytest.approx(1.0)
    normalization, pvs = TissueNormalization(), one.label > 0
    for channel in one.image.astype(np.float32):
        upper = np.percentile(channel[one.brain & ~pvs], 75)
        assert upper == pytest.approx(normalization.wm, abs=0.25)
        assert np.median(channel[pvs]) < normalization.wm - 0.5


def test_a_head_has_voxels_that_the_network_works_on(small):
    one = simulate_image(small, 'easy', (3, 1), spacing=(1.6, 1.9))
    assert one.voxel_volume == pytest.approx(1.6**3)


def test_a_t2w_alone_keeps_its_slices_and_has_the_truth_in_them(small, monkeypatch):
    draw = simulated_images.draw_scanner

    def with_slices(difficulty, rng):
        return replace(draw(difficulty, rng), t2w_voxel=(0.8, 0.8, 2.5))

    monkeypatch.setattr(simulated_images, 'draw_scanner', with_slices)
    one = simulate_image(small, 'easy', (3, 1), channels=('T2w',), box=None, keeps_t2w=True)
    assert one.voxel_volume == pytest.approx(0.8 * 0.8 * 2.5)
    assert one.image.shape[1:] == one.brain.shape == one.label.shape
    image, pvs = one.image[0].astype(np.float32), one.label > 0
    assert pvs.sum() > 50
    for step in (-1, 1):  # darker than the slices beside, in the units of a network
        beside = np.roll(image, step, axis=2)[pvs & ~np.roll(pvs, step, axis=2)]
        assert np.median(image[pvs]) < np.median(beside) - 0.2
