#!/usr/bin/env python3
"""Carry a training to a machine that is lent for minutes, and back, in small files.

    python benchmarks/carry_training.py maps LABEL_MAPS KIT [--number 12]
    python benchmarks/carry_training.py split MODEL_DIR PIECES [--megabytes 15]
    python benchmarks/carry_training.py join PIECES MODEL_DIR

`maps` writes label maps as the training needs them: cropped to the head around the brain, as one archive,
KIT/label-maps.tar.bz2. A training on them is the same as on the whole ones.

`split` writes what `pvs train --resume` needs of MODEL_DIR, in pieces of at most that size, with their
checksums in PIECES/pieces.json. `join` checks the pieces and puts all in its place again. Of checkpoints from
which nothing is resumed, the weights alone are carried.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import torch

from pvs_bidsapp.cli.simulate import label_maps
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.runtime.files import atomic_write
from pvs_bidsapp.simulation.label_maps import MARGIN, crop, load_label_map
from pvs_bidsapp.training.checkpoint import LAST

MANIFEST = 'pieces.json'
#: What is carried of a training's folder: as it is, and checkpoints of which the weights are enough.
WHOLE = ('split.json', f'checkpoints/{LAST}', 'checkpoints/log.csv', 'pretraining/log.csv')
WEIGHTS = ('checkpoints/best.pt', 'pretraining/encoder.pt')
#: Of a pre-training that is not finished.
UNFINISHED = (f'pretraining/{LAST}',)
#: Entries of a checkpoint that its weights need.
KEPT = ('average', 'plan', 'step', 'best', 'best_step', 'minutes')
#: Voxels around the brain that are kept beyond those which a head is simulated with, in mm.
SPARE = 2.0


def pack_maps(folder: Path, kit: Path, number: int) -> Path:
    """Write the first label maps of a folder as one archive; returns its path."""
    files = label_maps(folder, 'LABEL_MAPS')[:number]
    kit.mkdir(parents=True, exist_ok=True)
    archive = kit / 'label-maps.tar.bz2'
    with atomic_write(archive) as temporary, tarfile.open(temporary, 'w:bz2') as tar:
        for path in files:
            anatomy = crop(load_label_map(path), MARGIN + SPARE)
            image = nib.Nifti1Image(anatomy.labels, anatomy.affine)
            _add(tar, f'label-maps/{anatomy.name}.nii', image.to_bytes())
    return archive


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def light(checkpoint: Path) -> bytes:
    """A checkpoint without what only a resumed training needs."""
    state = torch.load(checkpoint, map_location='cpu', weights_only=True)
    stream = io.BytesIO()
    torch.save({key: state[key] for key in KEPT if key in state}, stream)
    return stream.getvalue()


def split(model_dir: Path, pieces: Path, size: int) -> list[Path]:
    """Write pieces of at most `size` bytes and their manifest; those of an earlier call are removed."""
    if not any((model_dir / name).exists() for name in (f'checkpoints/{LAST}', *UNFINISHED)):
        raise SystemExit(f'{model_dir}: no checkpoint; train first')
    pieces.mkdir(parents=True, exist_ok=True)
    for old in pieces.glob('piece-*'):
        old.unlink()
    (pieces / MANIFEST).unlink(missing_ok=True)
    written, entries = [], []
    with tempfile.TemporaryFile() as stream:
        with tarfile.open(fileobj=stream, mode='w') as tar:
            _pack(model_dir, tar)
        stream.seek(0)
        for number, content in enumerate(iter(lambda: stream.read(size), b'')):
            path = pieces / f'piece-{number:03d}'
            path.write_bytes(content)
            entries.append({'name': path.name, 'bytes': len(content), 'sha256': _sha256(content)})
            written.append(path)
    (pieces / MANIFEST).write_text(json.dumps({'pieces': entries}, indent=1) + '\n')  # last: all are there
    return written


def _pack(model_dir: Path, tar: tarfile.TarFile) -> None:
    is_pretrained = (model_dir / 'pretraining' / 'encoder.pt').exists()
    for name in WHOLE + (() if is_pretrained else UNFINISHED):
        if (model_dir / name).exists():
            tar.add(model_dir / name, name)
    for name in WEIGHTS:
        if (model_dir / name).exists():
            _add(tar, name, light(model_dir / name))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def join(pieces: Path, model_dir: Path) -> None:
    """Check all pieces, and only then write what is in them."""
    with tempfile.TemporaryFile() as stream:
        for content in _checked(pieces):
            stream.write(content)
        stream.seek(0)
        with tarfile.open(fileobj=stream) as tar:
            model_dir.mkdir(parents=True, exist_ok=True)
            tar.extractall(model_dir, filter='data')


def _checked(pieces: Path) -> Iterator[bytes]:
    """The contents of the pieces, in their order."""
    try:
        entries: list[dict[str, Any]] = json.loads((pieces / MANIFEST).read_text())['pieces']
    except OSError:
        raise SystemExit(f'{pieces / MANIFEST}: not there; carry it with the pieces') from None
    for entry in entries:
        path = pieces / entry['name']
        if not path.exists():
            raise SystemExit(f'{path}: not there; carry it again')
        content = path.read_bytes()
        if _sha256(content) != entry['sha256']:
            raise SystemExit(
                f'{path}: damaged ({len(content)} of {entry["bytes"]} bytes are there); carry it again'
            )
        yield content


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest='command', required=True)
    maps = commands.add_parser('maps', help='write label maps in a small archive')
    maps.add_argument('label_maps', type=Path)
    maps.add_argument('kit', type=Path)
    maps.add_argument('--number', type=int, default=12)
    parts = commands.add_parser('split', help='write a training in pieces')
    parts.add_argument('model_dir', type=Path)
    parts.add_argument('pieces', type=Path)
    parts.add_argument('--megabytes', type=float, default=15.0)
    whole = commands.add_parser('join', help='put the pieces of a training together')
    whole.add_argument('pieces', type=Path)
    whole.add_argument('model_dir', type=Path)
    args = parser.parse_args()
    if args.command == 'maps':
        try:
            archive = pack_maps(args.label_maps, args.kit, args.number)
        except InputError as error:
            raise SystemExit(str(error)) from None
        print(f'{archive}: {archive.stat().st_size / 1e6:.1f} MB')
    elif args.command == 'split':
        written = split(args.model_dir, args.pieces, int(args.megabytes * 1e6))
        print(
            f'{len(written)} pieces, {sum(p.stat().st_size for p in written) / 1e6:.1f} MB, in {args.pieces}'
        )
    else:
        join(args.pieces, args.model_dir)
        print(f'ready for --resume: {args.model_dir}')


if __name__ == '__main__':
    main()
