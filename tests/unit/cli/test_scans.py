"""``pvs BIDS_DIR OUT_DIR participant`` from the scans that are there to the exit status; no step is run."""

from __future__ import annotations

import json
import os

import pytest
from layouts import put, put_images, put_results
from refusals import refused

from pvs_bidsapp.cli.app import parser
from pvs_bidsapp.cli.main import main
from pvs_bidsapp.cli.participant import make_query
from pvs_bidsapp.messages import datasets, options
from pvs_bidsapp.workflows import engine

GOOD = [f'sub-0{n}/anat/sub-0{n}_T1w.nii.gz' for n in (1, 2, 3)]


@pytest.fixture
def worked_on(monkeypatch):
    """Finish every scan at once; returns their names."""
    given = []

    def run_scans(scans, settings, failures, *, total, on_end):
        for scan in scans:
            given.append(scan.anat.name)
            put_results(scan, settings)
            on_end(scan)

    monkeypatch.setattr(engine, 'run_scans', run_scans)
    return given


@pytest.fixture
def participant(tmp_path):
    def run(*arguments):
        out = tmp_path / 'out'
        return main(
            [str(tmp_path / 'bids'), str(out), 'participant', '--device', 'cpu', *map(str, arguments)]
        )

    return run


@pytest.fixture
def mixed(tmp_path):
    """Three good subjects and eight bad ones."""
    root = put_images(tmp_path / 'bids', *GOOD)
    for subject, what in {'11': 'annex', '12': 'dangling', '13': 'empty', '14': 'folder'}.items():
        path = root / f'sub-{subject}' / 'anat' / f'sub-{subject}_T1w.nii.gz'
        path.parent.mkdir(parents=True)
        target = {'annex': '../../.git/annex/objects/a', 'dangling': '/nowhere'}.get(what)
        path.symlink_to(target) if target else path.mkdir() if what == 'folder' else path.touch()
    put_images(
        root,
        'sub-15/ses-1/anat/sub-15_T1w.nii.gz',
        'sub-16/anat/sub-16_T1w.nii',
        'sub-16/anat/sub-16_T1w.nii.gz',
    )
    put_images(root, 'sub-17/anat/sub-18_T1w.nii.gz', 'sub-18/anat/sub-18_ses-1_T1w.nii.gz')
    return root


def test_three_good_and_eight_bad_subjects(mixed, participant, worked_on, tmp_path, capsys):
    assert participant() == 1
    assert worked_on == [name.rsplit('/', 1)[-1] for name in GOOD]
    said = capsys.readouterr()
    assert '3 done, 0 kept, 9 failed' in said.out
    errors = [line for line in said.err.splitlines() if line.startswith('pvs: error: ')]
    for subject in range(11, 19):
        assert any(f'sub-{subject}' in line for line in errors)
        page = next((tmp_path / 'out').glob(f'sub-{subject}*.html')).read_text()
        assert 'failed:' in page
    assert participant() == 1
    assert len(worked_on) == 3


def test_a_dry_run_tells_what_is_refused(mixed, participant, tmp_path, capsys):
    assert participant('--dry-run') == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert 'pvs: error: sub-11_T1w.nii.gz: its content is not here' in said.err
    assert '3 scans, 9 refused' in said.err
    assert not (tmp_path / 'out').exists()


def test_if_nothing_is_left_the_reasons_are_told_and_recorded(participant, worked_on, tmp_path, capsys):
    put(tmp_path / 'bids', *(f'sub-01/ses-{s}/anat/sub-01_T1w.nii.gz' for s in '12'))
    assert participant() == 2
    error = capsys.readouterr().err
    assert 'sub-01/ses-1/anat/sub-01_T1w.nii.gz' in error
    assert 'sub-01/ses-2/anat/sub-01_T1w.nii.gz' in error
    assert worked_on == []
    assert len(list((tmp_path / 'out' / 'logs').glob('*_failure.json'))) == 2


def test_a_misspelt_label_among_many_is_told_before_work(participant, worked_on, tmp_path, capsys):
    for number in range(200):
        put_images(tmp_path / 'bids', f'sub-{number:03d}/anat/sub-{number:03d}_T1w.nii.gz')
    labels = [f'sub-{number:03d}' for number in range(199)]
    assert participant('--participant-label', *labels, '1O0') == 2
    assert '1O0 (nearest: ' in capsys.readouterr().err
    assert worked_on == []
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'options', [('--modality', 'T1w+T2w'), ('--model', 'm2ss-t1t2'), ('--model', 'm2ss-t1t2', '--dry-run')]
)
def test_scans_without_the_t2w_that_is_needed_are_refused_before_work(
    participant, worked_on, tmp_path, capsys, options
):
    put_images(tmp_path / 'bids', *GOOD, 'sub-02/anat/sub-02_T2w.nii.gz')
    assert participant(*options) == 1
    said = capsys.readouterr()
    assert worked_on == ([] if '--dry-run' in options else ['sub-02_T1w.nii.gz'])
    for name in ('sub-01_T1w.nii.gz', 'sub-03_T1w.nii.gz'):
        assert f'pvs: error: {name}: no T2w' in said.err


