"""The configurations in ``examples`` for BABS and Nipoppy hold options that the program takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pvs_bidsapp.cli.app import parser

EXAMPLES = Path(__file__).resolve().parents[3] / 'examples'
BABS, NIPOPPY = EXAMPLES / 'babs' / 'pvs.yaml', EXAMPLES / 'nipoppy'
BOSH = [sys.executable, Path(sys.executable).with_name('bosh')]


def test_the_program_takes_the_options_of_babs():
    """BABS puts folders and level first, and the label of the subject last."""
    options = yaml.safe_load(BABS.read_text())['bids_app_args']
    selection = options.pop('$SUBJECT_SELECTION_FLAG')
    words = [word for option, value in options.items() for word in (option, value)]
    args = parser().parse_args(
        ['inputs/data/BIDS', 'outputs/pvs', 'participant', *words, selection, 'sub-01']
    )
    assert args.participant_label == ['sub-01']
    assert (args.nprocs, args.device, str(args.work_dir)) == (2, 'cpu', '$BABS_TMPDIR')


def test_babs_makes_its_script_of_it():
    container = pytest.importorskip('babs.container', reason='BABS is not installed')
    from babs.generate_bidsapp_runscript import generate_bidsapp_runscript
    from babs.utils import app_output_settings_from_config

    config = container.Container('containers', 'pvs-0-1-0', str(BABS)).config
    folders, out_dir = app_output_settings_from_config(config)
    dataset = {
        'name': 'BIDS',
        'is_zipped': False,
        'unzipped_path_containing_subject_dirs': 'inputs/data/BIDS',
    }
    script = generate_bidsapp_runscript(
        [dataset], 'subject', 'pvs-0-1-0', 'image', out_dir, folders,
        bids_app_args=config['bids_app_args'], singularity_args=config['singularity_args'],
    )  # fmt: skip
    lines = [line.rstrip(' \\') for line in script.splitlines()]
    first = lines.index('        "${PWD}/inputs/data/BIDS"')
    words = ' '.join(lines[first : lines.index('', first)]).replace('"', '').split()
    args = parser().parse_args(words)
    assert (args.level, args.participant_label) == ('participant', ['${subid}'])
    assert str(args.out_dir) == '${PWD}/outputs/pvs'


def test_the_descriptor_of_nipoppy_is_up_to_date():
    """Else: ``python examples/boutiques/make.py nipoppy > examples/nipoppy/descriptor.json``."""
    make = [sys.executable, EXAMPLES / 'boutiques' / 'make.py', 'nipoppy']
    made = json.loads(subprocess.run(make, capture_output=True, text=True, check=True).stdout)
    kept = json.loads((NIPOPPY / 'descriptor.json').read_text())
    assert {**kept, 'tool-version': ''} == {**made, 'tool-version': ''}


def test_nipoppy_gives_the_program_what_it_takes(tmp_path):
    """Boutiques prints the command of a participant and session, as Nipoppy calls it, without running it."""
    text = (NIPOPPY / 'invocation.json').read_text()
    for name, value in {
        'DPATH_BIDS': str(tmp_path), 'DPATH_PIPELINE_OUTPUT': 'out', 'DPATH_PIPELINE_WORK': 'work',
        'PARTICIPANT_ID': '01', 'SESSION_ID': 'a',
    }.items():  # fmt: skip
        text = text.replace(f'[[NIPOPPY_{name}]]', value)
    assert '[[' not in text
    (tmp_path / 'invocation.json').write_text(text)
    arguments = ['exec', 'simulate', '-i', tmp_path / 'invocation.json', NIPOPPY / 'descriptor.json']
    done = subprocess.run([*BOSH, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    command = next(line for line in done.stdout.splitlines() if line.startswith('pvs '))
    args = parser().parse_args(command.split()[1:])
    assert (args.participant_label, args.session_label, str(args.work_dir)) == (['01'], ['a'], 'work')


def test_nipoppy_accepts_the_bundle():
    validation = pytest.importorskip('nipoppy.pipeline_validation', reason='Nipoppy is not installed')
    assert validation.check_pipeline_bundle(NIPOPPY, strict=True).NAME == 'pvs'


def test_the_tracker_follows_files_that_the_program_writes(tmp_path):
    from pvs_bidsapp.bids.naming import Naming

    names = Naming(tmp_path, (('sub', '01'), ('ses', 'a'), ('run', '1')))
    written = (names.anat('mask', label='PVS'), names.anat('stats', '.tsv', desc='pvs'))
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    patterns = json.loads((NIPOPPY / 'tracker.json').read_text())['PATHS']
    values = {'[[NIPOPPY_BIDS_PARTICIPANT_ID]]': 'sub-01', '[[NIPOPPY_BIDS_SESSION_ID]]': 'ses-a'}
    for pattern, path in zip(patterns, written, strict=True):
        for name, value in values.items():
            pattern = pattern.replace(name, value)
        assert list(tmp_path.glob(pattern)) == [path]
