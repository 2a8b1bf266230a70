"""Image files that atheris mutates by what they reach in nibabel and in this program.

It needs ``pip install atheris`` beside the program, and is started by hand, with options of libFuzzer::

    PYTHONPATH=.:tests python tests/fuzz/atheris_header.py CORPUS -max_total_time=600 -rss_limit_mb=3000

CORPUS is a folder; valid files are put into it if it is empty. The first byte of an input chooses the
extension of the file, and whether it is compressed.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=['nibabel', 'pvs_bidsapp']):
    from fuzz.headers import seeds
    from fuzz.law import check_findings, check_line

    from pvs_bidsapp.anatomy.conform import audit_scan, load_scan
    from pvs_bidsapp.anatomy.mask_image import read_label_map, read_mask, read_probabilities
    from pvs_bidsapp.errors import PVSError

EXTENSIONS = ('.nii', '.mgh', '.nii.gz', '.mgz')


def try_file(folder: Path, content: bytes) -> None:
    """Read an input in all ways; an error that is not one of the program's ends the fuzzing."""
    if not content:
        return
    extension, data = EXTENSIONS[content[0] % len(EXTENSIONS)], content[1:]
    if extension.endswith('z'):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        data = packer.compress(data) + packer.flush()
    path = folder / f'sub-01_T1w{extension}'
    path.write_bytes(data)
    check_findings(audit_scan(path))
    for read in (load_scan, read_mask, read_label_map, read_probabilities):
        try:
            check_findings(read(path).findings)
        except PVSError as error:
            check_line(str(error))


def fill(corpus: Path) -> None:
    """Put valid files into an empty folder."""
    corpus.mkdir(parents=True, exist_ok=True)
    if any(corpus.iterdir()):
        return
    for seed in seeds():
        kinds = (0, 2) if seed.extension == '.nii' else (1, 3)
        for kind in kinds:
            (corpus / f'{seed.name}-{kind}'.replace('<', 'le').replace('>', 'be')).write_bytes(
                bytes([kind]) + seed.data
            )


def main() -> None:
    """Fuzz until an option of libFuzzer, or a fault, ends it."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter('ignore', ResourceWarning)
    warnings.simplefilter('error', RuntimeWarning)
    fill(Path(sys.argv[1]))
    shared = '/dev/shm'
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        atheris.Setup(sys.argv, lambda content: try_file(Path(folder), content))
        atheris.Fuzz()


if __name__ == '__main__':
    main()
