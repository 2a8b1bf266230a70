"""A step of a workflow whose results are only used again if they are complete."""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

from nipype.pipeline import engine as pe

from ..runtime.files import write_json
from ..runtime.resources import cores

LOG = logging.getLogger(__name__)
#: Place of a finished step, and its files with their sizes and checksums.
SEAL = 'complete.json'
_CHUNK = 2**22


class Step(pe.Node):
    """A node of nipype whose folder is sealed when it is done.

    nipype takes a folder for finished as soon as a file of the right name lies in it. After a crash of the
    machine such a file may be empty or cut short. Results without an intact seal are therefore removed, and
    the step is done again; so are those of other inputs or settings, which a plugin of a batch system would
    take for the new ones if a job was lost.
    """

    def is_cached(self, rm_outdated: bool = False) -> tuple[bool, bool]:
        """Whether the step has been done before, and with these inputs.

        Parameters
        ----------
        rm_outdated : bool
            As for `nipype.Node`.
        """
        folder = Path(self.output_dir())
        if not folder.exists():
            return False, False
        is_usable = False
        if not self._interface.always_run and is_intact(folder):
            try:
                cached, updated = super().is_cached(rm_outdated)
                is_usable = cached and updated
            except Exception as error:  # whatever is in these files: the step can be done again
                LOG.debug('%s: %s', folder, error)
        if not is_usable:
            shutil.rmtree(folder)
        return is_usable, is_usable

    def run(self, updatehash: bool = False) -> Any:
        """Do the step, unless it has been done before; returns nipype's result.

        Parameters
        ----------
        updatehash : bool
            As for `nipype.Node`.
        """
        if hasattr(self.inputs, 'num_threads'):  # a job of a batch system may have fewer cores
            self.inputs.num_threads = min(self.inputs.num_threads, cores())
        result = super().run(updatehash)
        folder = Path(self.output_dir())
        if not (folder / SEAL).exists():
            seal(folder)
        return result


def seal(folder: Path) -> None:
    """Write the list of the files in a folder, with their sizes and checksums."""
    write_json(folder / SEAL, _content(folder))


def is_intact(folder: Path) -> bool:
    """Whether a folder holds exactly what it held when it was sealed, in the same place.

    nipype's files name others by their path, so that a folder which was moved is of no use.
    """
    try:
        return json.loads((folder / SEAL).read_text(encoding='utf-8')) == _content(folder)
    except (OSError, ValueError):
        return False


def _content(folder: Path) -> dict[str, Any]:
    """What a seal says."""
    files = {name: [size, crc] for name, (size, crc) in _describe(folder).items()}
    return {'folder': str(folder.resolve()), 'files': files}


def _describe(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and checksum of each file by its path in the folder."""
    paths = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, _checksum(path))
        for path in sorted(paths)
        if path.name != SEAL
    }


def _checksum(path: Path) -> int:
    crc = 0
    with path.open('rb') as stream:
        while chunk := stream.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc
