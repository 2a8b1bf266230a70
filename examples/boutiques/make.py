#!/usr/bin/env python3
"""Write the Boutiques descriptor of the program from its own command line.

python examples/boutiques/make.py > examples/boutiques/pvs.json
python examples/boutiques/make.py nipoppy > examples/nipoppy/descriptor.json
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from pvs_bidsapp import __version__
from pvs_bidsapp.cli.app import parser
from pvs_bidsapp.cli.arguments import Number, WholeNumber, name_of

#: Options that make no sense in a platform that runs the program, or do nothing.
LEFT_OUT = (
    'help',
    'version',
    'notrack',
    'skip_bids_validation',
    'clean_workdir',
    'dry_run',
    'boilerplate_only',
    'print_completion',
)
#: Positional arguments, by their names in the descriptor.
POSITIONAL = {'bids_dir': 'BIDS_DIR', 'out_dir': 'OUT_DIR', 'level': 'LEVEL'}
#: Options that name a file or folder that is read.
FILES = ('bids_filter_file', 'plugin')


def input_of(action: argparse.Action) -> dict[str, Any]:
    """One input of the descriptor."""
    key = POSITIONAL.get(action.dest, action.dest.upper())
    made: dict[str, Any] = {
        'id': action.dest,
        'name': name_of(action).lstrip('-'),
        'description': (action.help or '') % {'prog': 'pvs'},
        'type': type_of(action),
        'value-key': f'[{key}]',
        'optional': action.dest not in POSITIONAL,
    }
    if action.option_strings:
        made['command-line-flag'] = name_of(action)
    if action.choices is not None:
        made['value-choices'] = list(action.choices)
    if isinstance(action.type, WholeNumber):
        made['integer'] = True
    if action.nargs == '+':
        made['list'] = True
    return made


def type_of(action: argparse.Action) -> str:
    """Type of an input."""
    if action.nargs == 0:
        return 'Flag'
    if isinstance(action.type, Number | WholeNumber):
        return 'Number'
    return 'File' if action.dest in ('bids_dir', *FILES) else 'String'


def descriptor() -> dict[str, Any]:
    """The whole descriptor."""
    actions = [action for action in parser()._actions if action.dest not in LEFT_OUT]
    inputs = [input_of(action) for action in actions]
    options = ' '.join(i['value-key'] for i in inputs if i['optional'])
    return {
        'name': 'PVS BIDS-App',
        'description': 'Finds and measures perivascular spaces on T1w (and T2w) scans. Research software, '
        'not a medical device.',
        'tool-version': __version__.split('+')[0].split('.dev')[0],
        'schema-version': '0.5',
        'command-line': f'pvs [BIDS_DIR] [OUT_DIR] [LEVEL] {options}',
        'container-image': {'type': 'docker', 'image': 'pvs-bidsapp/pvs', 'index': 'docker.io'},
        'inputs': inputs,
        'output-files': [
            {
                'id': 'out',
                'name': 'derivative dataset',
                'description': 'masks, probabilities, tables and pages, or the results of the group level',
                'path-template': '[OUT_DIR]',
                'optional': False,
            }
        ],
        'suggested-resources': {'cpu-cores': 2, 'ram': 4, 'walltime-estimate': 120},
        'tags': {'domain': ['neuroinformatics'], 'toolkit': ['BIDS-App']},
    }


def nipoppy_descriptor() -> dict[str, Any]:
    """The descriptor for a Nipoppy pipeline, which runs the image with Apptainer."""
    image = {'type': 'singularity', 'image': 'pvs-bidsapp/pvs', 'index': 'docker://'}
    return descriptor() | {'container-image': image, 'custom': {'nipoppy': {'CONTAINER_SUBCOMMAND': 'exec'}}}


if __name__ == '__main__':
    made = nipoppy_descriptor() if sys.argv[1:] == ['nipoppy'] else descriptor()
    json.dump(made, sys.stdout, indent=2, ensure_ascii=False)
    print()
