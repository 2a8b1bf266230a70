#!/usr/bin/env python3
"""What `participant` marked on simulated heads, beside Frangi and Jerman filters on the same scans and regions.

    python benchmarks/against_filters.py HEADS_DIR=OUT_DIR [HEADS_DIR=OUT_DIR ...]

HEADS_DIR is a data set of `pvs simulate`, OUT_DIR what `pvs HEADS_DIR OUT_DIR participant` made of it. The filters see the
preprocessed T1w in the regions of OUT_DIR and have the threshold that suits these very heads best (of twelve, by voxel
Dice), which nobody has at work. Means over heads with 95 % bootstrap intervals; definitions as in `pvs evaluate`; "from
10 mm3" counts large clusters, hit by clusters of any size.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import frangi
from vesselness import SCALES_MM, jerman

from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.evaluation.sweep import bootstrap, sweep

#: Shares of the voxels of the regions that a filter marks.
SHARES = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1)
COLUMNS = {'voxel Dice': 'dice', 'cluster Dice': 'cluster_dice', 'AVD (%)': 'avd'}
LARGE_MM3 = 10.0


def responses(folder: Path) -> dict[str, np.ndarray]:
    """Filter maps of one scan, 0 outside its regions."""
    image, regions = load(folder, 'desc-preproc_T1w'), load(folder, 'seg-regions_dseg').get_fdata() > 0
    white = load(folder, 'seg-tissue_dseg').get_fdata() == 3
    zooms = np.array(image.header.get_zooms()[:3])
    data = image.get_fdata(dtype=np.float32)
    spread = ndimage.gaussian_filter(white.astype(np.float32), 12 / zooms)
    data = data / np.maximum(
        ndimage.gaussian_filter(data * white, 12 / zooms) / np.maximum(spread, 1e-3), 1e-3
    )
    data = np.where(ndimage.binary_dilation(regions, iterations=2), data, 1.0)
    sigmas = [s / float(zooms.mean()) for s in SCALES_MM]
    maps = {
        'Frangi': frangi(data, sigmas=sigmas, alpha=0.5, beta=0.5, black_ridges=True),
        'Jerman': jerman(data.astype(np.float32), sigmas),
    }
    return {name: np.where(regions, found, 0) for name, found in maps.items()}


def load(folder: Path, name: str) -> nib.Nifti1Image:
    """An image of one scan."""
    (path,) = folder.glob(f'*_{name}.nii.gz')
    return nib.load(path)


def measure(heads: Path, out: Path) -> dict[str, pd.DataFrame]:
    """Sweeps of all scans by system; the model's has one threshold."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for folder in sorted(out.glob('sub-*/**/anat')):
        truth_image = load(labels_dir(heads) / folder.relative_to(out), 'label-PVS_mask')
        truth, voxel = truth_image.get_fdata() > 0, float(np.prod(truth_image.header.get_zooms()[:3]))
        marked = load(folder, 'label-PVS_mask').get_fdata().astype(np.float32)
        found = {'pvs participant': sweep(marked, truth, voxel, thresholds=(0.5,), sizes=(0.0, LARGE_MM3))}
        for name, response in responses(folder).items():
            inside = response[load(folder, 'seg-regions_dseg').get_fdata() > 0]
            cuts = np.maximum(np.quantile(inside, 1 - np.array(SHARES)), 1e-9)
            table = sweep(response, truth, voxel, thresholds=tuple(cuts), sizes=(0.0, LARGE_MM3))
            found[name] = table.assign(threshold=np.repeat(SHARES, 2))
        for name, table in found.items():
            tables.setdefault(name, []).append(table.assign(scan=folder.parent.name))
    return {name: pd.concat(parts) for name, parts in tables.items()}


def row(table: pd.DataFrame) -> list[str]:
    """Cells of a system, at the threshold of its best mean Dice."""
    whole = table[table.min_size_mm3 == 0]
    best = whole.groupby('threshold').dice.mean().idxmax()
    cells = []
    for column in COLUMNS.values():
        mean, low, high = bootstrap(whole[whole.threshold == best][column].to_numpy())
        cells.append(
            f'{mean:.2f} [{low:.2f}, {high:.2f}]'
            if column != 'avd'
            else f'{mean:.0f} [{low:.0f}, {high:.0f}]'
        )
    large = table[(table.min_size_mm3 == LARGE_MM3) & (table.threshold == best)].large_dice
    mean, low, high = bootstrap(large.to_numpy())
    return [*cells[:2], f'{mean:.2f} [{low:.2f}, {high:.2f}]', cells[2]]


def main(pairs: list[tuple[Path, Path]]) -> None:
    """Print one row a system and data set."""
    print('| heads | n | system | voxel Dice | cluster Dice | from 10 mm3 | AVD (%) |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for heads, out in pairs:
        for name, table in measure(heads, out).items():
            print(
                f'| {heads.name} | {table.scan.nunique()} | {name} | ' + ' | '.join(row(table)) + ' |',
                flush=True,
            )


if __name__ == '__main__':
    if len(sys.argv) < 2 or not all('=' in a for a in sys.argv[1:]):
        sys.exit(__doc__)
    main([(Path(a.split('=')[0]), Path(a.split('=')[1])) for a in sys.argv[1:]])
