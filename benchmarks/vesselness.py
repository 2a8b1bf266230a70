#!/usr/bin/env python3
"""Floor that networks have to beat: Frangi and Jerman filters on simulated heads.

    python benchmarks/vesselness.py HEADS_DIR [HEADS_DIR ...]

Each HEADS_DIR is a data set of `pvs simulate`. The T1w is brought to white matter = 1 and filtered within true
white matter and basal ganglia, 2 mm inside (the true bounds: better than the filters could have); prints the area under the
precision-recall curve of the voxels. Frangi et al. 1998 as in scikit-image, with alpha = beta = 0.5 as in the
published reference object; Jerman et al. 2016 (doi:10.1109/TMI.2016.2550102), tau = 0.75.
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
    """Jerman's vesselness of dark tubes: largest response over the scales."""
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
    data: np.ndarray, inside: np.ndarray, white: np.ndarray, smooth: np.ndarray | float, voxel: float
) -> dict[str, np.ndarray]:
    """Frangi's and Jerman's maps of a T1w brought to white matter = 1, outside of `inside` exactly.

    `smooth` is the spread, in voxels, over which white matter is averaged; `voxel` a voxel's size in mm.
    """
    spread = ndimage.gaussian_filter(white.astype(np.float32), smooth)
    field = ndimage.gaussian_filter(data * white, smooth) / np.maximum(spread, 1e-3)
    data = np.where(inside, data / np.maximum(field, 1e-3), 1.0).astype(np.float32)
    sigmas = [s / voxel for s in SCALES_MM]
    return {
        'Frangi': frangi(data, sigmas=sigmas, alpha=0.5, beta=0.5, black_ridges=True),
        'Jerman': jerman(data, sigmas),
    }


def score(t1w: Path, labels: Path) -> dict[str, float]:
    """Area under the precision-recall curve of each filter in one head."""
    image = nib.load(t1w)
    data = np.asarray(image.dataobj, np.float32)

    def truth(name: str) -> np.ndarray:
        return np.asarray(nib.load(labels / t1w.name.replace('T1w', name)).dataobj)

    aseg, target = truth('seg-aseg_dseg'), truth('label-PVS_mask') > 0
    inside = np.isin(aseg, (*label_maps.WHITE_MATTER, *label_maps.BASAL_GANGLIA))
    box = bounding_box(inside)
    data, aseg, target, inside = data[box], aseg[box], target[box], inside[box]
    maps = filter_maps(data, inside, np.isin(aseg, (2, 41)), 12, float(image.header.get_zooms()[0]))
    # the reference object's spaces lie 2 mm or more inside: the region's own edge is no finding
    spacing = tuple(float(z) for z in image.header.get_zooms())
    inside &= edt.edt(inside, anisotropy=spacing) > MARGIN_MM
    return {
        name: float(average_precision_score(target[inside], response[inside]))
        for name, response in maps.items()
    }


def main(folders: list[Path]) -> None:
    """Print one row a data set: means over heads."""
    print('| heads | n | Frangi AUPRC | Jerman AUPRC |\n| --- | --- | --- | --- |')
    for folder in folders:
        scans = sorted(folder.glob('sub-*/**/*_T1w.nii.gz'))
        labels = labels_dir(folder)
        found = [score(p, labels / p.parent.relative_to(folder)) for p in scans]
        means = [np.mean([f[name] for f in found]) for name in ('Frangi', 'Jerman')]
        print(f'| {folder.name} | {len(scans)} | {means[0]:.3f} | {means[1]:.3f} |')


if __name__ == '__main__':
    main([Path(a) for a in sys.argv[1:]])
