"""Bring scans without BIDS names into a BIDS tree, so that they are processed like any other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError


def find_images(path: Path) -> list[Path]:
    """The scan, or the scans of a folder, sorted.

    Raises
    ------
    InputError
        If a folder holds no image.
    """
    if not path.is_dir():
        return [path]
    images = sorted(p for pattern in ('*.nii', '*.nii.gz') for p in path.glob(pattern))
    if not images:
        raise InputError(f'{path}: no *.nii or *.nii.gz in it')
    return images


def stage(images: Sequence[Path], t2w: Path | None, folder: Path) -> None:
    """Link the scans into a BIDS tree, one subject for each scan, labelled by the file's name.

    Parameters
    ----------
    images : sequence of Path
        T1w scans.
    t2w : Path or None
        T2w of the only scan.
    folder : Path
        Root of the tree.

    Raises
    ------
    InputError
        If two files would get the same label.
    """
    labels: dict[str, Path] = {}
    for path in images:
        label = _label(path)
        if label in labels:
            raise InputError(
                f'{labels[label].name} and {path.name} would both become sub-{label}; rename one'
            )
        labels[label] = path
        for source, suffix in ((path, 'T1w'), (t2w, 'T2w')):
            if source is not None:
                extension = '.nii.gz' if source.name.endswith('.gz') else '.nii'
                link = folder / f'sub-{label}' / 'anat' / f'sub-{label}_{suffix}{extension}'
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(source.resolve())


def _label(path: Path) -> str:
    """A BIDS label from a file's name."""
    name = path.name.split('.')[0].removeprefix('sub-').removesuffix('_T1w')
    return re.sub(r'[^a-zA-Z0-9]', '', name) or 'scan'
