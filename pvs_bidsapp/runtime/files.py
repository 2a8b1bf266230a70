"""Files that are complete or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ..errors import InputError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it at the end, remove it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{os.getpid()}.{path.name}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, indented by two."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + '\n')


def read_image(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Read the array of an image, in its stored type, and its affine."""
    image = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def save_image(path: Path, data: np.ndarray, affine: np.ndarray, dtype: Any = None) -> None:
    """Write an array as NIfTI with `affine` as qform and sform.

    Parameters
    ----------
    path : Path
    data : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
    dtype : data-type, optional
        Type of the stored values; that of `data` by default.
    """
    image = nib.Nifti1Image(data if dtype is None else np.asarray(data, dtype), affine)
    image.header.set_xyzt_units('mm')
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    with atomic_write(path) as temporary:
        nib.save(image, temporary)


def copy_file(source: Path, target: Path) -> Path:
    """Copy a file; returns the target's path."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def check_writable(folder: Path, name: str) -> None:
    """Make a folder, and check that files can be written to it.

    Parameters
    ----------
    folder : Path
    name : str
        What the folder is called in the message, such as ``OUT_DIR``.

    Raises
    ------
    InputError
        If they cannot; the message has one line and gives the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f'.write-{os.getpid()}'
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f'{name} {folder} cannot be written to ({error.strerror})') from error
