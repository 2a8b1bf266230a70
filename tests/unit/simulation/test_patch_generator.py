"""Training patches from label maps alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation import patch_generator, patch_source, patch_spaces
from pvs_bidsapp.simulation.head import MASK_OCCUPANCY
from pvs_bidsapp.simulation.label_maps import CORTEX, VENTRICLES, WHITE_MATTER
from pvs_bidsapp.simulation.patch_anatomy import draw_anatomy
from pvs_bidsapp.simulation.patch_generator import PatchGenerator
from pvs_bidsapp.simulation.patch_source import prepare_source, read_source, write_source

NORMALIZATION = TissueNormalization()


@pytest.fixture(scope='module')
def source(template_head):
    return prepare_source(template_head)


@pytest.fixture(scope='module')
def generator(source):
    return PatchGenerator([source], NORMALIZATION, shape=(32, 40, 48), channels=('T1w', 'T2w'))


def test_a_source_knows_structures_and_distances(source, template_head, tmp_path):
    labels = source.labels[source.voxels[..., patch_source.LABEL]]
    assert set(np.unique(labels)) == set(source.labels) <= set(np.unique(template_head.labels))
    cortex = np.isin(labels, CORTEX)
    distance = patch_source.millimetres(source.voxels[..., patch_source.CORTEX])
    assert np.all(distance[cortex] < 0)
    near = ~cortex & ndimage.binary_dilation(cortex)
    assert distance[near] == pytest.approx(0.5, abs=0.1)
    names = [patch_source.REGIONS[n - 1] for n in np.unique(source.voxels[..., patch_source.REGION]) if n]
    assert set(source.centres) == set(names) == set(patch_source.REGIONS)
    write_source(source, tmp_path / 'source.npz')
    again = read_source(tmp_path / 'source.npz')
    for name in ('voxels', 'labels', 'directions', 'spacing'):
        np.testing.assert_array_equal(getattr(again, name), getattr(source, name))
    assert again.name == source.name


def test_directions_of_white_matter_lead_to_the_ventricle(source):
    direction = source.directions.astype(float)
    step = (slice(None, None, patch_source.COARSE),) * 3
    voxels = source.voxels[step]
    depth = patch_source.millimetres(voxels[..., patch_source.VENTRICLE])
    gradient = np.stack(np.gradient(depth), -1)
    cortex = patch_source.millimetres(voxels[..., patch_source.CORTEX])
    deep = (voxels[..., patch_source.REGION] == 1) & (depth > 5) & (depth < 15) & (cortex > 5)
    toward = -np.einsum('...i,...i->...', direction, gradient)[deep]
    assert np.mean(toward > 0) > 0.8


def test_a_patch_depends_on_its_random_numbers_only(source, generator):
    one, other = generator.draw(np.random.default_rng([1, 2])), generator.draw(np.random.default_rng([1, 3]))
    again = PatchGenerator([source], NORMALIZATION, shape=(32, 40, 48), channels=('T1w', 'T2w'))
    repeated = again.draw(np.random.default_rng([1, 2]))
    np.testing.assert_array_equal(one.image, repeated.image)
    np.testing.assert_array_equal(one.label, repeated.label)
    assert not np.array_equal(one.image, other.image)


def test_patches_are_what_a_network_gets(generator):
    patches = [generator.draw(np.random.default_rng([7, k])) for k in range(12)]
    for patch in patches:
        assert patch.image.shape == (2, 32, 40, 48)
        assert patch.image.dtype == patch.label.dtype == np.float32
        assert np.isfinite(patch.image).all()
        assert patch.image.min() >= NORMALIZATION.low
        assert patch.image.max() <= NORMALIZATION.high
        assert np.all(patch.image[:, ~patch.brain] == NORMALIZATION.outside)
        assert set(np.unique(patch.label)) <= {0.0, 1.0}
        assert np.all(patch.label == ((patch.occupancy >= MASK_OCCUPANCY) & patch.brain))
        assert np.all((patch.spacing >= 0.6) & (patch.spacing <= 1.2))
    assert sum(patch.label.any() for patch in patches) >= 8
    assert len({tuple(patch.spacing) for patch in patches}) == len(patches)


def test_spaces_are_dark_where_the_label_says_so(generator):
    inside, around = [[], []], [[], []]
    for k in range(25):
        patch = generator.draw(np.random.default_rng([3, k]))
        core = patch.occupancy > 0.8
        rim = ndimage.binary_dilation(core, iterations=4) & ~ndimage.binary_dilation(core, iterations=2)
        rim &= (patch.occupancy == 0) & patch.brain
        for channel in range(2):
            inside[channel] += list(patch.image[channel][core & patch.brain])
            around[channel] += list(patch.image[channel][rim])
    for channel in range(2):
        assert len(inside[channel]) > 200
        assert np.mean(inside[channel]) < np.mean(around[channel]) - 0.3


def test_white_matter_has_its_value(source):
    generator = PatchGenerator([source], NORMALIZATION, shape=(48, 48, 48))
    medians = []
    for k in range(15):
        rng = np.random.default_rng([5, k])
        anatomy = generator._draw_anatomy(source, np.full(3, 0.9), (1, 1, 1), rng)
        image = generator._draw_channel(
            'T1w', anatomy, patch_spaces.draw_contents(anatomy, rng), (1, 1, 1), (0.0, 0.0, 0.0), rng
        )
        white = ndimage.binary_erosion(anatomy.white, iterations=3)
        if white.sum() > 500:
            medians.append(np.median(image[white]))
    assert len(medians) >= 8
    assert np.median(medians) == pytest.approx(NORMALIZATION.wm, abs=0.15)


def test_ageing_opens_ventricles_and_sulci(source):
    centre = np.argwhere(np.isin(source.labels[source.voxels[..., 0]], VENTRICLES)).mean(0)
    volumes = []
    for growth in (-0.9, 2.5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('pvs_bidsapp.simulation.patch_anatomy.VENTRICLE_GROWTH', (growth, growth))
            patch.setattr('pvs_bidsapp.simulation.patch_anatomy.SULCAL_OPENING', (growth / 3, growth / 3))
            anatomy = draw_anatomy(source, centre, (96, 96, 96), np.ones(3), np.random.default_rng(4))
        counts = [anatomy.select(*codes).sum() for codes in (VENTRICLES, (24,), CORTEX, WHITE_MATTER)]
        volumes.append(counts)
    young, old = np.array(volumes, float)
    assert old[0] > 1.3 * young[0]
    assert old[1] > young[1]
    assert old[2] < young[2]
    assert old[3] < young[3]


def test_spaces_run_in_their_regions(source):
    for k in range(8):
        rng = np.random.default_rng([11, k])
        centre = source.centres['white-matter'][1000 + 50 * k]
        anatomy = draw_anatomy(source, centre, (56, 56, 56), np.full(3, 0.9), rng)
        contents = patch_spaces.draw_contents(anatomy, rng)
        full = contents.occupancy > 0.9
        near = ndimage.binary_dilation(anatomy.region > 0, iterations=3)
        assert np.all(near[full])
        for part in (contents.occupancy, contents.lesion, contents.fluid, contents.vessel, contents.grey):
            assert part.min() >= 0
            assert part.max() <= 1
        assert not (contents.fluid[full] > 0).any()


def test_spots_of_one_brain_differ_in_strength(source):
    rng = np.random.default_rng(5)
    anatomy = draw_anatomy(source, source.centres['white-matter'][2000], (64, 64, 64), np.ones(3), rng)
    mimics = patch_spaces._Mimics(anatomy, rng, amount=1.5)
    mimics._spots()
    spots, number = ndimage.label(mimics.lesion > 0)
    peaks = ndimage.maximum(mimics.lesion, spots, np.arange(1, number + 1))
    low, high = patch_spaces.SPOT_STRENGTH
    assert number > 5
    assert peaks.max() <= high
    assert np.percentile(peaks, 25) < np.percentile(peaks, 75) - 0.1 * (high - low)


@pytest.mark.parametrize('channel', ['T1w', 'T2w'])
def test_lesions_are_of_every_darkness(channel):
    drawn = [patch_generator._draw_contrast(channel, np.random.default_rng(k)) for k in range(200)]
    shares = np.array([(one.lesion - 1) / (one.fluid - 1) for one in drawn])
    low, high = patch_generator.LESION
    assert low <= shares.min() < low + 0.05
    assert high - 0.05 < shares.max() <= high


def test_weak_contrasts_of_a_t2w_are_drawn_as_often_as_strong_ones():
    drawn = [patch_generator._draw_contrast('T2w', np.random.default_rng(seed)) for seed in range(400)]
    low, high = patch_generator.T2W.fluid
    fluid, cortex = np.array([c.fluid for c in drawn]), np.array([c.lookup[3] for c in drawn])
    assert np.all((fluid >= low) & (fluid <= high) & (fluid >= cortex + patch_generator.FLUID_GAP - 1e-9))
    weak = fluid - 1 < np.sqrt((low - 1) * (high - 1))  # half of the range of a ratio
    assert np.mean(weak) == pytest.approx(0.5, abs=0.1)


def test_a_source_without_some_region_serves_all_the_same(source):
    regions = source.voxels.copy()
    regions[..., patch_source.REGION][regions[..., patch_source.REGION] != 1] = 0
    white_only = patch_source.PatchSource(
        name='white',
        voxels=regions,
        labels=source.labels,
        directions=source.directions,
        spacing=source.spacing,
    )
    assert set(white_only.centres) == {'white-matter'}
    patch = PatchGenerator([white_only], NORMALIZATION, shape=(32, 32, 32)).draw(np.random.default_rng(1))
    assert patch.brain.any()


@pytest.fixture(scope='module')
def sliced(source):
    return PatchGenerator([source], NORMALIZATION, shape=(32, 32, 32), channels=('T2w',), spacing=(0.6, 3.0))


def test_half_of_the_patches_have_slices_if_voxels_may_be_that_large(sliced, generator):
    assert patch_generator.allows_slices(sliced.spacing)
    assert not patch_generator.allows_slices(generator.spacing)
    patches = [sliced.draw(np.random.default_rng([2, k])) for k in range(40)]
    sizes = np.array([np.sort(patch.spacing) for patch in patches])
    assert sizes[:, :2].max() <= 1.2  # slices are thick along one axis alone
    assert 0.3 < np.mean(sizes[:, 2] > 1.2) < 0.7
    assert sizes[:, 2].max() <= 3.0
    for patch in patches:
        assert patch.image.shape == (1, 32, 32, 32)
        assert patch.occupancy.shape == patch.brain.shape == patch.lesion.shape == (32, 32, 32)
        assert patch.brain.dtype == bool
        assert np.all(patch.label == ((patch.occupancy >= MASK_OCCUPANCY) & patch.brain))


def test_voxel_sizes_that_cannot_be_thick_are_drawn_as_ever():
    rng = np.random.default_rng(3)
    drawn = [patch_generator._draw_spacing((0.6, 1.2), np.random.default_rng(k)) for k in range(50)]
    assert max(size.max() for size in drawn) <= 1.2
    assert np.all(patch_generator._draw_spacing((2.0, 2.0), rng) == 2.0)
    for k in range(50):
        thick = patch_generator._draw_spacing((1.5, 3.0), np.random.default_rng(k))
        assert np.all((thick >= 1.5) & (thick <= 3.0))


def test_a_thick_slice_holds_the_mean_of_all_that_it_crosses():
    fine = np.arange(2 * 3 * 6, dtype=np.float32).reshape(2, 3, 6)
    parts = patch_generator.voxel_parts(np.array([0.8, 1.2, 2.5]))
    assert parts == (1, 1, 3)
    thick = patch_generator.average_parts(fine, parts)
    np.testing.assert_array_equal(thick[0, 0], [1, 4])
    assert thick.mean() == pytest.approx(fine.mean())
    halves = patch_generator.average_parts(fine > 17, (2, 1, 1))
    np.testing.assert_array_equal(halves, np.full((1, 3, 6), 0.5))
    assert patch_generator.average_parts(fine, (1, 1, 1)) is fine


@pytest.mark.parametrize('own', [0.0, 1.0])
def test_the_truth_of_thick_slices_lies_in_them(sliced, monkeypatch, own):
    monkeypatch.setattr(patch_generator, 'OWN_GRID', own)
    monkeypatch.setattr(patch_generator, 'SLICES', 1.0)
    monkeypatch.setattr(patch_spaces, 'CONTRAST', (0.9, 1.0))
    monkeypatch.setattr(patch_spaces, 'MIMICS', (0.0, 0.0))
    inside, beside = [], []
    for k in range(30):
        patch = sliced.draw(np.random.default_rng([4, k]))
        axis = int(patch.spacing.argmax())
        full = (patch.occupancy > 0.7) & patch.brain
        for step in (-1, 1):  # the next slice, where it holds no space
            empty = full & (np.roll(patch.occupancy, step, axis) == 0) & np.roll(patch.brain, step, axis)
            inside += list(patch.image[0][empty])
            beside += list(np.roll(patch.image[0], step, axis)[empty])
    assert len(inside) > 100
    assert np.mean(inside) < np.mean(beside) - 0.4


def test_a_grid_between_keeps_what_is_smooth():
    rng = np.random.default_rng(1)
    x = np.linspace(0, 3, 40, dtype=np.float32)
    smooth = np.sin(x)[:, None, None] + np.cos(x)[:, None] + x
    for voxel in ((1.0, 1.0, 1.0), (1.0, 2.5, 1.0)):
        back = patch_generator._through_grid(smooth, np.ones(3), np.array(voxel), 0.0, rng)
        inner = (slice(6, -6),) * 3
        assert back.shape == smooth.shape
        assert np.abs(back - smooth)[inner].max() < 0.05
    moved = patch_generator._through_grid(smooth, np.ones(3), np.ones(3), 0.0, rng, shift=(0, 2, 0))
    assert np.abs(moved[6:-6, 8:-6, 6:-6] - smooth[6:-6, 6:-8, 6:-6]).max() < 0.05


def test_most_scans_are_blurred_by_a_filter_of_k_space():
    point = np.zeros((16, 16, 16), np.float32)
    point[8, 8, 8] = 1
    peaks = [patch_generator._truncate(point, np.random.default_rng(seed))[8, 8, 8] for seed in range(300)]
    blurred = np.array(peaks) < 0.99
    assert np.mean(blurred) == pytest.approx(patch_generator.TRUNCATED, abs=0.08)
    assert np.min(peaks) > 0.1
    assert np.max(np.array(peaks)[blurred]) < 0.95  # a voxel is never left as it was


def test_a_scan_on_a_grid_between_is_blurred_there_and_a_resampled_one_is_not(monkeypatch):
    monkeypatch.setattr(patch_generator, 'TRUNCATED', 1.0)
    point = np.full((24, 24, 24), 1e-3, np.float32)
    point[12, 12, 12] = 1
    spacing = np.ones(3)
    scanned, resampled = (
        patch_generator._through_grid(point, spacing, spacing, sigma, np.random.default_rng(4))
        for sigma in (1e-6, 0.0)
    )
    assert scanned.max() < 0.9 * resampled.max()
    assert scanned.sum() == pytest.approx(resampled.sum(), rel=0.15)


def test_a_t2w_beside_a_t1w_is_misplaced_in_half_of_the_patches(generator):
    places = np.array([generator.draw(np.random.default_rng(k)).misplaced for k in range(40)])
    moved = places.any(axis=1)
    assert 8 <= moved.sum() <= 32
    assert np.abs(places).max() <= patch_generator.MISPLACED


def _balance(patch, channel):
    """Along each axis, how much brighter it is one voxel after the spaces than one voxel before them."""
    image, occupancy = np.where(patch.brain, patch.image[channel], 0), patch.occupancy
    return [
        float(((np.roll(occupancy, 1, axis) - np.roll(occupancy, -1, axis)) * image).sum() / occupancy.sum())
        for axis in range(3)
    ]


def test_the_truth_of_a_t2w_alone_lies_in_the_t2w(source):
    sampler = {
        names: PatchGenerator([source], NORMALIZATION, shape=(32, 32, 32), channels=names, spacing=(0.8, 1.0))
        for names in (('T2w',), ('T1w', 'T2w'))
    }
    balance, places = {names: [] for names in sampler}, []
    for names, generator in sampler.items():
        for number in range(60):
            patch = generator.draw(np.random.default_rng(number))
            if patch.occupancy.sum() < 20 or (len(names) == 2 and not any(patch.misplaced)):
                continue
            balance[names] += _balance(patch, len(names) - 1)
            places += patch.misplaced if len(names) == 2 else ()
    # fluid has low values in the units of a network, in a T2w, too
    assert np.corrcoef(balance['T1w', 'T2w'], places)[0, 1] < -0.5
    assert np.std(balance['T2w',]) < 0.75 * np.std(balance['T1w', 'T2w'])
