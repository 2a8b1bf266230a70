"""Training patches cut from real scans."""

from __future__ import annotations

import numpy as np
import pytest
from real_backgrounds import make_maps
from scipy import ndimage

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation import background_patches
from pvs_bidsapp.simulation.background import Background, prepare_background
from pvs_bidsapp.simulation.background_patches import BackgroundSampler, MixedSampler
from pvs_bidsapp.simulation.head import MASK_OCCUPANCY

NORMALIZATION = TissueNormalization()
SHAPE = (24, 28, 20)


@pytest.fixture(scope='module')
def scan() -> Background:
    return prepare_background('sub-1', make_maps(), NORMALIZATION)


@pytest.fixture
def sampler(scan) -> BackgroundSampler:
    return BackgroundSampler([scan], NORMALIZATION, shape=SHAPE)


def plain(monkeypatch, **changes) -> None:
    """No augmentation."""
    values = {'GAIN': (1.0, 1.0), 'OFFSET': 0.0, 'NOISY': 0.0, 'OWN_VOXELS': 1.0} | changes
    for name, value in values.items():
        monkeypatch.setattr(background_patches, name, value)


def test_a_patch_depends_on_its_random_numbers_only(sampler, scan):
    patches = [sampler.draw(np.random.default_rng([1, k])) for k in range(6)]
    again = BackgroundSampler([scan], NORMALIZATION, shape=SHAPE)
    for k, patch in enumerate(patches):
        repeated = again.draw(np.random.default_rng([1, k]))
        np.testing.assert_array_equal(patch.image, repeated.image)
        np.testing.assert_array_equal(patch.label, repeated.label)
        assert patch.image.shape == (1, *SHAPE)
        assert patch.image.dtype == patch.label.dtype == np.float32
        assert np.all(patch.image[:, ~patch.brain] == NORMALIZATION.outside)
        assert NORMALIZATION.low <= patch.image.min() <= patch.image.max() <= NORMALIZATION.high
        assert patch.left_out.any()
        assert np.all((patch.spacing >= 0.6) & (patch.spacing <= 1.2))
    assert len({patch.image.tobytes() for patch in patches}) == 6
    assert any(np.array_equal(p.spacing, scan.source.spacing) for p in patches)
    assert not all(np.array_equal(p.spacing, scan.source.spacing) for p in patches)


@pytest.mark.parametrize('own_voxels', [0.0, 1.0])
def test_spaces_are_dark_where_the_label_says_so(sampler, monkeypatch, own_voxels):
    plain(monkeypatch, OWN_VOXELS=own_voxels)
    inside, around = [], []
    for k in range(14):
        patch = sampler.draw(np.random.default_rng([3, k]))
        known = patch.brain & ~patch.left_out
        assert np.all(patch.label == ((patch.occupancy >= MASK_OCCUPANCY) & patch.brain))
        core = patch.occupancy > 0.8
        rim = ndimage.binary_dilation(core, iterations=4) & (patch.occupancy == 0)
        inside += list(patch.image[0][core & known])
        around += list(patch.image[0][rim & known])
    assert len(inside) > 50
    assert np.mean(inside) < np.mean(around) - 0.3


def test_nothing_else_changes(scan, sampler, monkeypatch):
    plain(monkeypatch)
    there, changed = set(np.clip(scan.image[0], NORMALIZATION.low, NORMALIZATION.high).ravel().tolist()), 0
    for k in range(5):
        patch = sampler.draw(np.random.default_rng([5, k]))
        far = patch.brain & ~ndimage.binary_dilation(patch.occupancy > 0, iterations=6)
        assert set(np.float16(patch.image[0][far]).tolist()) <= there
        changed += int((patch.occupancy > 0).sum())
    assert changed


def test_a_fraction_of_the_patches_comes_from_scans():
    class Fixed:
        def __init__(self, name: str) -> None:
            self.name = name

        def draw(self, rng: np.random.Generator) -> str:
            return self.name

    mixed = MixedSampler(Fixed('maps'), Fixed('scans'), 0.25)  # type: ignore[arg-type]
    drawn = [mixed.draw(np.random.default_rng([1, k])) for k in range(1000)]
    assert 200 < drawn.count('scans') < 300  # three and a half standard deviations
