"""Insertion into the template's own images, whose anatomy is known without registration."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from disguises import DISGUISES
from phantoms import no_field

from pvs_bidsapp.anatomy import template
from pvs_bidsapp.anatomy.brain import Brain
from pvs_bidsapp.anatomy.registration import Transform
from pvs_bidsapp.anatomy.resampling import Grid, resample
from pvs_bidsapp.commands import insert
from pvs_bidsapp.simulation.detectability import detectability

IDENTITY = Transform((), ())


def template_brain(image, affine, folder):
    """Stands for `extract_brain`."""
    atlas = template.load()
    classes = np.where(atlas.wm > 0.5, 3, np.where(atlas.gm > 0.4, 2, 1)) * atlas.brain_mask
    tissues = resample(classes, atlas.affine, Grid(image.shape, affine), order=0).astype(np.uint8)
    return Brain(
        mask=tissues > 0,
        bias=no_field(image.shape, affine),
        tissues=tissues,
        to_subject=IDENTITY,
        to_template=IDENTITY,
        stripped=False,
        fit=1.0,
        findings=(),
    )


@pytest.fixture(scope='module')
def inserted(tmp_path_factory):
    """Options, T1w and T2w of an insertion into the template at 2 mm, and why it was not done.

    The voxels of the T1w are in another order than those of the T2w, which has fewer.
    """
    root = tmp_path_factory.mktemp('insert')
    atlas = template.load()
    affine = atlas.affine @ np.diag([2, 2, 2, 1])
    anat = root / 'bids' / 'sub-01' / 'anat'
    anat.mkdir(parents=True)
    for suffix, image in (('T1w', atlas.t1w), ('T2w', atlas.t2w)):
        data = np.rint(100 * image[::2, ::2, ::2] / image.max()).astype(np.int16)
        data = data[: None if suffix == 'T1w' else -3]
        scan = DISGUISES['psr' if suffix == 'T1w' else 'plain'](nib.Nifti1Image(data, affine))
        nib.save(scan, anat / f'sub-01_{suffix}.nii.gz')
    options = insert.InsertionOptions(
        bids_dir=root / 'bids', out_dir=root / 'out', suite='easy', nprocs=1, seed=6
    )
    paths = anat / 'sub-01_T1w.nii.gz', anat / 'sub-01_T2w.nii.gz'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(insert, 'extract_brain', template_brain)
        patch.setattr(insert, 'align_t2w', lambda *_: IDENTITY)
        done = insert.insert_into_scan(options, 0, *paths)
    return options, *paths, done


def test_nothing_changes_outside_the_inserted_pvs(inserted):
    options, t1w, t2w, done = inserted
    assert done == ''
    anat = options.out_dir / 'derivatives' / 'labels' / 'sub-01' / 'anat'
    stored = nib.load(anat / 'sub-01_label-PVS_probseg.nii.gz')
    for path, sign in ((t1w, -1), (t2w, 1)):
        before, after = nib.load(path), nib.load(options.out_dir / 'sub-01' / 'anat' / path.name)
        start, end = (nib.orientations.io_orientation(i.affine) for i in (stored, before))
        turned = stored.as_reoriented(nib.orientations.ornt_transform(start, end))
        occupancy = turned.get_fdata()[tuple(map(slice, before.shape))]
        assert after.get_data_dtype() == before.get_data_dtype()
        np.testing.assert_array_equal(after.affine, before.affine)
        assert (occupancy > 0.4).sum() > 20
        change = after.get_fdata() - before.get_fdata()
        assert not change[occupancy == 0].any()
        assert (sign * change >= 0).all()  # dark on T1w, bright on T2w
        assert (sign * change[occupancy > 0.4]).mean() > 3


def test_a_t2w_of_two_scans_gets_the_spaces_of_the_first(tmp_path, monkeypatch, caplog):
    anat = tmp_path / 'bids/sub-01/anat'
    anat.mkdir(parents=True)
    (tmp_path / 'bids/dataset_description.json').write_text('{"Name": "two", "BIDSVersion": "1.10.0"}')
    for name in ('run-1_T1w', 'run-2_T1w', 'T2w'):
        nib.save(
            nib.Nifti1Image(np.ones((90, 90, 90), np.int16), np.diag([2, 2, 2, 1])),
            anat / f'sub-01_{name}.nii.gz',
        )
    tasks = []
    monkeypatch.setattr(
        insert, 'map_in_processes', lambda work, calls, *_, **__: tasks.extend(calls) or [''] * len(calls)
    )
    monkeypatch.setattr('pvs_bidsapp.reports.gallery.draw_gallery', lambda *_: None)
    insert.run(
        insert.InsertionOptions(
            bids_dir=tmp_path / 'bids', out_dir=tmp_path / 'out', suite='easy', nprocs=1, seed=6
        )
    )
    assert [(t1w.name, t2w and t2w.name) for _, _, t1w, t2w in tasks] == [
        ('sub-01_run-1_T1w.nii.gz', 'sub-01_T2w.nii.gz'), ('sub-01_run-2_T1w.nii.gz', None),
    ]  # fmt: skip
    assert 'its T2w is that of another scan, too (sub-01_run-1_T1w.nii.gz)' in caplog.text


def test_the_ground_truth_is_complete(inserted):
    options, t1w, _, _ = inserted
    anat = options.out_dir / 'derivatives' / 'labels' / 'sub-01' / 'anat'
    scan = nib.load(t1w)
    aseg = nib.load(anat / 'sub-01_seg-aseg_dseg.nii.gz')
    assert aseg.shape == scan.shape
    assert {2, 3, 12, 41, 42, 51} <= set(np.unique(np.asarray(aseg.dataobj)))
    tissues = np.asarray(nib.load(anat / 'sub-01_seg-tissue_dseg.nii.gz').dataobj)
    brain = np.asarray(nib.load(anat / 'sub-01_desc-brain_mask.nii.gz').dataobj)
    np.testing.assert_array_equal(tissues > 0, brain > 0)
    index = np.asarray(nib.load(anat / 'sub-01_desc-pvs_dseg.nii.gz').dataobj)
    table = pd.read_csv(anat / 'sub-01_desc-pvs_dseg.tsv', sep='\t')
    assert set(np.unique(index)) - {0} <= set(table['index'])
    assert not (anat / 'sub-01_desc-mimics_dseg.nii.gz').exists()


def test_detectability_is_that_on_the_t1w(inserted):
    options, t1w, _, _ = inserted
    anat = options.out_dir / 'derivatives' / 'labels' / 'sub-01' / 'anat'
    index = nib.load(anat / 'sub-01_desc-pvs_dseg.nii.gz')
    table = pd.read_csv(anat / 'sub-01_desc-pvs_dseg.tsv', sep='\t')
    before, after = (nib.load(path) for path in (t1w, options.out_dir / 'sub-01' / 'anat' / t1w.name))
    change = (after.get_fdata() - before.get_fdata()).astype(np.float32)
    ratio = detectability(change, np.asarray(index.dataobj), len(table), 1.0) / table['detectability']
    # that of the noise, about 1; voxels that spaces fill in part have no index, and count here
    assert ratio[ratio > 0].between(0.8, 3).all()
    assert (ratio > 0).sum() > 40


def test_contrasts_come_from_the_suite_or_from_the_range_that_is_asked_for(tmp_path):
    options = insert.InsertionOptions(bids_dir=tmp_path, out_dir=tmp_path, suite='easy', nprocs=1, seed=6)
    faint = replace(options, contrast=(0.25, 0.45))
    chosen, usual = (insert._draw_contrasts(o, 500, np.random.default_rng(1)) for o in (faint, options))
    assert 0.25 <= chosen.min() < 0.26 < 0.44 < chosen.max() <= 0.45
    assert 0.7 * 0.75 <= usual.min() < usual.max() <= 1.3
    assert usual.std() / usual.mean() == pytest.approx(0.1, abs=0.02)
    assert insert._notes(faint, 3, 'sub-01_T1w.nii.gz')['Contrast'] == [0.25, 0.45]
    assert 'Contrast' not in insert._notes(options, 3, 'sub-01_T1w.nii.gz')


def test_a_scan_is_not_done_twice(inserted, monkeypatch):
    options, t1w, t2w, _ = inserted
    monkeypatch.setattr(insert, 'load_scan', lambda path: pytest.fail('read again'))
    assert insert.insert_into_scan(options, 0, t1w, t2w) == ''


def test_a_bad_scan_is_said_and_left_out(inserted, tmp_path):
    options, *_ = inserted
    path = tmp_path / 'sub-02_T1w.nii.gz'
    nib.save(nib.Nifti1Image(np.zeros((40, 40, 40), np.float32), np.diag([4, 4, 4, 1])), path)
    assert 'empty' in insert.insert_into_scan(options, 1, path, None)
