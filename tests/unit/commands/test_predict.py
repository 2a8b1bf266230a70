"""Scans without BIDS names: which are taken, how they are labelled, and that none overwrites another."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import put
from refusals import refused

from pvs_bidsapp.anatomy.conform import load_scan
from pvs_bidsapp.bids.naming import LABEL, Naming
from pvs_bidsapp.commands.predict import find_images, label_of, select_scans, stage
from pvs_bidsapp.interfaces.anatomy import Conform
from pvs_bidsapp.messages import datasets
from pvs_bidsapp.messages.message import error_of
from pvs_bidsapp.outputs.scan import fingerprint
from pvs_bidsapp.workflows.scan import init_scan_wf


def select(folder, settings, t2w=None):
    return select_scans(find_images(folder), t2w, settings)


def staged(selection, root: Path) -> dict[str, Path]:
    """Where the links below a folder lead, by their relative paths."""
    stage(selection, root)
    return {p.relative_to(root).as_posix(): p.resolve() for p in sorted(root.rglob('*')) if p.is_symlink()}


def finish(selection, settings, root):
    """Write the record of results as the workflow does at its end."""
    for scan in stage(selection, root).scans:
        record = {'fingerprint': fingerprint(scan, settings), 'inputs': scan.inputs, 'files': []}
        names = Naming.of(settings.out_dir, scan.anat)
        put(names.logs, names.status.name, content=json.dumps(record).encode())


def needing_t2w(settings):
    return replace(settings, analysis=replace(settings.analysis, channels=('T1w', 'T2w'), modality='auto'))


def test_each_scan_becomes_a_subject_named_after_its_file(tmp_path, settings):
    put(tmp_path, 'in/head 1.nii.gz', 'in/sub-7_T1w.nii', 'in/c.mgz', 'in/D.NII.GZ')
    assert staged(select(tmp_path / 'in', settings), tmp_path / 'bids') == {
        'sub-7/anat/sub-7_T1w.nii': tmp_path / 'in' / 'sub-7_T1w.nii',
        'sub-D/anat/sub-D_T1w.nii.gz': tmp_path / 'in' / 'D.NII.GZ',
        'sub-c/anat/sub-c_T1w.mgz': tmp_path / 'in' / 'c.mgz',
        'sub-head1/anat/sub-head1_T1w.nii.gz': tmp_path / 'in' / 'head 1.nii.gz',
    }


@pytest.mark.parametrize('extension', ['mgz', 'mgh'])
def test_the_link_to_a_file_of_freesurfer_is_read_as_the_scan(tmp_path, settings, rng, extension):
    data = (100 * rng.random((64, 70, 66))).astype(np.float32)
    affine = np.array([[-2.0, 0, 0, 60], [0, 0, 2, -70], [0, -2, 0, 60], [0, 0, 0, 1]])
    (tmp_path / 'in').mkdir()
    nib.save(nib.MGHImage(data, affine), tmp_path / 'in' / f'orig.{extension}')
    (scan,) = stage(select(tmp_path / 'in', settings), tmp_path / 'bids').scans
    nib.save(nib.Nifti1Image(data, affine), tmp_path / 'orig.nii')
    one, two = load_scan(scan.anat), load_scan(tmp_path / 'orig.nii')
    np.testing.assert_allclose(one.image, two.image, rtol=1e-6)
    np.testing.assert_allclose(one.grid.affine, two.grid.affine, atol=1e-4)


@pytest.mark.parametrize(
    ('name', 'label'),
    [
        ('sub-01_ses-2_T1w.nii.gz', '01ses2'),
        ('scan.v1.nii.gz', 'scanv1'),
        ('Müller.nii', 'Muller'),
        ('Möller.nii', 'Moller'),
        ('患者.nii', 'u60a3u8005'),
    ],
)
def test_labels(name, label):
    assert label_of(Path(name)) == label


@given(st.text(st.characters(exclude_characters='/\0'), min_size=1, max_size=20))
def test_a_label_is_made_of_any_name(name):
    for path in (Path(f'{name}.nii.gz'), Path(name)):
        assert LABEL.fullmatch(label_of(path))
        root = Path('/out')
        assert Naming.of(root, Path(f'sub-{label_of(path)}_T1w.nii')).anat('mask').is_relative_to(root)


def test_names_without_letters_are_told_apart(tmp_path, settings):
    put(tmp_path, '___.nii', '---.nii', '!.nii.gz')
    selection = select(tmp_path, settings)
    assert len({scan.anat.name for scan in selection.scans}) == 3


@pytest.mark.parametrize('names', [('a-b.nii.gz', 'ab.nii.gz'), ('A.nii', 'a.nii'), ('a.nii', 'a.nii.gz')])
def test_two_files_of_one_label_are_refused_by_name_and_others_are_taken(tmp_path, settings, names):
    put(tmp_path, *names, 'other.nii')
    selection = select(tmp_path, settings)
    assert [scan.name for scan in selection.scans] == ['other.nii']
    assert {r.name for r in selection.refused} == set(names)
    for one in selection.refused:
        (other,) = set(names) - {one.name}
        with refused(datasets.SAME_LABEL, naming=other):
            raise error_of(one.finding)
    assert all(one.entities is None for one in selection.refused)


def test_hidden_and_other_files_are_skipped(tmp_path, settings, caplog):
    put(
        tmp_path,
        'a_T1w.nii.gz',
        '._a_T1w.nii.gz',
        '.b.nii',
        'a_T2w.nii.gz',
        'a_FLAIR.nii',
        'x.json',
        'sub/c.nii',
    )
    assert [scan.name for scan in select(tmp_path, settings).scans] == ['a_T1w.nii.gz']
    assert sorted(Path(m.split(':')[0]).name for m in caplog.messages) == ['a_FLAIR.nii', 'a_T2w.nii.gz']


def test_files_that_cannot_be_read_are_named_and_others_are_taken(tmp_path, settings):
    put(tmp_path, 'good.nii')
    put(tmp_path, 'empty.nii', content=b'')
    (tmp_path / 'gone.nii.gz').symlink_to('/nowhere')
    (tmp_path / 'folder.nii').mkdir()
    put(tmp_path, f'{"a" * 240}.nii')
    selection = select(tmp_path, settings)
    assert [scan.name for scan in selection.scans] == ['good.nii']
    assert {r.name[:10] for r in selection.refused} == {'empty.nii', 'gone.nii.g', 'folder.nii', 'a' * 10}
    assert sorted(r.finding.code for r in selection.refused) == [
        'dataset-dangling-link', 'dataset-empty-file', 'dataset-long-name', 'dataset-not-a-file',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('files', 'word'),
    [
        ((), 'give a folder with T1w scans'),
        (('a/b.nii', 'c/d.nii'), 'folders (a, c)'),
        (('sub-01/anat/sub-01_T1w.nii',), 'BIDS_DIR OUT_DIR participant'),
        (('IM0001.dcm',), 'dcm2niix'),
        (('DICOMDIR',), 'dcm2niix'),
        (('._a.nii',), 'no *.nii'),
        (('a_T2w.nii',), 'no *.nii'),
    ],
)
def test_a_folder_without_scans_is_refused_with_what_it_holds(tmp_path, files, word):
    put(tmp_path, *files)
    with refused(datasets.NO_IMAGES, naming=word):
        find_images(tmp_path)


def test_dicom_without_extension_is_recognised(tmp_path):
    put(tmp_path, '0001', content=bytes(128) + b'DICM')
    os.mkfifo(tmp_path / '0000')
    with refused(datasets.NO_IMAGES, naming='dcm2niix'):
        find_images(tmp_path)


def test_a_path_that_is_no_scan(tmp_path):
    with refused(datasets.NO_FILE, naming='none.nii'):
        find_images(tmp_path / 'none.nii')
    put(tmp_path, 'a.dcm')
    with refused(datasets.NOT_AN_IMAGE, naming='a.dcm'):
        find_images(tmp_path / 'a.dcm')


# ---- T2w


def test_a_t2w_goes_with_its_t1w(tmp_path, settings):
    put(tmp_path, 'a/T1.nii', 'b/T2.nii.gz')
    settings = needing_t2w(settings)
    assert staged(
        select(tmp_path / 'a' / 'T1.nii', settings, tmp_path / 'b' / 'T2.nii.gz'), tmp_path / 'x'
    ) == {
        'sub-T1/anat/sub-T1_T1w.nii': tmp_path / 'a' / 'T1.nii',
        'sub-T1/anat/sub-T1_T2w.nii.gz': tmp_path / 'b' / 'T2.nii.gz',
    }


def test_without_the_t2w_that_is_needed_nothing_is_done(tmp_path, settings):
    put(tmp_path, 'T1.nii')
    (one,) = select(tmp_path, needing_t2w(settings)).refused
    with refused(datasets.NO_T2W, naming='T1.nii'):
        raise error_of(one.finding)


def test_a_t2w_that_cannot_be_meant_is_refused(tmp_path, settings):
    put(tmp_path, 'T1.nii', 'b.nii', 'x.dcm')
    (tmp_path / 'same.nii').symlink_to('T1.nii')
    (tmp_path / 'gone.nii').symlink_to('/nowhere')
    t1w = tmp_path / 'T1.nii'
    for t2w in (t1w, tmp_path / 'same.nii'):
        with refused(datasets.T2W_IS_T1W, naming=t2w.name):
            select(t1w, settings, t2w)
    with refused(datasets.T2W_OF_ONE):
        select(tmp_path, settings, tmp_path / 'b.nii')
    with refused(datasets.NO_FILE, naming='none.nii'):
        select(t1w, settings, tmp_path / 'none.nii')
    with refused(datasets.NOT_AN_IMAGE, naming='x.dcm'):
        select(t1w, settings, tmp_path / 'x.dcm')
    with pytest.raises(datasets.NO_FILE.kind, match='leads nowhere'):
        select(t1w, settings, tmp_path / 'gone.nii')


def test_a_t2w_that_is_not_wanted_is_said_to_be_left_out(tmp_path, settings, caplog):
    put(tmp_path, 'T1.nii', 'b.nii')
    (scan,) = select(tmp_path / 'T1.nii', settings, tmp_path / 'b.nii').scans
    assert scan.t2w is None
    assert 'b.nii: this T2w is not used' in caplog.text


# ---- calls that follow each other


def test_nothing_of_an_earlier_call_is_taken_into_the_next(tmp_path, settings):
    put(tmp_path, 'a/T1.nii', 'a/old.nii', 'b/T1.nii', 'T2.nii')
    auto = replace(settings, analysis=replace(settings.analysis, modality='auto'))
    staged(select(tmp_path / 'a' / 'T1.nii', auto, tmp_path / 'T2.nii'), tmp_path / 'one')
    staged(select(tmp_path / 'a', auto), tmp_path / 'two')
    assert staged(select(tmp_path / 'b', auto), tmp_path / 'three') == {
        'sub-T1/anat/sub-T1_T1w.nii': tmp_path / 'b' / 'T1.nii'
    }


def test_results_of_another_file_of_the_same_name_are_not_overwritten(tmp_path, settings):
    put(tmp_path, 'a/T1.nii', 'b/T1.nii', 'b/other.nii')
    for folder in 'ab':
        os.utime(tmp_path / folder / 'T1.nii', ns=(1, 1))  # size and time say nothing
    finish(select(tmp_path / 'a', settings), settings, tmp_path / 'one')
    selection = select(tmp_path / 'b', settings)
    assert [scan.name for scan in selection.scans] == ['other.nii']
    with refused(datasets.OTHER_SOURCE, naming=str(tmp_path / 'a' / 'T1.nii')) as _:
        raise error_of(selection.refused[0].finding)
    assert selection.refused[0].path == str(tmp_path / 'b' / 'T1.nii')
    assert len(select(tmp_path / 'a', settings).scans) == 1


def test_the_same_file_is_the_same_scan_wherever_it_is_linked(tmp_path, settings):
    put(tmp_path, 'a/T1.nii')
    (tmp_path / 'link').symlink_to('a')
    one = stage(select(tmp_path / 'a', settings), tmp_path / 'one').scans[0]
    two = stage(select(tmp_path / 'link', settings), tmp_path / 'two').scans[0]
    assert fingerprint(one, settings) == fingerprint(two, settings)
    assert one.key == two.key
    finish(select(tmp_path / 'a', settings), settings, tmp_path / 'three')
    assert len(select(tmp_path / 'link', settings).scans) == 1


def test_finished_steps_are_used_again_wherever_the_links_lie(tmp_path, settings):
    put(tmp_path, 'a/T1.nii')
    hashes = set()
    for call in ('one', 'two'):
        (scan,) = stage(select(tmp_path / 'a', settings), tmp_path / call).scans
        inputs = init_scan_wf(scan, settings).get_node('inputnode').inputs
        hashes.add(Conform(in_file=inputs.anat).inputs.get_hashval(hash_method='timestamp')[1])
    assert len(hashes) == 1


def test_another_t2w_gives_other_results(tmp_path, settings):
    put(tmp_path, 'T1.nii', 'a/T2.nii', 'b/T2.nii')
    for folder in 'ab':
        os.utime(tmp_path / folder / 'T2.nii', ns=(1, 1))
    settings = needing_t2w(settings)
    one, two = (select(tmp_path / 'T1.nii', settings, tmp_path / f / 'T2.nii').scans[0] for f in 'ab')
    assert fingerprint(one, settings) != fingerprint(two, settings)


def test_results_and_failures_of_a_dataset_are_not_overwritten(tmp_path, settings):
    put(tmp_path, 'in/01.nii', 'in/02.nii', 'in/03.nii')
    logs = settings.out_dir / 'logs'
    inputs = {'t1w': ['sub-01_T1w.nii.gz', 5, 7]}
    put(logs, 'sub-01_status.json', content=json.dumps({'inputs': inputs, 'files': []}).encode())
    put(logs, 'sub-02_failure.json', content=b'{"scan": "sub-02/anat/sub-02_T1w.nii", "reason": "no"}')
    put(logs, 'sub-03_failure.json', content=f'{{"scan": "{tmp_path}/in/03.nii", "reason": "no"}}'.encode())
    selection = select(tmp_path / 'in', settings)
    assert [scan.name for scan in selection.scans] == ['03.nii']
    assert [r.finding.code for r in selection.refused] == ['dataset-other-source'] * 2


def test_damaged_records_end_nothing(tmp_path, settings):
    put(tmp_path, 'in/01.nii')
    for content in (b'', b'[]', b'{"inputs": 3}', b'\xff', b'{"inputs": {"t1w": 1}}', b'[' * 10**5):
        put(settings.out_dir / 'logs', 'sub-01_status.json', 'sub-01_failure.json', content=content)
        assert len(select(tmp_path / 'in', settings).scans) == 1
