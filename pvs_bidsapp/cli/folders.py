"""Which folders are read, and which are written to: checks before the work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..messages import options

#: Folder in the work folder in which intermediate files lie.
_WORKFLOWS = 'pvs'
#: Folders in an output folder, or work folder, to which the program writes.
_WRITTEN = (
    'sub-*', 'sub-*/ses-*', 'sub-*/anat', 'sub-*/figures', 'sub-*/ses-*/anat', 'sub-*/ses-*/figures',
    'logs', 'work', 'derivatives', 'cache', _WORKFLOWS,
)  # fmt: skip


def check_input(folder: Path, wanted: str, name: str = '') -> None:
    """Check that a folder is there and can be listed.

    Parameters
    ----------
    folder : Path
    wanted : str
        What to give instead, such as ``the root of a BIDS dataset``.
    name : str
        What the folder is called in messages, such as ``--into``.

    Raises
    ------
    InputError
        If there is no such folder.
    OSError
        If it cannot be listed.
    """
    shown = f'{name} {folder}'.strip()
    if not folder.is_dir():
        if folder.exists():
            raise options.IS_A_FILE.error(shown)
        raise options.NO_FOLDER.error(shown, wanted=wanted)
    with os.scandir(folder) as entries:
        next(entries, None)


def check_output(folder: Path, name: str, inputs: Iterable[tuple[Path, str]]) -> None:
    """Check that a folder to write to is none, and lies outside of the datasets that are read.

    Links are followed, also those among the folders that would be written to in it. It need not exist.

    Parameters
    ----------
    folder : Path
    name : str
        What it is called in messages, such as ``OUT_DIR``.
    inputs : iterable of (Path, str)
        Folders to which nothing is written, with their names.

    Raises
    ------
    InputError
        If it lies in one of them, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise options.IS_A_FILE.error(f'{name} {folder}')
    links = [path for name in _WRITTEN for path in folder.glob(name) if path.is_symlink()]
    for root, root_name in inputs:
        for path in (folder, *links):
            if is_inside(path, root):
                raise options.INSIDE_INPUT.error(f'{name} {path}', root=root_name)


def check_work_dir(work_dir: Path, out_dir: Path, inputs: Iterable[tuple[Path, str]]) -> None:
    """Check that intermediate files, which are removed at the end, lie apart from inputs and results.

    Raises
    ------
    InputError
        If they do not.
    """
    inputs = list(inputs)
    check_output(work_dir, 'work folder', inputs)
    for root, root_name in inputs:
        if is_inside(root, work_dir):
            raise options.WORK_HOLDS_INPUT.error(f'work folder {work_dir}', root=root_name)
    if is_same(work_dir, out_dir) or is_inside(out_dir, work_dir / _WORKFLOWS):
        raise options.WORK_IS_OUTPUT.error(f'work folder {work_dir}')


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or lies below it, by any link or mount, even if it does not exist yet."""
    path, folder = _resolve(path), _resolve(folder)
    return any(is_same(parent, folder) for parent in (path, *path.parents))


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one folder."""
    one, other = _resolve(one), _resolve(other)
    if one == other:
        return True
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return False


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError as error:  # links in a circle; newer versions of Python raise an OSError
        raise options.IN_THE_WAY.error(path, reason=str(error)) from error
