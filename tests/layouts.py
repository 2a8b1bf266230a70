"""Datasets whose images are small files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np

from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.bids.query import Scan
from pvs_bidsapp.outputs.scan import fingerprint
from pvs_bidsapp.settings import Settings


def put(root: Path, *names: str, content: bytes = b'image') -> Path:
    """Make files; returns the root."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def put_images(root: Path, *names: str) -> Path:
    """Make images whose headers pass the audit of inputs; returns the root."""
    for name in names:
        put(root, name, content=_image(is_compressed=name.endswith('.gz')))
    return root


@lru_cache
def _image(*, is_compressed: bool) -> bytes:
    image = nib.Nifti1Image(np.zeros((60, 60, 60), np.uint8), np.diag([3.0, 3, 3, 1]))
    image.header.set_xyzt_units('mm')
    image.set_qform(image.affine, 1)
    content = image.to_bytes()
    return gzip.compress(content) if is_compressed else content


def names(scans: Iterable) -> list[str]:
    """Names of the T1w files."""
    return [scan.anat.name for scan in scans]


def put_results(scan: Scan, settings: Settings) -> None:
    """Make an output of a scan, and the record that it is done."""
    names = Naming.of(settings.out_dir, scan.anat)
    mask = names.anat('mask', label='PVS')
    put(mask.parent, mask.name)
    files = [mask.relative_to(settings.out_dir).as_posix()]
    record = {'fingerprint': fingerprint(scan, settings), 'inputs': scan.inputs, 'files': files}
    put(names.status.parent, names.status.name, content=json.dumps(record).encode())
