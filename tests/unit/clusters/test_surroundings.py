import numpy as np
import pytest

from pvs_bidsapp.anatomy.resampling import Grid
from pvs_bidsapp.clusters import surroundings
from pvs_bidsapp.clusters.shape import measure
from pvs_bidsapp.clusters.surroundings import ScanLevels

SHAPE = (30, 30, 30)


@pytest.fixture
def scene(found_of):
    """White matter at 1000 with a space of which each voxel is PVS to 60 %; CSF has 200."""
    probability = np.zeros(SHAPE, np.float32)
    probability[15, 15, 10:18] = 0.9
    found = found_of(probability)
    image = np.full(SHAPE, 1000.0)
    image[15, 15, 10:18] = 1000 - 0.6 * 800
    return found, image


def look(scene, ventricles=None, cortex=None, levels=None):
    found, image = scene
    levels = levels or ScanLevels(1000.0, 200.0, 30.0)
    empty = np.zeros(SHAPE, bool)
    (one,) = surroundings.measure_surroundings(
        measure(found.clusters, np.eye(4)), found, image, levels,
        ventricles=empty if ventricles is None else ventricles,
        cortex=empty if cortex is None else cortex,
        grid=Grid(SHAPE, np.eye(4)),
    )  # fmt: skip
    return one


def test_contrast_and_volume_by_partial_volume(scene):
    around = look(scene)
    assert around.contrast == pytest.approx(0.6)
    assert around.weighted_volume == pytest.approx(8 * 0.6)


def test_a_t2w_in_which_spaces_are_bright_gives_the_same(scene):
    found, image = scene
    bright = look((found, 1500 - image), levels=ScanLevels(500.0, 1300.0, 30.0))
    dark = look(scene)
    assert bright.contrast == pytest.approx(dark.contrast)
    assert bright.weighted_volume == pytest.approx(dark.weighted_volume)
    assert bright.contrast_to_noise == pytest.approx(dark.contrast_to_noise)


def test_noise_does_not_change_the_weighted_volume(scene):
    found, image = scene
    rng = np.random.default_rng(1)
    volumes = [look((found, image + rng.normal(0, 30, SHAPE))).weighted_volume for _ in range(20)]
    assert np.mean(volumes) == pytest.approx(4.8, abs=0.2)
    around = look((found, image + rng.normal(0, 30, SHAPE)))
    assert around.contrast_to_noise == pytest.approx(480 / 30, rel=0.15)


def test_the_weighted_volume_takes_the_next_voxels_only():
    """Of voxels that are higher than wide, the next but one are nearer than the next in the other axis."""
    own, image = np.zeros((11, 11, 5), bool), np.full((11, 11, 5), 1000.0)
    own[5, 5, 2] = True
    image[own], image[5, 6, 2], image[5, 8, 2] = 600, 920, 200
    spacing, levels = np.array([0.5, 0.5, 2.0]), ScanLevels(1000.0, 200.0, 30.0)
    volume, _ = surroundings._contrast(image, own, np.ones_like(own), spacing, levels)
    assert volume == pytest.approx(0.5 + 0.1)


def test_distances_are_those_of_the_centre(scene):
    ventricles, cortex = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    ventricles[15, 5] = cortex[20, 15] = True
    around = look(scene, ventricles, cortex)
    assert (around.ventricle_distance, around.cortex_distance) == pytest.approx((10, 5))
    assert np.isnan(look(scene).ventricle_distance)


def test_share_in_lesions(scene):
    shapes = measure(scene[0].clusters, np.eye(4))
    lesions = np.zeros(SHAPE, bool)
    lesions[15, 15, :12] = True
    assert surroundings.lesion_fractions(shapes, lesions).tolist() == [0.25]


def test_what_is_like_a_lesion(around):
    ball = np.linalg.norm(np.indices(SHAPE).T - 15, axis=-1) < 2.6
    (shape,) = measure(ball.astype(np.int32), np.eye(4))
    faint = around(contrast=0.3, ventricle_distance=4.0)
    white = 'deep white matter frontal'
    assert surroundings.is_like_lesion(shape, faint, white)
    assert not surroundings.is_like_lesion(shape, faint, 'lentiform nucleus')
    assert not surroundings.is_like_lesion(shape, around(contrast=0.8, ventricle_distance=4.0), white)
    assert not surroundings.is_like_lesion(shape, around(contrast=0.3, ventricle_distance=20.0), white)
    tube = np.zeros(SHAPE, np.int32)
    tube[15, 15, 5:20] = 1
    assert not surroundings.is_like_lesion(measure(tube, np.eye(4))[0], faint, white)
