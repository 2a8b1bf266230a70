"""Simulated heads as the prepared scans of a training."""

from __future__ import annotations

import numpy as np
import pytest

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation import label_maps
from pvs_bidsapp.simulation.label_maps import Anatomy
from pvs_bidsapp.training.simulated_images import simulate_image


@pytest.fixture(scope='module')
def coarse() -> Anatomy:
    """The bundled template at 2 mm."""
    anatomy = label_maps.template_anatomy()
    return Anatomy(
        np.ascontiguousarray(anatomy.labels[::2, ::2, ::2]), anatomy.affine @ np.diag([2, 2, 2, 1]), 'coarse'
    )


def test_a_head_is_normalized_as_a_scan_and_depends_on_its_seed_only(coarse):
    box = (64, 80, 56)
    one, again = (simulate_image(coarse, 'easy', (3, 1), channels=('T1w', 'T2w'), box=box) for _ in range(2))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.label, again.label)
    assert one.name == 'coarse-easy'
    assert one.image.shape[1:] == one.brain.shape == one.label.shape
    assert all(n <= most for n, most in zip(one.brain.shape, box, strict=True))
    assert one.label.any()
    assert one.voxel_volume == pytest.approx(1.0)
    normalization, pvs = TissueNormalization(), one.label > 0
    for channel in one.image.astype(np.float32):
        upper = np.percentile(channel[one.brain & ~pvs], 75)
        assert upper == pytest.approx(normalization.wm, abs=0.25)
        assert np.median(channel[pvs]) < normalization.wm - 0.5
