#!/usr/bin/env python3
"""Measures of simulated heads beside the truth: regions, lengths and widths, estimated grades.

    python benchmarks/measures.py OUT_DIR DATASET [OUT_DIR DATASET ...]

OUT_DIR is what ``participant`` wrote for the simulated DATASET; the truth lies in its ``derivatives/labels``.
Prints

- the share of simulated spaces that lie in the region in which they were drawn, by the label maps: those of a
  capsule, the corpus callosum and what lies within 15 mm of the third ventricle are no deep white matter;
- bias and limits of agreement (mean, 1.96 standard deviations) of length and width, measured on the true
  masks, with the tubes that were drawn;
- agreement of the grades estimated from the found mask with those from the true mask: weighted kappa.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cc3d
import edt
import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from pvs_bidsapp.anatomy.acpc import Frame
from pvs_bidsapp.anatomy.regions import CENTRAL, REGIONS, TOTALS
from pvs_bidsapp.clusters.shape import measure
from pvs_bidsapp.clusters.visual_grades import GRADES, estimate_grades

#: Totals in which the spaces of each region of the simulation should be found.
EXPECTED = {
    'white-matter': 'deep white matter', 'basal-ganglia': 'basal ganglia',
    'midbrain': 'midbrain', 'hippocampus': 'hippocampus',
}  # fmt: skip
#: FreeSurfer codes of the corpus callosum, the third ventricle, ventral diencephalon.
CALLOSUM, THIRD, VENTRAL = (251, 252, 253, 254, 255), (14,), (28, 60)
BY_INDEX = {region.index: region for region in REGIONS}
TOTAL_OF = {name: total for total, names in TOTALS.items() for name in names}


@dataclass(frozen=True)
class Head:
    """A simulated head and what was found in it."""

    table: pd.DataFrame
    truth: np.ndarray
    labels: np.ndarray
    regions: np.ndarray
    affine: np.ndarray
    stats: dict

    @classmethod
    def read(cls, folder: Path, labels: Path) -> Head:
        """Read the files of one scan from its folders in OUT_DIR and among the labels."""
        (truth,) = labels.glob('*_desc-pvs_dseg.nii.gz')
        (table,) = labels.glob('*_desc-pvs_dseg.tsv')
        (aseg,) = labels.glob('*_seg-aseg_dseg.nii.gz')
        (regions,) = folder.glob('*_seg-regions_dseg.nii.gz')
        (stats,) = folder.glob('*_desc-pvs_stats.json')
        image = nib.load(truth)
        data = [np.asarray(nib.load(p).dataobj).astype(int) for p in (truth, aseg, regions)]
        return cls(pd.read_csv(table, sep='\t'), *data, image.affine, json.loads(stats.read_text()))


def main() -> None:
    """Print the tables."""
    given = [Path(argument) for argument in sys.argv[1:]]
    if len(given) < 2 or len(given) % 2:
        sys.exit(__doc__)
    heads = [
        Head.read(folder / 'anat', data / 'derivatives' / 'labels' / folder.name / 'anat')
        for out, data in zip(given[::2], given[1::2], strict=True)
        for folder in sorted(out.glob('sub-*'))
        if folder.is_dir()
    ]
    print(f'{len(heads)} heads\n')
    print_regions(heads)
    print_shapes(heads)
    print_grades(heads)


def print_regions(heads: list[Head]) -> None:
    """Where the spaces of each region are."""
    counts: Counter[tuple[str, str]] = Counter()
    for head in heads:
        spacing = tuple(map(float, np.linalg.norm(head.affine[:3, :3], axis=0)))
        from_third = edt.edt(~np.isin(head.labels, THIRD), anisotropy=spacing)
        for index, region in zip(head.table['index'], head.table['region'], strict=True):
            inside = head.truth == index
            labels = Counter(head.labels[inside].tolist())
            if inside.sum() < 2 or not (found := np.bincount(head.regions[inside])[1:]).any():
                counts[region, 'in no region'] += inside.sum() >= 2
                continue
            code = labels.most_common(1)[0][0]
            total = TOTAL_OF[BY_INDEX[int(found.argmax()) + 1].name]
            is_central = code in CALLOSUM or from_third[inside].mean() <= CENTRAL
            if region == 'white-matter' and is_central and total != 'deep white matter':
                total = 'not lobar, as it should be'
            if region == 'midbrain' and code in VENTRAL and total != 'midbrain':
                total = 'ventral diencephalon by the label map'
            counts[region, total] += 1
    print('| drawn in | spaces | found in |\n| --- | --- | --- |')
    for region in EXPECTED:
        own = {total: n for (drawn, total), n in counts.items() if drawn == region and n}
        whole = sum(own.values())
        shares = ', '.join(f'{t} {n / whole:.3f}' for t, n in sorted(own.items(), key=lambda i: -i[1]))
        print(f'| {region} | {whole} | {shares or "-"} |')


def print_shapes(heads: list[Head]) -> None:
    """Length and width of the true masks by those that were drawn."""
    rows = []
    for head in heads:
        drawn = head.table.set_index('index')
        for shape in measure(whole_ones(head.truth), head.affine):
            row = drawn.loc[shape.index]
            if len(shape.voxels) >= 4 and row['n_branches'] == 0:
                rows.append(
                    (row['width_mm'], shape.length / row['length_mm'] - 1, shape.width / row['width_mm'] - 1)
                )
    table = pd.DataFrame(rows, columns=['drawn', 'length', 'width'])
    print('\n| width drawn, mm | spaces | length, % | width, % |\n| --- | --- | --- | --- |')
    for low, high in ((0, 1), (1, 1.5), (1.5, 2), (2, 9)):
        own = table[(table['drawn'] >= low) & (table['drawn'] < high)]
        cells = [f'{100 * own[c].mean():+.0f} ± {196 * own[c].std():.0f}' for c in ('length', 'width')]
        print(f'| {low} to {high} | {len(own)} | {" | ".join(cells)} |')


def whole_ones(truth: np.ndarray) -> np.ndarray:
    """The numbered spaces without those of which the voxels are no single piece."""
    kept = truth.astype(np.int32)
    for index, box in enumerate(ndimage.find_objects(kept), start=1):
        if box and cc3d.connected_components(kept[box] == index, connectivity=26, return_N=True)[1] > 1:
            kept[kept == index] = 0
    return kept


def print_grades(heads: list[Head]) -> None:
    """Grades of found and true masks."""
    found: dict[str, list[tuple[int, int]]] = {key: [] for key in GRADES}
    for head in heads:
        frame = Frame(
            origin=np.array(head.stats['AcPcFrame']['Origin']), axes=np.array(head.stats['AcPcFrame']['Axes'])
        )
        rows = []
        for index in np.unique(head.truth[head.truth > 0]):
            inside = np.bincount(head.regions[head.truth == index], minlength=2)[1:]
            if inside.any():
                region = BY_INDEX[int(inside.argmax()) + 1]
                rows.append((index, region.name, region.hemisphere))
        table = pd.DataFrame(rows, columns=['index', 'region', 'hemisphere'])
        true = estimate_grades(head.truth, table, head.affine, frame)
        for key in GRADES:
            found[key].append((true[key].value, head.stats['EstimatedVisualGrades'][key]['Value']))
    print('\n| grade | heads | equal | weighted kappa |\n| --- | --- | --- | --- |')
    for key, pairs in found.items():
        true, own = np.array(pairs).T
        print(f'| {key} | {len(pairs)} | {(true == own).sum()} | {kappa(true, own):.2f} |')


def kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights."""
    levels = np.arange(max(first.max(), second.max()) + 1)
    joint = (
        np.histogram2d(first, second, bins=[*levels, levels[-1] + 1])[0]
        if len(levels) > 1
        else np.ones((1, 1))
    )
    joint /= joint.sum()
    weights = np.subtract.outer(levels, levels) ** 2
    chance = np.outer(joint.sum(1), joint.sum(0))
    return (
        1 - float((weights * joint).sum() / (weights * chance).sum())
        if (weights * chance).sum()
        else float('nan')
    )


if __name__ == '__main__':
    main()