def test_an_index_of_other_subjects_hides_nobody(participant, worked_on, tmp_path):
    put_images(tmp_path / 'bids', *GOOD)
    put(tmp_path / 'index', 'layout_index.sqlite', content=b'damaged')
    option = ('--bids-database-dir', tmp_path / 'index')
    assert participant('--participant-label', '01', *option) == 0
    assert participant(*option) == 0
    assert len(worked_on) == 3


def test_a_filtered_run_and_pages_alone_keep_all_scans_on_the_page(participant, worked_on, tmp_path):
    runs = [f'sub-01/anat/sub-01_run-{n}_T1w.nii' for n in (1, 2)]
    put_images(tmp_path / 'bids', *runs)
    assert participant() == 0
    path = tmp_path / 'filter.json'
    path.write_text('{"t1w": {"run": 1}}')
    for added in (('--threshold', '0.7'), (), ('--reports-only',)):
        assert participant('--bids-filter-file', path, *added) == 0
        page = (tmp_path / 'out' / 'sub-01.html').read_text()
        assert 'sub-01_run-1' in page
        assert 'sub-01_run-2' in page


@pytest.mark.parametrize('option', [(), ('--dry-run',), ('--reports-only',)])
def test_pages_of_another_program_are_not_written_over(participant, worked_on, tmp_path, capsys, option):
    put_images(tmp_path / 'bids', GOOD[0])
    description = json.dumps({'Name': 'fMRIPrep', 'GeneratedBy': [{'Name': 'fMRIPrep'}]})
    put(tmp_path / 'out', 'dataset_description.json', content=description.encode())
    put(tmp_path / 'out', 'sub-01.html', content=b'theirs')
    assert participant(*option) == 2
    assert 'a dataset that this program has not made (fMRIPrep)' in capsys.readouterr().err
    assert (tmp_path / 'out' / 'sub-01.html').read_bytes() == b'theirs'


def test_labels_are_taken_as_shells_complete_them():
    arguments = ['b', 'o', 'participant', '--participant-label', 'sub-01/', '01', '--session-label', 'ses-a/']
    query = make_query(parser().parse_args(arguments))
    assert (query.subjects, query.sessions) == (('01',), ('a',))


@pytest.mark.parametrize('path', ['{folder}/none', ''])
def test_a_derivative_dataset_that_is_not_there(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'x').mkdir()
    entry = f'x={path.format(folder=tmp_path)}'
    with refused(datasets.NO_DERIVATIVES, naming=entry):
        make_query(parser().parse_args(['b', 'o', 'participant', '-d', entry]))


def test_outputs_are_not_inputs_as_well(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path)
    with refused(options.INSIDE_INPUT, naming='--derivatives own='):
        make_query(parser().parse_args(['b', str(tmp_path), 'participant', '-d', f'own={tmp_path}/link']))


def test_nothing_is_written_to_the_dataset(mixed, participant, worked_on):
    before = sorted((p, os.lstat(p).st_mtime_ns) for p in mixed.rglob('*'))
    participant()
    assert sorted((p, os.lstat(p).st_mtime_ns) for p in mixed.rglob('*')) == before


@pytest.mark.parametrize(('options', 'threads', 'adapts', 'keeps'), [
    ([], 4, True, False),
    (['--omp-nthreads', 2], 2, False, False),
    (['--omp-nthreads', 9, '--clean-workdir'], 4, False, False),
    (['--keep-workdir', '-w', 'work'], 4, True, True),
])  # fmt: skip
def test_threads_and_what_becomes_of_intermediate_files(
    tmp_path, monkeypatch, participant, caplog, options, threads, adapts, keeps
):
    """Threads of a step are at most the processes, and the user is told; files go unless they are to stay."""
    put_images(tmp_path / 'bids', GOOD[0])
    given = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        engine, 'run_scans', lambda scans, settings, *_, **__: given.append((settings, list(scans)))
    )
    participant('--nprocs', 4, *options)
    execution = given[0][0].execution
    assert (execution.omp_nthreads, execution.adapt_threads) == (threads, adapts)
    assert execution.clean_workdir is not keeps
    assert ('more threads than --nprocs allows' in caplog.text) is (9 in options)


def test_intermediate_files_cannot_both_stay_and_go(tmp_path, participant, capsys):
    put_images(tmp_path / 'bids', GOOD[0])
    assert participant('--keep-workdir', '--clean-workdir') == 2
    assert '--keep-workdir' in capsys.readouterr().err
