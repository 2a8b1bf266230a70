"""``pvs models``: the bundled models, their cards, their checksums."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ..segmentation.model import bundled_names, load_model


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    p = argparse.ArgumentParser('pvs models', description='The models that ship with the program.')
    p.add_argument(
        'action',
        nargs='?',
        choices=('list', 'show', 'verify'),
        default='list',
        help='list them (default), show a card, or verify the checksums',
    )
    p.add_argument(
        'name', nargs='?', help='a model or a folder with one (show: needed; verify: all by default)'
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
        bundle = load_model(name)
        if args.action == 'verify':
            bundle.verify()
            print(f'{name}\tok\t{bundle.card.sha256}')
        else:
            card = bundle.card
            voxels = ' to '.join(f'{size:g}' for size in sorted(set(spacing_range(card.spacing))))
            print(f'{name}\t{card.version}\t{"+".join(card.channels)}\t{voxels} mm\t{card.trained_on}')
    return 0
