#!/usr/bin/env python3
"""Models, and Frangi and Jerman filters, on the same simulated heads.

    python benchmarks/compare_systems.py [--no-filters] HEADS_DIR=OUT_DIR[,OUT_DIR...] [HEADS_DIR=...]

HEADS_DIR is a dataset of `pvs simulate`. Each OUT_DIR is the output of `pvs HEADS_DIR OUT_DIR participant`
with one model, at the model's own threshold. The filters run on the preprocessed T1w in the regions of the
first OUT_DIR, which has to be of a model of the T1w. A model of the T2w alone is compared with the truth on
the grid of the T2w. The filters' threshold is the best of ten for these heads (by voxel Dice), which a user
could not know. Prints means over heads with 95 % bootstrap intervals; definitions as in `pvs evaluate`. "From
10 mm3" counts large clusters, which clusters of any size may hit. The filters take some minutes per head.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import experiment
import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm.auto import tqdm
from vesselness import filter_maps

from pvs_bidsapp.anatomy.morphology import bounding_box
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.evaluation.sweep import bootstrap, sweep

#: Fractions of the voxels of the regions that a filter marks.
FRACTIONS = (0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
LARGE_MM3 = 10.0
SIZES = (0.0, LARGE_MM3)


def load(folder: Path, name: str) -> nib.Nifti1Image:
    """An image of one scan."""
    (path,) = folder.glob(f'*_{name}.nii.gz')
    return nib.load(path)


def measure_model(folder: Path, labels: Path) -> tuple[str, pd.DataFrame]:
    """Name of the model, and one row per size filter with the scores of its mask."""
    image = load(folder, 'label-PVS_mask')
    predicted, reference = image.get_fdata() > 0, load(labels, 'label-PVS_mask').get_fdata() > 0
    box = bounding_box(reference | predicted, 2)
    voxel = float(np.prod(image.header.get_zooms()[:3]))
    (path,) = folder.glob('*_label-PVS_mask.json')
    card = json.loads(path.read_text())
    table = sweep(predicted[box].astype(np.float32), reference[box], voxel, thresholds=(0.5,), sizes=SIZES)
    return f'{card["ModelName"]} {card["ModelVersion"]}', table


def measure_filters(folder: Path, labels: Path) -> dict[str, pd.DataFrame]:
    """Scores of each filter at each threshold and size filter."""
    image = load(folder, 'desc-preproc_T1w')
    zooms = np.array(image.header.get_zooms()[:3])
    regions = load(folder, 'seg-regions_dseg').get_fdata() > 0
    reference = load(labels, 'label-PVS_mask').get_fdata() > 0
    box = bounding_box(regions | reference, 8)
    reference, regions = reference[box], regions[box]
    white = load(folder, 'seg-tissue_dseg').get_fdata()[box] == 3
    near = ndimage.binary_dilation(regions, iterations=2)  # the rest is filled with white matter
    data = image.get_fdata(dtype=np.float32)[box]
    tables = {}
    maps = filter_maps(data, near, white, sigma=12 / zooms, voxel_size=float(zooms.mean()))
    for name, filtered in maps.items():
        response = np.where(regions, filtered, 0)
        cuts = np.maximum(np.quantile(response[regions], 1 - np.array(FRACTIONS)), 1e-9)
        table = sweep(response, reference, float(np.prod(zooms)), thresholds=tuple(cuts), sizes=SIZES)
        tables[name] = table.assign(threshold=np.repeat(FRACTIONS, len(SIZES)))
    return tables


def measure(heads: Path, outs: list[Path], *, filters: bool) -> dict[str, pd.DataFrame]:
    """Scores of all scans by system; a model with two output folders counts as two systems."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for number, out in enumerate(outs):
        earlier = set(tables)
        for folder in tqdm(sorted(out.glob('sub-*/**/anat')), desc=f'{heads.name}, {out.name}'):
            suffix = 'T1w' if any(folder.glob('*_desc-preproc_T1w.nii.gz')) else 'T2w'
            labels = labels_dir(heads, suffix) / folder.relative_to(out)
            model, table = measure_model(folder, labels)
            scores = {f'{model} in {out}' if model in earlier else model: table}
            if filters and not number:
                scores |= measure_filters(folder, labels)
            for name, table in scores.items():
                tables.setdefault(name, []).append(table.assign(scan=folder.parent.name))
    return {name: pd.concat(parts) for name, parts in tables.items()}


def row(table: pd.DataFrame) -> list[str]:
    """Cells of a system, at the threshold with the best mean Dice."""
    whole, large = (table[table.min_size_mm3 == size] for size in (0.0, LARGE_MM3))
    best = whole.groupby('threshold').dice.mean().idxmax()
    whole, large = whole[whole.threshold == best], large[large.threshold == best]
    cells = []
    for values, digits in ((whole.dice, 2), (whole.cluster_dice, 2), (large.large_dice, 2), (whole.avd, 0)):
        cells.append(experiment.interval(*bootstrap(values.to_numpy()), digits))
    return cells


def main() -> None:
    """Print one row per system and dataset."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('pairs', nargs='+', metavar='HEADS_DIR=OUT_DIR[,OUT_DIR...]')
    p.add_argument('--no-filters', action='store_true', help='models only')
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
