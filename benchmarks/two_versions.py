#!/usr/bin/env python3
"""Dice of two versions of the program: with each other, and with the truth where heads are simulated.

    python benchmarks/two_versions.py OLD_OUT_DIR NEW_OUT_DIR [LABELS_DIR]

Both folders are outputs of participant on the same dataset. LABELS_DIR is the derivatives/labels of
`pvs simulate`. White matter is that of the cerebrum, compared inside of it only; deep white matter are the
regions of this name, nuclei those of caudate and lentiform nucleus, PVS the mask.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from anatomy_accuracy import NUCLEI, load

from pvs_bidsapp.evaluation.metrics import dice
from pvs_bidsapp.simulation.label_maps import BASAL_GANGLIA

CEREBRUM, BELOW = (2, 41, 25, 57, 77), (7, 46, 8, 47, 16, 28, 60)
COLUMNS = ('brain', 'white matter', 'deep white matter', 'nuclei', 'PVS')


def masks(folder: Path) -> Iterator[np.ndarray]:
    """What is compared of a scan's outputs, in the order of `COLUMNS`."""
    regions = load(folder, 'seg-regions_dseg')
    yield load(folder, 'desc-brain_mask') > 0
    yield load(folder, 'seg-tissue_dseg') == 3
    yield (regions > 0) & (regions < 20)
    yield np.isin(regions, NUCLEI)
    yield load(folder, 'label-PVS_mask') > 0


def truth(folder: Path) -> Iterator[np.ndarray]:
    """The same of a simulated head."""
    labels = load(folder, 'seg-aseg_dseg')
    white = np.isin(labels, CEREBRUM)
    yield load(folder, 'desc-brain_mask') > 0
    yield white
    yield white
    yield np.isin(labels, BASAL_GANGLIA)
    yield load(folder, 'label-PVS_mask') > 0


def with_truth(folder: Path, reference: Path) -> list[float]:
    """Dice of a scan's outputs with the truth."""
    below = np.isin(load(reference, 'seg-aseg_dseg'), BELOW)
    pairs = zip(COLUMNS, masks(folder), truth(reference), strict=True)
    return [dice(found & ~below if name == 'white matter' else found, true) for name, found, true in pairs]


def row(name: str, values: list[float]) -> str:
    """A line of the table."""
    return f'| {name} | ' + ' | '.join(f'{v:.3f}' for v in values) + ' |'


def main(old: Path, new: Path, labels: Path | None = None) -> None:
    """Print the table."""
    print(f'| scan | {" | ".join(COLUMNS)} |')
    print('| --- |' + ' --- |' * len(COLUMNS))
    tables: dict[str, list[list[float]]] = {'old with new': [], 'old with truth': [], 'new with truth': []}
    for folder in sorted(p.parent for p in new.glob('sub-*/anat/*_label-PVS_mask.nii.gz')):
        subject = folder.parent.name
        before = old / subject / 'anat'
        values = [dice(a, b) for a, b in zip(masks(before), masks(folder), strict=True)]
        tables['old with new'].append(values)
        print(row(f'{subject}, old with new', values))
        if labels is not None:
            for name, outputs in (('old', before), ('new', folder)):
                values = with_truth(outputs, labels / subject / 'anat')
                tables[f'{name} with truth'].append(values)
                print(row(f'{subject}, {name} with truth', values))
    for name, rows in tables.items():
        if rows:
            print(row(f'mean, {name}', list(np.mean(rows, 0))))


if __name__ == '__main__':
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
