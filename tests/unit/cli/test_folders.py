"""Which folders may be read from and written to, whatever they are called."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from refusals import refused

from pvs_bidsapp.bids.dataset import GROUND_TRUTH, describe_derivative, describe_raw
from pvs_bidsapp.cli import app, evaluate, simulate, train
from pvs_bidsapp.cli.folders import check_input, check_output, check_work_dir, is_inside
from pvs_bidsapp.messages import options
from pvs_bidsapp.outputs.dataset import check_own


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A dataset and other folders, with links among them; the current folder is theirs."""
    for name in ('data/bids/sub-01', 'data/bids/code', 'out', 'work'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'link').symlink_to('data/bids')
    (tmp_path / 'dangling').symlink_to('data/bids/new')
    (tmp_path / 'data' / 'bids' / 'away').symlink_to(tmp_path / 'out')
    (tmp_path / 'file').touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    'path',
    [
        'data/bids', 'data/bids/', 'data/bids/derivatives/pvs', 'data/bids/new/deep/er', 'link', 'link/new',
        'dangling', 'dangling/x', 'out/../data/bids/x', 'new/../data/bids', './data//bids/./x',
        '{abs}/link/x', 'link/../bids/x',
    ],
)  # fmt: skip
def test_all_ways_into_a_dataset(places, path):
    path = Path(path.format(abs=places))
    assert is_inside(path, Path('data/bids'))
    assert is_inside(path, Path('link'))
    with refused(options.INSIDE_INPUT, naming='OUT_DIR'):
        check_output(path, 'OUT_DIR', [(Path('data/bids'), 'BIDS_DIR')])


@pytest.mark.parametrize(
    'path', ['out', 'data', 'data/bids2', 'data/bids/../x', 'link/../x', 'data/bids/away', '..']
)
def test_what_only_looks_like_a_way_into_a_dataset(places, path):
    assert not is_inside(Path(path), Path('data/bids'))
    check_output(Path(path), 'OUT_DIR', [(Path('data/bids'), 'BIDS_DIR')])


@pytest.mark.parametrize(
    'link', ['sub-01', 'sub-01/anat', 'sub-01/figures', 'sub-01/ses-1', 'sub-01/ses-1/anat', 'logs', 'work']
)
def test_a_link_among_the_results_that_leads_into_the_dataset(places, link):
    (places / 'out' / 'raw').symlink_to('../data/bids')  # nothing is written to it
    check_output(Path('out'), 'OUT_DIR', [(Path('data/bids'), 'BIDS_DIR')])
    (places / 'out' / link).parent.mkdir(parents=True, exist_ok=True)
    (places / 'out' / link).symlink_to(places / 'data' / 'bids' / 'sub-01')
    with refused(options.INSIDE_INPUT, naming=f'out/{link}'):
        check_output(Path('out'), 'OUT_DIR', [(Path('data/bids'), 'BIDS_DIR')])


def test_links_in_a_circle(places):
    (places / 'a').symlink_to('b')
    (places / 'b').symlink_to('a')
    with refused(options.IN_THE_WAY, naming='a'):
        check_output(Path('a'), 'OUT_DIR', [(Path('data/bids'), 'BIDS_DIR')])


def test_files_in_the_place_of_folders(places):
    with refused(options.IS_A_FILE, naming='OUT_DIR file'):
        check_output(Path('file'), 'OUT_DIR', [])
    with refused(options.IS_A_FILE, naming='--into file'):
        check_input(Path('file'), 'x', '--into')
    for path in ('nowhere', 'file/x', 'dangling'):
        with refused(options.NO_FOLDER, naming=path):
            check_input(Path(path), 'the root of a BIDS dataset')


def test_intermediate_files_lie_apart(places):
    inputs = [(Path('data/bids'), 'BIDS_DIR')]
    with refused(options.INSIDE_INPUT, naming='work folder data/bids/work'):
        check_work_dir(Path('data/bids/work'), Path('out'), inputs)
    for work in ('data', '.'):
        with refused(options.WORK_HOLDS_INPUT, naming=f'work folder {work}'):
            check_work_dir(Path(work), Path('out'), inputs)
    for work in ('out', 'work/../out'):
        with refused(options.WORK_IS_OUTPUT, naming=f'work folder {work}'):
            check_work_dir(Path(work), Path('out'), inputs)
    with refused(options.IS_A_FILE, naming='work folder file'):
        check_work_dir(Path('file'), Path('out'), inputs)


@pytest.mark.parametrize('work', ['work', 'out/work', 'new'])
def test_folders_for_intermediate_files(places, work):
    check_work_dir(Path(work), Path('out'), [(Path('data/bids'), 'BIDS_DIR')])


def test_results_do_not_lie_where_intermediate_files_would(places):
    with refused(options.WORK_IS_OUTPUT, naming='work folder work'):  # in which nipype has a folder pvs
        check_work_dir(Path('work'), Path('work/pvs'), [(Path('data/bids'), 'BIDS_DIR')])
    check_work_dir(Path('work'), Path('work/results'), [(Path('data/bids'), 'BIDS_DIR')])


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything: this test did not run')
def test_a_folder_that_cannot_be_listed(places):
    os.chmod('data/bids', 0)
    with pytest.raises(PermissionError):
        check_input(Path('data/bids'), 'x')


