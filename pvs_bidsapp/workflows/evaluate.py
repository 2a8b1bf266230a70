"""Compare masks of one data set with those of another, scan by scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from ..anatomy.resampling import Grid, resample
from ..bids.files import write_text
from ..clusters.tables import to_tsv
from ..errors import InputError
from ..evaluation.metrics import cluster_scores, remove_small, score

PATTERN = 'sub-*_label-PVS_mask.nii.gz'


def pairs(found_dir: Path, truth_dir: Path) -> list[tuple[str, Path, Path]]:
    """Masks of the same name in both data sets: name, found, truth.

    Raises
    ------
    InputError
        If there is none.
    """
    truth = {p.name: p for p in truth_dir.rglob(PATTERN)}
    both = [(p.name, p, truth[p.name]) for p in sorted(found_dir.rglob(PATTERN)) if p.name in truth]
    if not both:
        raise InputError(f'no {PATTERN} of the same name in {found_dir} and {truth_dir}')
    return both


def run(found_dir: Path, truth_dir: Path, out_dir: Path, sizes: Sequence[float]) -> pd.DataFrame:
    """Write ``evaluation.tsv``, one row a scan and size filter, and return it.

    Parameters
    ----------
    found_dir, truth_dir : Path
        Derivative data sets with masks.
    out_dir : Path
    sizes : sequence of float
        Cluster-size filters in mm3, applied to both masks.
    """
    rows = []
    for name, found_path, truth_path in pairs(found_dir, truth_dir):
        truth_image, found_image = nib.load(truth_path), nib.load(found_path)
        truth = np.asarray(truth_image.dataobj) > 0
        found = np.asarray(found_image.dataobj, np.float32)
        if found.shape != truth.shape or not np.allclose(found_image.affine, truth_image.affine, atol=1e-3):
            grid = Grid(truth.shape, truth_image.affine)
            found = resample(found, found_image.affine, grid, order=1)
        marked = found > 0.5
        voxel = abs(float(np.linalg.det(truth_image.affine[:3, :3])))
        for size in sizes:
            scores = score(remove_small(marked, size, voxel), remove_small(truth, size, voxel))
            recall, precision = cluster_scores(marked, truth, size, voxel)
            row = {'scan': name.removesuffix('_label-PVS_mask.nii.gz'), 'min_size_mm3': size}
            row |= asdict(scores) | {'large_recall': recall, 'large_precision': precision}
            rows.append(row)
    table = pd.DataFrame(rows)
    write_text(out_dir / 'evaluation.tsv', to_tsv(table))
    return table
