#!/usr/bin/env python3
"""Recall of PVS that are inserted into real scans, by diameter, and the number of other clusters.

    pvs simulate INSERTED --into BIDS_DIR --suite mixed
    pvs INSERTED OUT_INSERTED participant && pvs BIDS_DIR OUT_BEFORE participant
    python benchmarks/drawn_into_real.py INSERTED OUT_INSERTED OUT_BEFORE

An inserted PVS is found if a predicted cluster touches a voxel of which it fills two fifths or more. PVS that
fill no voxel so far are counted in the column "no voxel". Clusters that touch no inserted PVS may be PVS of
the person or false positives; their number should not rise by the insertion.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cc3d
import numpy as np
import pandas as pd
from anatomy_accuracy import load

from pvs_bidsapp.bids.naming import labels_dir

#: Diameters in mm.
BINS = (0, 1.0, 1.5, 2.0, 3.0, 10.0)


def found_pvs(labels: Path, predicted: np.ndarray, scan: str) -> pd.DataFrame:
    """Diameter of each inserted PVS, whether it fills a voxel, and whether it is found."""
    (table,) = labels.glob('*_desc-pvs_dseg.tsv')
    inserted = pd.read_csv(table, sep='\t')
    index = np.where(load(labels, 'label-PVS_mask') > 0, load(labels, 'desc-pvs_dseg'), 0)
    return pd.DataFrame({
        'scan': scan, 'width': inserted.width_mm, 'in_mask': inserted['index'].isin(np.unique(index)),
        'found': inserted['index'].isin(np.unique(index[predicted])),
    })  # fmt: skip


def clusters(mask: np.ndarray) -> np.ndarray:
    """Numbered clusters of a mask, 0 elsewhere."""
    return cc3d.connected_components(mask, connectivity=26)


def main(inserted: Path, after: Path, before: Path) -> None:
    """Print both tables."""
    tables = []
    print('| scan | clusters before | after insertion | not touching inserted PVS |')
    print('| --- | --- | --- | --- |')
    for folder in sorted(after.glob('sub-*/**/anat')):
        name = str(folder.relative_to(after).parent)
        labels = labels_dir(inserted) / folder.relative_to(after)
        predicted = load(folder, 'label-PVS_mask') > 0
        occupied = load(labels, 'label-PVS_probseg') > 0
        plain = load(before / folder.relative_to(after), 'label-PVS_mask') > 0
        numbered = clusters(predicted)
        touching = np.setdiff1d(numbered[occupied], 0).size
        total = int(numbered.max())
        print(f'| {name} | {clusters(plain).max()} | {total} | {total - touching} |')
        tables.append(found_pvs(labels, predicted, name))
    table = pd.concat(tables)
    table['diameter (mm)'] = pd.cut(table.width, BINS)
    print('\n| scan | diameter (mm) | inserted | no voxel | recall |\n| --- | --- | --- | --- | --- |')
    for (name, width), part in table.groupby(['scan', 'diameter (mm)'], observed=True):
        in_mask = part[part.in_mask]
        print(f'| {name} | {width} | {len(part)} | {len(part) - len(in_mask)} | {in_mask.found.mean():.2f} |')


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
