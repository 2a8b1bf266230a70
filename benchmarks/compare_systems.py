#!/usr/bin/env python3
"""What models marked on simulated heads by `participant`, beside Frangi and Jerman filters on the same scans.

    python benchmarks/compare_systems.py [--no-filters] HEADS_DIR=OUT_DIR[,OUT_DIR...] [HEADS_DIR=...]

HEADS_DIR is a data set of `pvs simulate`, each OUT_DIR what `pvs HEADS_DIR OUT_DIR participant` made of it with one model, at
that model's own threshold. The filters see the preprocessed T1w in the regions of the first OUT_DIR and have the threshold
that suits these very heads best (of ten, by voxel Dice), which nobody has at work. Means over heads with 95 % bootstrap
intervals; definitions as in `pvs evaluate`; "from 10 mm3" counts large clusters, hit by clusters of any size. The filters
take some minutes a head.
"""

from __future__ import annotations

import argparse
import json
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
SIZES = (0.0, LARGE_MM3)


def load(folder: Path, name: str) -> nib.Nifti1Image:
    """An image of one scan."""
    (path,) = folder.glob(f'*_{name}.nii.gz')
    return nib.load(path)


def measure_model(folder: Path, labels: Path) -> tuple[str, pd.DataFrame]:
    """Name of the model that marked a scan, and the one line of its mask's sweep a size."""
    image = load(folder, 'label-PVS_mask')
    marked, truth = image.get_fdata() > 0, load(labels, 'label-PVS_mask').get_fdata() > 0
    box = bounding_box(truth | marked, 2)
    voxel = float(np.prod(image.header.get_zooms()[:3]))
    (path,) = folder.glob('*_label-PVS_mask.json')
    card = json.loads(path.read_text())
    table = sweep(marked[box].astype(np.float32), truth[box], voxel, thresholds=(0.5,), sizes=SIZES)
    return f'{card["ModelName"]} {card["ModelVersion"]}', table


def measure_filters(folder: Path, labels: Path) -> dict[str, pd.DataFrame]:
    """Sweep of each filter over its thresholds."""
    image = load(folder, 'desc-preproc_T1w')
    zooms = np.array(image.header.get_zooms()[:3])
    regions = load(folder, 'seg-regions_dseg').get_fdata() > 0
    truth = load(labels, 'label-PVS_mask').get_fdata() > 0
    box = bounding_box(regions | truth, 8)
    truth, regions = truth[box], regions[box]
    white = load(folder, 'seg-tissue_dseg').get_fdata()[box] == 3
    near = ndimage.binary_dilation(regions, iterations=2)  # what filters see beyond is white matter
    data = image.get_fdata(dtype=np.float32)[box]
    tables = {}
    for name, found in filter_maps(data, near, white, 12 / zooms, float(zooms.mean())).items():
        response = np.where(regions, found, 0)
        cuts = np.maximum(np.quantile(response[regions], 1 - np.array(SHARES)), 1e-9)
        table = sweep(response, truth, float(np.prod(zooms)), thresholds=tuple(cuts), sizes=SIZES)
        tables[name] = table.assign(threshold=np.repeat(SHARES, len(SIZES)))
    return tables


def measure(heads: Path, outs: list[Path], *, filters: bool) -> dict[str, pd.DataFrame]:
    """The sweeps of all scans by system; a model that marked two folders is two systems."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for number, out in enumerate(outs):
        earlier = set(tables)
        for folder in tqdm(sorted(out.glob('sub-*/**/anat')), desc=f'{heads.name}, {out.name}'):
            labels = labels_dir(heads) / folder.relative_to(out)
            model, table = measure_model(folder, labels)
            found = {f'{model} in {out}' if model in earlier else model: table}
            if filters and not number:
                found |= measure_filters(folder, labels)
            for name, table in found.items():
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


def main() -> None:
    """Print one row a system and data set."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('pairs', nargs='+', metavar='HEADS_DIR=OUT_DIR[,OUT_DIR...]')
    p.add_argument('--no-filters', action='store_true', help='the models alone')
    args = p.parse_args()
    if not all('=' in pair for pair in args.pairs):
        p.error('give HEADS_DIR=OUT_DIR')
    print('| heads | n | system | voxel Dice | cluster Dice | from 10 mm3 | AVD (%) |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for pair in args.pairs:
        heads, outs = pair.split('=')
        tables = measure(Path(heads), [Path(out) for out in outs.split(',')], filters=not args.no_filters)
        for name, table in tables.items():
            cells = ' | '.join(row(table))
            print(f'| {Path(heads).name} | {table.scan.nunique()} | {name} | {cells} |', flush=True)


if __name__ == '__main__':
    main()
