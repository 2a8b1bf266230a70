#!/usr/bin/env python3
"""Recall of perivascular spaces drawn into real scans by diameter, and how many clusters were marked that nobody drew.

    pvs simulate DRAWN --into BIDS_DIR --suite mixed
    pvs DRAWN OUT_DRAWN participant && pvs BIDS_DIR OUT_BEFORE participant
    python benchmarks/drawn_into_real.py DRAWN OUT_DRAWN OUT_BEFORE

A drawn space is found where a marked cluster touches a voxel that it fills to two fifths or more; those that fill no voxel so far are counted
in the column "no voxel". Clusters that touch no drawn space may be the person's own spaces or mistakes: their number
should not rise when spaces are drawn.
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


def found_spaces(labels: Path, marked: np.ndarray, scan: str) -> pd.DataFrame:
    """Diameter of each drawn space, whether it fills a voxel, and whether it was found."""
    (table,) = labels.glob('*_desc-pvs_dseg.tsv')
    spaces = pd.read_csv(table, sep='\t')
    index = np.where(load(labels, 'label-PVS_mask') > 0, load(labels, 'desc-pvs_dseg'), 0)
    return pd.DataFrame({
        'scan': scan, 'width': spaces.width_mm, 'drawn': spaces['index'].isin(np.unique(index)),
        'found': spaces['index'].isin(np.unique(index[marked])),
    })  # fmt: skip


def clusters(marked: np.ndarray) -> np.ndarray:
    """Numbered clusters of a mask, 0 outside."""
    return cc3d.connected_components(marked, connectivity=26)


def main(drawn: Path, after: Path, before: Path) -> None:
    """Print both tables."""
    spaces = []
    print(
        '| scan | clusters before | clusters with drawn spaces | of them touch none |\n| --- | --- | --- | --- |'
    )
    for folder in sorted(after.glob('sub-*/**/anat')):
        name = str(folder.relative_to(after).parent)
        labels = labels_dir(drawn) / folder.relative_to(after)
        marked = load(folder, 'label-PVS_mask') > 0
        occupied = load(labels, 'label-PVS_probseg') > 0
        plain = load(before / folder.relative_to(after), 'label-PVS_mask') > 0
        numbered = clusters(marked)
        touching = np.setdiff1d(numbered[occupied], 0).size
        total = int(numbered.max())
        print(f'| {name} | {clusters(plain).max()} | {total} | {total - touching} |')
        spaces.append(found_spaces(labels, marked, name))
    table = pd.concat(spaces)
    table['diameter (mm)'] = pd.cut(table.width, BINS)
    print('\n| scan | diameter (mm) | drawn | no voxel | recall |\n| --- | --- | --- | --- | --- |')
    for (name, width), part in table.groupby(['scan', 'diameter (mm)'], observed=True):
        real = part[part.drawn]
        print(f'| {name} | {width} | {len(part)} | {len(part) - len(real)} | {real.found.mean():.2f} |')


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
