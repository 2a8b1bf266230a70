"""``pvs models``: the bundled models, their cards, their checksums."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from ..errors import ModelError
from ..messages.message import one_line
from ..segmentation.model import bundled_names, load_model
from .arguments import command_parser

DESCRIPTION = """\
List the models that ship with the program, show a model card, or compare the weights with their
checksums and their cards."""


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = command_parser('pvs models', DESCRIPTION)
    p.add_argument(
        'action',
        nargs='?',
        choices=('list', 'show', 'verify'),
        default='list',
        help='list the bundled models (default), show a card, or verify the checksums',
    )
    p.add_argument(
        'name',
        nargs='?',
        help='a bundled model, or the folder of a model (show needs one; default: all bundled models)',
    )
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    With several models, all are looked at, and each that cannot be used is named.
    """
    p = parser()
    args = p.parse_args(argv)
    if args.action == 'show' and not args.name:
        p.error(f'show: name one of {", ".join(bundled_names())}')
    status = 0
    for name in [args.name] if args.name else bundled_names():
        try:
            print(_line(args.action, name))
        except ModelError as error:
            print(f'pvs: error: {error}', file=sys.stderr)
            status = error.exit_status
    return status


def _line(action: str, name: str) -> str:
    """What is printed about one model."""
    from ..segmentation.grid import spacing_range

    model = load_model(name)
    card = model.card
    if action == 'show':
        return json.dumps(asdict(card), indent=2, ensure_ascii=False)
    if action == 'verify':
        model.network()  # also compares the weights with the network that the card describes
        columns = [name, 'ok', card.sha256]
    else:
        voxels = ' to '.join(f'{size:g}' for size in sorted(set(spacing_range(card.spacing))))
        columns = [name, card.version, '+'.join(card.channels), f'{voxels} mm', card.trained_on]
    return '\t'.join(map(one_line, columns))
