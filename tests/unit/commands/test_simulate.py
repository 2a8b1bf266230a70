"""Simulated datasets: what is made, what is kept, what fails."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from refusals import refused

from pvs_bidsapp import messages
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.commands import insert, simulate
from pvs_bidsapp.errors import ImageError
from pvs_bidsapp.outputs.ground_truth import last_file
from pvs_bidsapp.runtime.files import save_image, write_json
from pvs_bidsapp.simulation.subjects import plan


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Stands for the simulation: writes the T1w and the last file of the ground truth of each session."""

    def simulate_subject(options, subject):
        if subject.anatomy is not None and subject.anatomy.name.startswith('bad'):
            raise ImageError(f'{subject.anatomy}: no white matter')
        for session in simulate._sessions(options, subject):
            t1w = session.scan.anat('T1w')
            save_image(t1w, np.zeros((2, 2, 2), np.uint8), np.diag([options.spacing or 1, 1, 1, 1]))
            notes = simulate._notes(options, subject) | {'WhiteMatterCount': 50}
            for names in (session.t2w_labels, session.labels):
                write_json(last_file(names), notes)

    def here(work, arguments, nprocs, what, names=None):
        return [work(*a) for a in arguments]

    monkeypatch.setattr(simulate, 'simulate_subject', simulate_subject)
    for module in (simulate, insert):
        monkeypatch.setattr(module, 'map_in_processes', here)
    monkeypatch.setattr('pvs_bidsapp.reports.gallery.draw_gallery', lambda *_: None)


@pytest.fixture
def options(tmp_path):
    return simulate.SimulationOptions(
        out_dir=tmp_path / 'heads',
        subjects=tuple(plan(2, [], 5)),
        suite='easy',
        spacing=None,
        nprocs=1,
        seed=5,
    )


def test_a_label_map_that_cannot_be_used_fails_its_heads_alone(options, tmp_path):
    maps = [tmp_path / 'good.nii.gz', tmp_path / 'bad.nii.gz']
    failed = simulate.run(replace(options, subjects=tuple(plan(4, maps, 5)), sessions=2))
    assert failed == {f'sub-{k:04d}': f'{maps[1]}: no white matter' for k in (2, 4)}
    table = pd.read_csv(options.out_dir / 'participants.tsv', sep='\t')
    assert table['participant_id'].tolist() == ['sub-0001', 'sub-0003']
    assert sorted(p.name for p in options.out_dir.glob('sub-*')) == ['sub-0001', 'sub-0003']


def test_if_all_label_maps_are_bad_there_is_no_table(options, tmp_path):
    subjects = tuple(plan(2, [tmp_path / 'bad.nii.gz'], 5))
    assert len(simulate.run(replace(options, subjects=subjects))) == 2
    assert not (options.out_dir / 'participants.tsv').exists()


def test_heads_are_kept_only_if_they_are_the_ones_asked_for(options, tmp_path):
    assert simulate.run(options) == {}
    assert simulate.run(replace(options, subjects=tuple(plan(3, [], 5)))) == {}
    for changed, naming in (
        (replace(options, suite='hard'), '--suite easy'),
        (replace(options, subjects=tuple(plan(2, [], 6))), '--seed [5, 1, 1]'),
        (replace(options, subjects=tuple(plan(2, [tmp_path / 'a.mgz'], 5))), '--label-maps MNI'),
        (replace(options, spacing=0.8), '--spacing 1'),
        (replace(options, sessions=2), 'several --sessions False'),
    ):
        with refused(messages.options.OTHER_SIMULATION, naming=naming):
            simulate.run(changed)
    other = replace(options, out_dir=tmp_path / 'other', sessions=2)
    simulate.run(other)
    with refused(messages.options.OTHER_SIMULATION, naming='several --sessions True'):
        simulate.run(replace(other, sessions=1))


