"""Small helpers of the interfaces: arrays to and from NIfTI files in a node's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ..anatomy.conform import ScanImage
from ..anatomy.registration import Transform
from ..anatomy.volume import SourceGrid
from ..messages.message import Finding


def write(folder: str, name: str, array: np.ndarray, affine: np.ndarray) -> str:
    """Write an array as uncompressed NIfTI; returns its path."""
    path = Path(folder) / name
    data = array.astype(np.uint8) if array.dtype == bool else array
    nib.save(nib.Nifti1Image(data, affine), path)
    return str(path)


def write_quality(folder: str, name: str, values: dict[str, Any], findings: Sequence[Finding]) -> str:
    """Write measures of quality and findings as JSON; returns its path."""
    path = Path(folder) / name
    path.write_text(json.dumps({'values': values, 'findings': [asdict(f) for f in findings]}))
    return str(path)


def read_quality(path: str) -> tuple[dict[str, Any], list[Finding]]:
    """Read measures of quality and findings."""
    content = json.loads(Path(path).read_text())
    return content['values'], [Finding(**f) for f in content['findings']]


def write_source(folder: str, name: str, scan: ScanImage) -> str:
    """Write the grid of a scan's file, the step of its values and the findings about it; returns the path."""
    source = scan.source
    values = {
        'shape': list(source.shape),
        'affine': source.affine.tolist(),
        'has_orientation': source.has_orientation,
        'step': scan.step,
    }
    return write_quality(folder, name, values, scan.findings)


def read_source(path: str) -> tuple[SourceGrid, float, list[Finding]]:
    """Read the grid of a scan's file, the step of its values and the findings about it."""
    values, findings = read_quality(path)
    source = SourceGrid(
        shape=tuple(values['shape']),
        affine=np.array(values['affine']),
        has_orientation=values['has_orientation'],
    )
    return source, values['step'], findings


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
