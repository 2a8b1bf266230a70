from __future__ import annotations

import numpy as np
import pytest

from pvs_bidsapp.anatomy.resampling import Grid
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.network_input import BrainAnatomy, NetworkInput

VALUES = TissueNormalization()


def make_scan(rng, affine):
    """A block of white matter with a hole of CSF, in a scan with its own orientation."""
    grid = Grid((30, 34, 32), affine)
    tissues = np.zeros(grid.shape, np.uint8)
    tissues[5:25, 6:28, 4:26] = 3
    tissues[12:17, 12:17, 12:17] = 1
    image = np.select([tissues == 3, tissues == 1], [100.0, 20.0]) + rng.normal(0, 2, grid.shape)
    return image.astype(np.float32), grid, BrainAnatomy(brain=tissues > 0, tissues=tissues, affine=affine)


def build(image, grid, anatomy, **changes) -> NetworkInput:
    options = {'normalization': VALUES, 'spacing': 1.0, 'box': (1, 1, 1)} | changes
    return NetworkInput.build([image], grid, anatomy, **options)


AFFINES = [np.eye(4), np.array([[0, 0, -1, 40], [-1, 0, 0, 20], [0, 1, 0, -30], [0, 0, 0, 1.0]])]


@pytest.mark.parametrize('affine', AFFINES)
def test_the_input_is_normalized_and_masked(rng, affine):
    image, grid, anatomy = make_scan(rng, affine)
    inputs = build(image, grid, anatomy)
    volume = inputs.masked()
    assert volume.dtype == np.float32
    assert volume.shape == (1, *inputs.grid.shape) == (1, *inputs.brain.shape)
    assert (volume[0][~inputs.brain] == VALUES.outside).all()
    inside = np.sort(volume[0][inputs.brain])
    scaled = VALUES.wm + (image - 100) * ((VALUES.wm - VALUES.csf) / 80)
    np.testing.assert_allclose(inside, np.sort(scaled[anatomy.brain]), atol=0.1)


@pytest.mark.parametrize('affine', AFFINES)
@pytest.mark.parametrize('box', [(1, 1, 1), (50, 48, 41)])
def test_voxels_of_the_brain_are_the_same_in_any_box_and_come_back_where_they_were(rng, affine, box):
    image, grid, anatomy = make_scan(rng, affine)
    small, inputs = build(image, grid, anatomy), build(image, grid, anatomy, box=box)
    np.testing.assert_array_equal(inputs.image[:, inputs.brain], small.image[:, small.brain])
    back = inputs.to_native((inputs.image[0] + 4) / 7)
    scale = np.polyfit(image[anatomy.brain], back[anatomy.brain], 1)
    np.testing.assert_allclose(np.polyval(scale, image[anatomy.brain]), back[anatomy.brain], atol=1e-5)
    assert (back[~anatomy.brain] == 0).all()


@pytest.mark.parametrize('box', [(1, 1, 1), (40, 33, 27), (50, 48, 41)])
def test_an_input_is_rebuilt_from_its_arrays(rng, box):
    inputs = build(*make_scan(rng, np.eye(4)))
    stored = inputs.image.astype(np.float16)
    again = NetworkInput.from_arrays(stored, inputs.brain, normalization=VALUES, box=box)
    assert again.brain.shape == tuple(max(n, m) for n, m in zip(inputs.brain.shape, box, strict=True))
    np.testing.assert_array_equal(again.masked()[:, again.brain].astype(np.float16), stored[:, inputs.brain])
    probability = rng.random(again.grid.shape).astype(np.float32)
    before = [(n - m) // 2 for n, m in zip(again.brain.shape, inputs.brain.shape, strict=True)]
    inner = tuple(slice(a, a + n) for a, n in zip(before, inputs.brain.shape, strict=True))
    np.testing.assert_array_equal(again.to_native(probability), probability[inner] * inputs.brain)


def test_anatomy_on_a_grid_of_its_own_gives_the_same_input(rng):
    image, grid, anatomy = make_scan(rng, np.eye(4))
    shifted = np.eye(4)
    shifted[:3, 3] = (-3, -4, -5)
    padded = BrainAnatomy(
        brain=np.pad(anatomy.brain, [(3, 1), (4, 0), (5, 2)]),
        tissues=np.pad(anatomy.tissues, [(3, 1), (4, 0), (5, 2)]),
        affine=shifted,
    )
    one, other = build(image, grid, anatomy), build(image, grid, padded)
    np.testing.assert_array_equal(one.masked(), other.masked())
    np.testing.assert_array_equal(one.grid.affine, other.grid.affine)
