"""Scans are prepared once, on the grid and in the units of the network, and labels follow them."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from expert_layouts import make_valdo
from labelled_data import AFFINE, SHAPE, make_person, save
from model_cards import card
from refusals import refused
from torch import nn

from pvs_bidsapp.anatomy.resampling import Grid
from pvs_bidsapp.bids.labelled_scans import find_labelled_scans
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.commands.training_cache import (
    Preparation,
    cache_images,
    check_labels,
    locate_cached,
    prepare_image,
    read_cached,
    require_pvs,
)
from pvs_bidsapp.messages import masks, scans
from pvs_bidsapp.runtime.signals import Stopped, StopRequest
from pvs_bidsapp.segmentation.model import Model
from pvs_bidsapp.segmentation.network_input import BrainAnatomy
from pvs_bidsapp.segmentation.predict import Prediction, predict
from pvs_bidsapp.training.datasets import TrainingImage
from pvs_bidsapp.training.recipes import M2SS
from pvs_bidsapp.training.validation import Validator

PREPARATION = Preparation(spacing=1.0, channels=('T1w',))


@pytest.fixture(scope='module')
def bids(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('labelled')
    for k in (1, 2):
        make_person(root, f'sub-0{k}', k)
    return root


def find(root: Path, channels=('T1w',)):
    return find_labelled_scans(root, labels_dir(root), channels)


def prepare(scan, cache: Path) -> TrainingImage:
    files = locate_cached(scan, cache, PREPARATION)
    cache.mkdir(exist_ok=True)
    prepare_image(files, PREPARATION)
    return read_cached(files)


def test_a_scan_is_prepared_once_with_and_without_its_label(bids, tmp_path):
    scan = find(bids)[0]
    unlabelled = prepare(replace(scan, label=None), tmp_path)
    stored = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert len(stored) == 1
    labelled = prepare(scan, tmp_path)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in stored} == stored
    np.testing.assert_array_equal(labelled.image, unlabelled.image)
    assert labelled.label.any()
    assert not unlabelled.label.any()


def test_processes_give_paths_and_what_is_cached_is_not_prepared_again(bids, tmp_path, monkeypatch):
    scans = find(bids)
    cached = cache_images(scans, tmp_path, PREPARATION, nprocs=2)
    assert [c.scan.name for c in cached] == ['sub-01', 'sub-02']
    assert {p.name for p in tmp_path.iterdir()} == {p.name for c in cached for p in (c.image, c.label)}
    monkeypatch.setattr('pvs_bidsapp.commands.training_cache.map_in_processes', None)
    assert cache_images(scans, tmp_path, PREPARATION, nprocs=2) == cached
    image = read_cached(cached[0])
    assert (image.image.dtype, image.brain.dtype, image.label.dtype) == (np.float16, bool, np.uint8)
    assert image.voxel_volume == pytest.approx(1.0)


def test_names_of_cached_files_depend_on_files_and_preparation(bids, tmp_path):
    scan = find(bids, ('T1w', 'T2w'))[0]
    names = {
        locate_cached(scan, tmp_path, p).image.name
        for p in (
            PREPARATION,
            replace(PREPARATION, spacing=(0.6, 1.2)),
            replace(PREPARATION, channels=('T1w', 'T2w')),
        )
    }
    assert len(names) == 3
    # caches of all versions that read images in the same way are valid: the digest is that of this text
    files = locate_cached(scan, tmp_path, PREPARATION)
    parts = (scan.anat, scan.brain, scan.tissues)
    stamp = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in parts]
    rule = {'rule': 'wm-csf', 'wm': 0.4, 'csf': -2.0, 'low': -4.0, 'high': 3.0, 'outside': -2.0}
    digest = hashlib.sha256(repr((stamp, (3, rule, 1.0, ('T1w',)))).encode()).hexdigest()[:16]
    assert files.image.name == f'sub-01_{digest}.npz'
    assert files.label.name.startswith('sub-01_tracing_')


def test_a_t2w_is_the_second_channel(one, tmp_path):
    both = replace(PREPARATION, channels=('T1w', 'T2w'))
    files = locate_cached(find(one, both.channels)[0], tmp_path, both)
    prepare_image(files, both)
    image = read_cached(files)
    assert image.image.shape == (2, *image.brain.shape)
    spaces, others = image.label > 0, image.brain & (image.label == 0)
    # in units of white matter (0.4) and CSF (-2), whatever the contrast
    assert image.image[1][spaces].mean() < image.image[1][others].mean() - 1


def test_no_scan_is_prepared_after_a_stop_request(one, tmp_path):
    request = StopRequest()
    request.requested = True
    with pytest.raises(Stopped):
        cache_images(find(one), tmp_path, PREPARATION, nprocs=1, stop=request)
    assert not list(tmp_path.glob('*.npz'))


def test_scans_of_two_data_sets_with_one_name_have_files_of_their_own(tmp_path):
    for name in ('here', 'there'):
        make_person(tmp_path / name, 'sub-01', 1)
        assert prepare(find(tmp_path / name)[0], tmp_path / 'cache').name == 'sub-01'
    assert len(list((tmp_path / 'cache').glob('sub-01_tracing_*'))) == 2


LABEL = 'derivatives/labels/sub-01/anat/sub-01_label-PVS_mask.nii.gz'


@pytest.fixture
def one(tmp_path) -> Path:
    """A dataset of one labelled scan."""
    make_person(tmp_path / 'd', 'sub-01', 1)
    return tmp_path / 'd'


def in_disguise(data: np.ndarray, name: str) -> nib.Nifti1Image:
    """A label as somebody keeps it; `labelled_data.AFFINE` is that of the scan."""
    images = {
        '255': nib.Nifti1Image(data * 255, AFFINE),
        '0.8': nib.Nifti1Image(data * np.float32(0.8), AFFINE),
        'four axes': nib.Nifti1Image(data[..., None], AFFINE),
        'NIfTI-2': nib.Nifti2Image(data.astype('>i2'), AFFINE),
        'PSR': nib.Nifti1Image(data, AFFINE),
        'bare': nib.Nifti1Image(data, None),
    }
    if name == 'PSR':
        start = nib.orientations.io_orientation(AFFINE)
        order = nib.orientations.axcodes2ornt('PSR')
        return images[name].as_reoriented(nib.orientations.ornt_transform(start, order))
    if name == 'bare':
        images[name].set_sform(None, 0)
        images[name].set_qform(None, 0)
    return images[name]


@pytest.mark.parametrize('name', ['255', '0.8', 'four axes', 'NIfTI-2', 'PSR', 'bare'])
@pytest.mark.parametrize('ending', ['label-PVS_mask.nii', 'desc-rater1_label-PVS_mask.nii.gz'])
def test_a_label_in_any_form_is_learnt_voxel_by_voxel_as_the_plain_one(one, tmp_path, name, ending):
    before = prepare(find(one)[0], tmp_path)
    data = np.asarray(nib.load(one / LABEL).dataobj)
    (one / LABEL).unlink()
    nib.save(in_disguise(data, name), (one / LABEL).with_name(f'sub-01_{ending}'))
    after = prepare(find(one)[0], tmp_path)
    assert before.label.any()
    np.testing.assert_array_equal(before.label, after.label)


def test_a_label_on_another_grid_is_resampled_with_a_warning(one, tmp_path, caplog):
    before = prepare(find(one)[0], tmp_path)
    data = np.asarray(nib.load(one / LABEL).dataobj)
    shifted = AFFINE.copy()
    shifted[0, 3] = -10
    save(one / LABEL, np.pad(data, [(10, 0), (0, 0), (0, 0)]), shifted)
    (scan,) = find(one)
    assert check_labels([scan]) == {scan: data.sum()}
    assert 'resampled' in caplog.text
    np.testing.assert_array_equal(before.label, prepare(scan, tmp_path).label)
    shifted[0, 3] = 500
    save(one / LABEL, data, shifted)
    with refused(masks.ELSEWHERE, naming='does it belong to this scan'):
        prepare(find(one)[0], tmp_path)


def test_labels_are_read_before_the_scans_are_prepared(one, tmp_path, caplog):
    make_person(one, 'sub-02', 2)
    make_person(one, 'sub-03', 3, has_label=False)
    data = np.asarray(nib.load(one / LABEL).dataobj)
    save(one / LABEL, np.where(np.indices(data.shape)[0] > 30, 3 * data, data))
    second = Path(str(one / LABEL).replace('sub-01', 'sub-02'))
    second.write_bytes(second.read_bytes()[:100])
    with refused(masks.LABELS_UNUSABLE, naming='2 of 2'), caplog.at_level(logging.ERROR):
        check_labels(find(one))
    assert 'holds 2 labels, not one mask: 1, 3' in caplog.text
    assert 'sub-02_label-PVS_mask.nii.gz: cannot be read' in caplog.text


def test_a_labelled_scan_that_its_header_shows_to_be_unusable_is_refused_at_once(one):
    t1w = one / 'sub-01/anat/sub-01_T1w.nii.gz'
    save(t1w, np.asarray(nib.load(t1w).dataobj), np.diag([0.5, 0.5, 0.5, 1]))
    with refused(masks.LABELS_UNUSABLE, naming='a whole head'):
        check_labels(find(one))


def test_an_empty_label_is_reported_and_parts_without_any_pvs_are_refused(one, tmp_path, caplog):
    make_person(one, 'sub-02', 2, is_empty=True)
    full, empty = find(one)
    marked = check_labels([full, empty])
    assert 'sub-02_label-PVS_mask.nii.gz: the label is empty' in caplog.text
    assert 'sub-01_label' not in caplog.text
    require_pvs('all', [full, empty], marked)
    require_pvs('none', [], marked)
    with refused(masks.NO_PVS, naming='no label of the scans to validate on'):
        require_pvs('the scans to validate on', [empty], marked)
    assert not prepare(empty, tmp_path).label.any()


def test_a_label_that_vanishes_on_the_grid_of_the_network_is_reported(one, tmp_path, caplog):
    label = np.zeros(np.asarray(nib.load(one / LABEL).dataobj).shape, np.uint8)
    label[30, 30, 30] = 1
    save(one / LABEL, label)
    coarse = replace(PREPARATION, spacing=2.5)
    files = locate_cached(find(one)[0], tmp_path, coarse)
    prepare_image(files, coarse)
    assert not read_cached(files).label.any()
    assert 'the 1 marked voxels of the label vanish' in caplog.text


def test_ready_made_masks_and_tissues_are_read_with_the_same_care(one, tmp_path):
    folder = one / 'derivatives/labels/sub-01/anat'
    brain, tissues = folder / 'sub-01_desc-brain_mask.nii.gz', folder / 'sub-01_seg-tissue_dseg.nii.gz'
    plain = prepare(find(one)[0], tmp_path)
    inside, classes = (np.asarray(nib.load(p).dataobj) for p in (brain, tissues))
    save(brain, (255 * inside)[..., None])
    save(tissues, classes.astype(np.float32)[..., None])
    same = prepare(find(one)[0], tmp_path)
    np.testing.assert_array_equal(plain.brain, same.brain)
    np.testing.assert_array_equal(plain.image, same.image)
    save(tissues, 10 * classes)
    with refused(masks.NOT_TISSUES, naming='sub-01_seg-tissue_dseg.nii.gz'):
        prepare(find(one)[0], tmp_path)
    tissues.write_bytes(b'no image')
    with refused(scans.DAMAGED, naming='sub-01_seg-tissue_dseg.nii.gz'):
        prepare(find(one)[0], tmp_path)
    with refused(masks.LABELS_UNUSABLE, naming='sub-01_seg-tissue_dseg.nii.gz'):
        check_labels(find(one))
    brain.unlink()
    brain.symlink_to('../nowhere')  # as git-annex leaves it
    with refused(masks.LABELS_UNUSABLE, naming='sub-01_desc-brain_mask.nii.gz'):
        check_labels(find(one))


class Captured(nn.Module):
    """Keeps what it is given."""

    def forward(self, volume):
        self.volume = volume[0].numpy()
        return volume[:, :1]


@pytest.mark.parametrize('box', [(1, 1, 1), (48, 60, 44)])
def test_training_and_a_participant_run_give_a_network_the_same_input(bids, tmp_path, monkeypatch, box):
    monkeypatch.setattr(
        'pvs_bidsapp.anatomy.native.bias.correct', lambda image, affine, mask: image
    )  # a participant run corrects it otherwise
    scan = find(bids)[0]
    image = prepare(scan, tmp_path)
    network, given = Captured(), {}
    recipe = replace(M2SS, patch_size=None, stride=None, box=box)
    validator = Validator.of(recipe, [image], 'cpu')
    in_training = validator.probability(network, image)

    def run_network(model, volume, device, **_):
        given['volume'] = volume
        return Prediction(probability=1 / (1 + np.exp(-volume[0])), engine='', precision='fp32')

    monkeypatch.setattr('pvs_bidsapp.segmentation.predict.run_network', run_network)
    t1w, brain, tissues = (nib.load(p) for p in (scan.anat, scan.brain, scan.tissues))
    in_use = predict(
        [t1w.get_fdata(dtype=np.float32)],
        Grid(t1w.shape, t1w.affine),
        BrainAnatomy(
            brain=brain.get_fdata() > 0, tissues=tissues.get_fdata(dtype=np.float32), affine=brain.affine
        ),
        Model(card(box=box), tmp_path),
    ).probability
    np.testing.assert_array_equal(given['volume'].astype(np.float16), network.volume.astype(np.float16))
    inside = brain.get_fdata() > 0
    assert np.sort(in_use[inside]) == pytest.approx(np.sort(in_training[image.brain]), abs=1e-3)


def test_a_brain_mask_without_a_voxel_is_refused(one, tmp_path):
    brain = one / 'derivatives/labels/sub-01/anat/sub-01_desc-brain_mask.nii.gz'
    save(brain, np.zeros(SHAPE, np.uint8))
    with refused(masks.BRAIN_EMPTY, naming=brain.name):
        prepare(find(one)[0], tmp_path)


def test_nothing_is_learnt_from_where_nobody_has_traced(tmp_path):
    """Of a scan that was traced in part, only that part counts as brain."""
    root = make_valdo(tmp_path, 'sub-201')
    path = root / 'sub-201/sub-201_space-T1_desc-masked_Regions.nii.gz'
    scan = find_labelled_scans(root, root)[0]
    whole = prepare(scan, tmp_path / 'cache')
    with np.load(locate_cached(scan, tmp_path / 'cache', PREPARATION).image) as arrays:
        first = int(arrays['affine'][2, 3])  # of the grid of the network, in voxels of 1 mm
    save(path, 5 * (np.indices(SHAPE)[2] > 30).astype(np.uint8))
    part = prepare(scan, tmp_path / 'cache')
    traced = first + np.indices(whole.brain.shape)[2] > 30
    np.testing.assert_array_equal(part.brain, whole.brain & traced)
    np.testing.assert_array_equal(part.label, whole.label * traced)
    assert 0 < part.brain.sum() < whole.brain.sum()
    save(path, (np.indices(SHAPE)[2] > 62).astype(np.uint8))
    with refused(masks.NOTHING_TRACED, naming='Rater1'):
        prepare(scan, tmp_path / 'cache')
