#!/usr/bin/env python3
"""What `participant` marked on simulated heads, beside Frangi and Jerman filters on the same scans and regions.

    python benchmarks/against_filters.py HEADS_DIR=OUT_DIR [HEADS_DIR=OUT_DIR ...]

HEADS_DIR is a data set of `pvs simulate`, OUT_DIR what `pvs HEADS_DIR OUT_DIR participant` made of it. The filters see the
preprocessed T1w in the regions of OUT_DIR and have the threshold that suits these very heads best (of ten, by voxel
Dice), which nobody has at work. Means over heads with 95 % bootstrap intervals; definitions as in `pvs evaluate`; "from
10 mm3" counts large clusters, hit by clusters of any size. The filters take some minutes a head.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm.auto import tqdm
from vesselness import filter_maps

from pvs_bidsapp.anatomy.morphology import bounding_box
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.evaluation.sweep import bootstrap, sweep

#: Shares of the voxels of the regions that a filter marks.
SHARES = (0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
LARGE_MM3 = 10.0


def load(folder: Path, name: str) -> nib.Nifti1Image:
    """An image of one scan."""
    (path,) = folder.glob(f'*_{name}.nii.gz')
    return nib.load(path)


def measure_scan(folder: Path, labels: Path) -> dict[str, pd.DataFrame]:
    """Sweep of each system over its thresholds; the model's mask has but one."""
    image = load(folder, 'desc-preproc_T1w')
    zooms = np.array(image.header.get_zooms()[:3])
    regions = load(folder, 'seg-regions_dseg').get_fdata() > 0
    truth = load(labels, 'label-PVS_mask').get_fdata() > 0
    marked = load(folder, 'label-PVS_mask').get_fdata() > 0
    box = bounding_box(regions | truth | marked, 8)
    truth, regions = truth[box], regions[box]
    white = load(folder, 'seg-tissue_dseg').get_fdata()[box] == 3
    voxel, sizes = float(np.prod(zooms)), (0.0, LARGE_MM3)
    tables = {
        'pvs participant': sweep(marked[box].astype(np.float32), truth, voxel, thresholds=(0.5,), sizes=sizes)
    }
    near = ndimage.binary_dilation(regions, iterations=2)  # what filters see beyond is white matter
    data = image.get_fdata(dtype=np.float32)[box]
    for name, found in filter_maps(data, near, white, 12 / zooms, float(zooms.mean())).items():
        response = np.where(regions, found, 0)
        cuts = np.maximum(np.quantile(response[regions], 1 - np.array(SHARES)), 1e-9)
        table = sweep(response, truth, voxel, thresholds=tuple(cuts), sizes=sizes)
        tables[name] = table.assign(threshold=np.repeat(SHARES, len(sizes)))
    return tables


def measure(heads: Path, out: Path) -> dict[str, pd.DataFrame]:
    """The sweeps of all scans by system."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for folder in tqdm(sorted(out.glob('sub-*/**/anat')), desc=heads.name):
        for name, table in measure_scan(folder, labels_dir(heads) / folder.relative_to(out)).items():
            tables.setdefault(name, []).append(table.assign(scan=folder.parent.name))
    return {name: pd.concat(parts) for name, parts in tables.items()}


def row(table: pd.DataFrame) -> list[str]:
    """Cells of a system, at the threshold of its best mean Dice."""
    whole, large = (table[table.min_size_mm3 == size] for size in (0.0, LARGE_MM3))
    best = whole.groupby('threshold').dice.mean().idxmax()
    whole, large = whole[whole.threshold == best], large[large.threshold == best]
    cells = []
    for values, digits in ((whole.dice, 2), (whole.cluster_dice, 2), (large.large_dice, 2), (whole.avd, 0)):
        mean, low, high = bootstrap(values.to_numpy())
        cells.append(f'{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]')
    return cells


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