INSIDE = 'data/bids/x'


@pytest.mark.parametrize(
    ('command', 'arguments', 'naming'),
    [
        (app, ['data/bids', INSIDE, 'participant'], 'OUT_DIR'),
        (app, ['link', INSIDE, 'group'], 'OUT_DIR'),
        (app, ['data/bids', 'out', 'participant', '-w', INSIDE], 'work folder'),
        (
            app,
            ['data/bids', 'out', 'participant', '--dry-run', '--bids-database-dir', INSIDE],
            '--bids-database',
        ),
        (train, ['data/bids', INSIDE], 'MODEL_DIR'),
        (train, ['work', INSIDE, '--also', 'data/bids'], 'MODEL_DIR'),
        (train, ['data/bids', 'out', '--cache', INSIDE], '--cache'),
        (simulate, [INSIDE, '--into', 'data/bids'], 'OUT_DIR'),
        (simulate, ['dangling', '--into', 'link'], 'OUT_DIR'),
        (evaluate, ['out', 'data/bids', INSIDE], 'OUT_DIR'),
    ],
)
def test_no_command_writes_to_what_it_reads(places, command, arguments, naming):
    before = sorted(places.rglob('*'))
    with refused(options.INSIDE_INPUT, naming=naming):
        command.main(arguments)
    assert sorted(places.rglob('*')) == before


@pytest.mark.parametrize(
    ('command', 'arguments', 'naming'),
    [
        (app, ['nowhere', 'out', 'participant'], 'root of a BIDS dataset'),
        (train, ['nowhere', 'out'], 'nowhere'),
        (train, ['data/bids', 'out', '--labels', 'nowhere'], '--labels'),
        (train, ['data/bids', 'out', '--also', 'nowhere'], '--also'),
        (simulate, ['out', '--into', 'nowhere'], '--into'),
        (simulate, ['out', '--label-maps', 'nowhere'], '--label-maps'),
        (evaluate, ['nowhere', 'out', 'work'], 'PRED_DIR'),
        (evaluate, ['out', 'nowhere', 'work'], 'REF_DIR'),
    ],
)
def test_folders_that_are_not_there(places, command, arguments, naming):
    with refused(options.NO_FOLDER, naming=naming):
        command.main(arguments)


@pytest.mark.parametrize(
    ('command', 'arguments', 'naming'),
    [
        (simulate, ['/sys/none'], 'OUT_DIR'),
        (evaluate, ['out', 'work', '/sys/none'], 'OUT_DIR'),
        (train, ['data/bids', '/sys/none', '--device', 'cpu'], 'MODEL_DIR'),
        (train, ['data/bids', 'out', '--cache', '/sys/none', '--device', 'cpu'], 'prepared scans'),
    ],
)
def test_folders_that_cannot_be_written_to_are_told_before_the_work(places, command, arguments, naming):
    with refused(options.NOT_WRITABLE, naming=naming):
        command.main(arguments)


def test_a_folder_without_label_maps(places):
    (places / 'work' / '._a.nii.gz').touch()
    with refused(options.NO_LABEL_MAPS, naming='--label-maps work'):
        simulate.main(['out', '--label-maps', 'work'])


@pytest.mark.parametrize(
    'description',
    [
        {'Name': 'A study', 'BIDSVersion': '1.10.0'},
        {'Name': 'fMRIPrep', 'GeneratedBy': [{'Name': 'fMRIPrep'}]},
        {'GeneratedBy': 'text'},
        {'GeneratedBy': ['text', 3, None]},
        [],
        'not JSON',
        '[' * 100_000,
    ],
)
def test_datasets_of_others_are_not_written_over(tmp_path, description):
    text = description if isinstance(description, str) else json.dumps(description)
    (tmp_path / 'dataset_description.json').write_text(text)
    with refused(options.FOREIGN_OUTPUT, naming=str(tmp_path)):
        check_own(tmp_path)
    with refused(options.FOREIGN_OUTPUT, naming=str(tmp_path)):
        simulate.main([str(tmp_path)])
    assert (tmp_path / 'dataset_description.json').read_text() == text


def test_own_datasets_are_written_over(tmp_path):
    check_own(tmp_path)
    check_own(tmp_path / 'new')
    generators = [{'Name': 'other'}, {'Name': 'PVS BIDS-App', 'Version': '0.0.1'}]
    (tmp_path / 'dataset_description.json').write_text(json.dumps({'GeneratedBy': generators}))
    check_own(tmp_path)


def test_results_heads_and_ground_truth_are_not_mixed(tmp_path):
    heads, truth, results = (tmp_path / name for name in ('heads', 'truth', 'results'))
    describe_raw(heads, 'Simulated perivascular spaces (easy)', '')
    describe_derivative(truth, f'{GROUND_TRUTH} of the simulated heads')
    describe_derivative(results, 'Perivascular spaces (PVS BIDS-App)')
    check_own(heads, 'raw')
    check_own(results)
    mixed = ((heads, 'derivative'), (truth, 'derivative'), (truth, 'raw'), (results, 'raw'))
    for folder, dataset_type in mixed:
        with refused(options.OTHER_OUTPUT, naming=str(folder)):
            check_own(folder, dataset_type)
    with refused(options.OTHER_OUTPUT, naming=str(results)):
        simulate.main([str(results)])
