#!/usr/bin/env python3
"""Baseline for networks: Frangi and Jerman filters on simulated heads.

    python benchmarks/vesselness.py HEADS_DIR [HEADS_DIR ...]

Each HEADS_DIR is a dataset of `pvs simulate`. White matter of the T1w is scaled to 1. The T1w is filtered
within the true white matter and basal ganglia, 2 mm inside, which is better than the filters could know.
Prints the area under the precision-recall curve of the voxels. Frangi et al. 1998 as in scikit-image, with
alpha = beta = 0.5 as in the published reference object; Jerman et al. 2016 (doi:10.1109/TMI.2016.2550102),
tau = 0.75.
"""

from __future__ import annotations

import sys
from pathlib import Path

import edt
import nibabel as nib
import numpy as np
from scipy import ndimage
from skimage.feature import hessian_matrix, hessian_matrix_eigvals
from skimage.filters import frangi
from sklearn.metrics import average_precision_score

from pvs_bidsapp.anatomy.morphology import bounding_box
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.simulation import label_maps

MARGIN_MM = 2.0
SCALES_MM = (0.5, 0.75, 1.0, 1.5)


def jerman(image: np.ndarray, sigmas: list[float], tau: float = 0.75) -> np.ndarray:
    """Jerman's vesselness of dark tubes: the largest response over all scales."""
    best = np.zeros(image.shape, np.float32)
    for sigma in sigmas:
        hessian = hessian_matrix(image, sigma, use_gaussian_derivatives=False)
        values = hessian_matrix_eigvals([np.float32(sigma**2) * h for h in hessian])
        order = np.argsort(np.abs(values), axis=0)
        _, second, third = np.take_along_axis(values, order, axis=0)
        cut = tau * third.max()
        regular = np.where(third > cut, third, np.where(third > 0, cut, 0))
        tube = (second > 0) & (regular > 0)
        second, regular = np.where(tube, second, 0), np.where(tube, regular, 1)
        response = second**2 * (regular - second) * (3 / (second + regular)) ** 3
        response = np.where(tube, np.where(second >= regular / 2, 1, response), 0)
        best = np.maximum(best, response.astype(np.float32))
    return best


def filter_maps(
    data: np.ndarray, inside: np.ndarray, white: np.ndarray, *, sigma: np.ndarray | float, voxel_size: float
) -> dict[str, np.ndarray]:
    """Frangi's and Jerman's vesselness of a T1w.

    Parameters
    ----------
    data : ndarray, shape (x, y, z)
        T1w; its local white matter is scaled to 1.
    inside : ndarray of bool, shape (x, y, z)
        Voxels to filter; all others are set to 1.
    white : ndarray of bool, shape (x, y, z)
        White matter.
    sigma : ndarray or float
        Width of the Gaussian by which white matter is averaged, in voxels.
    voxel_size : float
        In mm.
    """
    weight = ndimage.gaussian_filter(white.astype(np.float32), sigma)
    field = ndimage.gaussian_filter(data * white, sigma) / np.maximum(weight, 1e-3)
    data = np.where(inside, data / np.maximum(field, 1e-3), 1.0).astype(np.float32)
    sigmas = [s / voxel_size for s in SCALES_MM]
    return {
        'Frangi': frangi(data, sigmas=sigmas, alpha=0.5, beta=0.5, black_ridges=True),
        'Jerman': jerman(data, sigmas),
    }


def score(t1w: Path, labels: Path) -> dict[str, float]:
    """Area under the precision-recall curve of each filter in one head."""
    image = nib.load(t1w)
    data = np.asarray(image.dataobj, np.float32)

    def load_label(name: str) -> np.ndarray:
        return np.asarray(nib.load(labels / t1w.name.replace('T1w', name)).dataobj)

    aseg, reference = load_label('seg-aseg_dseg'), load_label('label-PVS_mask') > 0
    inside = np.isin(aseg, (*label_maps.WHITE_MATTER, *label_maps.BASAL_GANGLIA))
    box = bounding_box(inside)
    data, aseg, reference, inside = data[box], aseg[box], reference[box], inside[box]
    voxel_size = float(image.header.get_zooms()[0])
    maps = filter_maps(data, inside, np.isin(aseg, (2, 41)), sigma=12, voxel_size=voxel_size)
    # simulated PVS are 2 mm or more inside: the edge of the region does not count as a false positive
    spacing = tuple(float(z) for z in image.header.get_zooms())
    inside &= edt.edt(inside, anisotropy=spacing) > MARGIN_MM
    return {
        name: float(average_precision_score(reference[inside], response[inside]))
        for name, response in maps.items()
    }


def main(folders: list[Path]) -> None:
    """Print one row per dataset: means over heads."""
    print('| heads | n | Frangi AUPRC | Jerman AUPRC |\n| --- | --- | --- | --- |')
    for folder in folders:
        scans = sorted(folder.glob('sub-*/**/*_T1w.nii.gz'))
        labels = labels_dir(folder)
        scores = [score(p, labels / p.parent.relative_to(folder)) for p in scans]
        means = [np.mean([s[name] for s in scores]) for name in ('Frangi', 'Jerman')]
        print(f'| {folder.name} | {len(scans)} | {means[0]:.3f} | {means[1]:.3f} |')


if __name__ == '__main__':
    main([Path(a) for a in sys.argv[1:]])