def test_heads_that_are_kept_keep_their_sites_and_ratings(options):
    def heads(number, sites):
        return tuple(plan(number, [], 5, sites=sites))

    simulate.run(replace(options, subjects=heads(4, 3)))
    path = options.out_dir / 'participants.tsv'
    before = path.read_text()
    for changed, naming in (
        (replace(options, subjects=heads(4, 0)), '--sites that give site'),
        (replace(options, subjects=heads(4, 40)), '--sites that give site'),
        (replace(options, subjects=heads(4, 3), reliability=0.1), '--rater-reliability 0.85, not 0.1'),
    ):
        with refused(messages.options.OTHER_SIMULATION, naming=naming, status=2):
            simulate.run(changed)
    assert path.read_text() == before
    assert simulate.run(replace(options, subjects=heads(6, 3))) == {}
    assert path.read_text().startswith(before)


def test_the_table_tells_the_sites_of_heads_of_earlier_versions(options):
    simulate.run(options)
    for sidecar in labels_dir(options.out_dir).rglob('*_dseg.json'):
        notes = json.loads(sidecar.read_text())
        write_json(sidecar, {k: v for k, v in notes.items() if k not in {'Site', 'RaterReliability'}})
    with refused(messages.options.OTHER_SIMULATION, naming='--sites that give site n/a'):
        simulate.run(replace(options, subjects=tuple(plan(2, [], 5, sites=2))))
    assert simulate.run(options) == {}


@pytest.fixture
def real(tmp_path, monkeypatch):
    """Options of an insertion into three scans, of which one cannot be used and one is a dangling link."""
    bids = tmp_path / 'bids'
    for number in (1, 2, 3):
        path = bids / f'sub-{number}' / 'anat' / f'sub-{number}_T1w.nii.gz'
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), path)
    path.unlink()
    path.symlink_to('nowhere')
    (bids / 'participants.tsv').write_text('participant_id\tage\tname\nsub-1\t50\tJane Doe\n')
    options = insert.InsertionOptions(bids_dir=bids, out_dir=tmp_path / 'out', suite='easy', nprocs=1, seed=3)

    def insert_one(options, number, t1w, t2w, labels, folder):
        if 'sub-2' in t1w.name:
            raise ImageError(f'{t1w}: empty')
        write_json(last_file(labels), {'Suite': options.suite, 'Seed': [options.seed, number]})

    monkeypatch.setattr(insert, '_insert_into_scan', insert_one)
    return options


def test_scans_that_cannot_be_used_are_named_and_the_others_are_done(real):
    done, failed = insert.run(real)
    assert done == 1
    assert sorted(name.rsplit('/', 1)[-1] for name in failed) == ['sub-2_T1w.nii.gz', 'sub-3_T1w.nii.gz']
    assert (real.out_dir / 'participants.tsv').read_text() == 'participant_id\tage\nsub-1\t50\n'
    assert not [p for p in real.out_dir.rglob('*') if p.is_file() and b'Jane' in p.read_bytes()]


def test_an_insertion_is_kept_only_if_it_is_the_one_asked_for(real):
    insert.run(real)
    assert insert.run(real)[0] == 1
    for changed, naming in (
        (replace(real, suite='hard'), '--suite easy'),
        (replace(real, seed=4), '--seed 3'),
        (replace(real, contrast=(0.2, 0.4)), '--contrast None'),
    ):
        with refused(messages.options.OTHER_SIMULATION, naming=naming):
            insert.run(changed)
    (last,) = labels_dir(real.out_dir).rglob('*_dseg.json')
    write_json(last, {'Suite': 'easy', 'Seed': [3, 7]})  # its number depends on the other scans
    assert insert.run(real)[0] == 1


def test_a_scan_that_vanishes_is_named_and_another_file_that_does_is_not_its_fault(real, monkeypatch):
    path = real.bids_dir / 'sub-1' / 'anat' / 'sub-1_T1w.nii.gz'

    def vanished(options, number, t1w, t2w, labels, folder):
        raise FileNotFoundError(2, 'No such file or directory', str(path))

    monkeypatch.setattr(insert, '_insert_into_scan', vanished)
    assert 'not any more' in insert.insert_into_scan(real, 0, path, None)
    with pytest.raises(FileNotFoundError):
        insert.insert_into_scan(real, 0, path.with_name('sub-2_T1w.nii.gz'), None)
