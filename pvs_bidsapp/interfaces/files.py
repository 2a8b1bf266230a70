"""Small helpers of the interfaces: arrays to and from NIfTI files in a node's folder."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from ..anatomy.registration import Transform


def write(folder: str, name: str, array: np.ndarray, affine: np.ndarray) -> str:
    """Write an array as uncompressed NIfTI; returns its path."""
    path = Path(folder) / name
    data = array.astype(np.uint8) if array.dtype == bool else array
    nib.save(nib.Nifti1Image(data, affine), path)
    return str(path)


def write_transform(folder: str, name: str, transform: Transform) -> str:
    """Write a chain of transforms as JSON; returns its path."""
    path = Path(folder) / name
    content = {'files': [str(p) for p in transform.files], 'inverted': list(transform.inverted)}
    path.write_text(json.dumps(content))
    return str(path)


def read_transform(path: str) -> Transform:
    """Read a chain of transforms."""
    content = json.loads(Path(path).read_text())
    return Transform(tuple(Path(p) for p in content['files']), tuple(content['inverted']))
