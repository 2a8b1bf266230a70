"""``pvs models``: the bundled models, their cards, their checksums."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ..segmentation.model import bundled_names, load_model
from .arguments import command_parser

DESCRIPTION = """\
List the models that ship with the program, show a model card, or compare the weights with their
checksums."""


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
    """Run the command; returns the exit status."""
    from ..segmentation.grid import spacing_range

    p = parser()
    args = p.parse_args(argv)
    if args.action == 'show':
        if not args.name:
            p.error(f'show: name one of {", ".join(bundled_names())}')
        print(json.dumps(asdict(load_model(args.name).card), indent=2, ensure_ascii=False))
        return 0
    for name in [args.name] if args.name else bundled_names():
        model = load_model(name)
        card = model.card
        if args.action == 'verify':
            model.verify()
            print(f'{name}\tok\t{card.sha256}')
        else:
            voxels = ' to '.join(f'{size:g}' for size in sorted(set(spacing_range(card.spacing))))
            print(f'{name}\t{card.version}\t{"+".join(card.channels)}\t{voxels} mm\t{card.trained_on}')
    return 0
