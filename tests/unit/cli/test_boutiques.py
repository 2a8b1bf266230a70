"""The Boutiques descriptor in ``examples`` is that of the command line, and Boutiques accepts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pvs_bidsapp.cli.app import parser

BOSH = [sys.executable, Path(sys.executable).with_name('bosh')]
FOLDER = Path(__file__).resolve().parents[3] / 'examples' / 'boutiques'


@pytest.fixture(scope='module')
def made():
    done = subprocess.run([sys.executable, FOLDER / 'make.py'], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_it_is_up_to_date(made):
    """Else: ``python examples/boutiques/make.py > examples/boutiques/pvs.json``."""
    kept = json.loads((FOLDER / 'pvs.json').read_text())
    assert {**kept, 'tool-version': ''} == {**made, 'tool-version': ''}


def bosh(*arguments):
    return subprocess.run([*BOSH, *arguments], capture_output=True, text=True)


def test_boutiques_accepts_it(made, tmp_path):
    done = bosh('validate', FOLDER / 'pvs.json')
    assert done.returncode == 0, done.stdout + done.stderr
    bad = tmp_path / 'bad.json'
    bad.write_text(json.dumps({**made, 'command-line': 'pvs'}))
    assert bosh('validate', bad).returncode != 0


def test_it_makes_a_command_that_the_program_takes(tmp_path):
    """Of a whole participant run; Boutiques prints it without running it."""
    given = {
        'bids_dir': str(tmp_path), 'out_dir': 'out', 'level': 'participant', 'nprocs': 2,
        'participant_label': ['01', '02'], 'keep_workdir': True, 'threshold': 0.5,
    }  # fmt: skip
    invocation = tmp_path / 'invocation.json'
    invocation.write_text(json.dumps(given))
    done = bosh('exec', 'simulate', '-i', invocation, FOLDER / 'pvs.json')
    assert done.returncode == 0, done.stdout + done.stderr
    command = next(line for line in done.stdout.splitlines() if line.startswith('pvs '))
    args = parser().parse_args(command.split()[1:])
    assert (args.participant_label, args.nprocs, args.threshold) == (['01', '02'], 2, 0.5)
    assert args.keep_workdir
