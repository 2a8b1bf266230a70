#!/usr/bin/env python3
"""Measures of simulated heads beside the truth: regions, shapes, estimated grades, expected numbers.

    python benchmarks/measures.py OUT_DIR DATASET [OUT_DIR DATASET ...]

OUT_DIR is what ``participant`` wrote for the simulated DATASET; the truth lies in its ``derivatives/labels``.
Prints

- the share of simulated spaces that lie in the region in which they were drawn. The label maps' white matter
  holds more than deep white matter: the corpus callosum, what lies within 15 mm of the third ventricle, the
  internal capsule (between the nuclei of an axial section) and the external one (within 6 mm of the putamen);
  and the share of which a voxel was found;
- bias and limits of agreement (mean, 1.96 standard deviations) of length and width, measured on the true
  masks, with the tubes that were drawn;
- agreement (weighted kappa) of the grades estimated from the found mask with those from the true one, counted
  by the same rules; and with those from the spaces that were drawn, each counted by itself also where it
  touches another one, which nobody could see;
- of how many heads, and of how many of their regions, the intervals of the expected number and volume that
  ``participant`` wrote hold the truth;
- the Dice coefficient that the probabilities expect of the mask, beside the true one, by dataset and by the
  expected one.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cc3d
import edt
import nibabel as nib
import numpy as np
import pandas as pd
from anatomy_accuracy import load
from nibabel.affines import voxel_sizes
from scipy import ndimage
from sklearn.metrics import cohen_kappa_score
from tqdm.auto import tqdm

from pvs_bidsapp.anatomy.acpc import Frame
from pvs_bidsapp.anatomy.regions import CENTRAL, REGIONS, TOTALS, Region
from pvs_bidsapp.anatomy.structures import FROM_PUTAMEN, Structure, add_internal_capsule
from pvs_bidsapp.clusters.burden import UNITS, expected_dice
from pvs_bidsapp.clusters.shape import measure
from pvs_bidsapp.clusters.tables import row_members
from pvs_bidsapp.clusters.visual_grades import GRADES, estimate_grades
from pvs_bidsapp.commands import calibrate
from pvs_bidsapp.evaluation.metrics import dice
from pvs_bidsapp.outputs.evaluation import find_mask_pairs
from pvs_bidsapp.outputs.result_tables import SUFFIX

#: Totals in which the spaces of each region of the simulation should be found.
EXPECTED = {
    'white-matter': 'deep white matter', 'basal-ganglia': 'basal ganglia',
    'midbrain': 'midbrain', 'hippocampus': 'hippocampus',
}  # fmt: skip
#: Columns of the region statistics with the ends of the intervals.
ENDS = {
    'count': ('expected_count_low', 'expected_count_high'),
    'volume': ('expected_volume_low_mm3', 'expected_volume_high_mm3'),
}  # fmt: skip
#: FreeSurfer codes of the corpus callosum, the third ventricle, ventral diencephalon, the putamen, nuclei.
CALLOSUM, THIRD, VENTRAL, PUTAMEN = (251, 252, 253, 254, 255), (14,), (28, 60), (12, 51)
NUCLEI = {
    Structure.CAUDATE: (11, 50), Structure.LENTIFORM: (*PUTAMEN, 13, 52), Structure.THALAMUS: (10, 49),
}  # fmt: skip
CAPSULES = ('internal capsule', 'external capsule')
BY_INDEX = {region.index: region for region in REGIONS}
TOTAL_OF = {name: total for total, names in TOTALS.items() for name in names}
#: Ends of the groups of heads by the Dice that is expected.
EXPECTED_DICE = (0, 0.4, 0.6, 0.8, 1)


@dataclass(frozen=True)
class Head:
    """A simulated head and what was found in it."""

    table: pd.DataFrame
    truth: np.ndarray
    labels: np.ndarray
    regions: np.ndarray
    found: np.ndarray
    affine: np.ndarray
    stats: dict

    @classmethod
    def read(cls, folder: Path, labels: Path) -> Head:
        """Read the files of one scan from its folders in OUT_DIR and among the labels."""
        (truth,) = labels.glob('*_desc-pvs_dseg.nii.gz')
        (table,) = labels.glob('*_desc-pvs_dseg.tsv')
        (aseg,) = labels.glob('*_seg-aseg_dseg.nii.gz')
        (regions,) = folder.glob('*_seg-regions_dseg.nii.gz')
        (found,) = folder.glob('*_desc-pvs_dseg.nii.gz')
        (stats,) = folder.glob('*_desc-pvs_stats.json')
        images = [nib.as_closest_canonical(nib.load(path)) for path in (truth, aseg, regions, found)]
        data = [np.asarray(image.dataobj).astype(np.int32) for image in images]
        return cls(pd.read_csv(table, sep='\t'), *data, images[0].affine, json.loads(stats.read_text()))

    @property
    def spacing(self) -> tuple[float, ...]:
        """Sides of a voxel in mm."""
        return tuple(map(float, voxel_sizes(self.affine)))

    @property
    def capsules(self) -> np.ndarray:
        """The capsules by the label map; the external one may reach into the insula."""
        structures = np.full(self.labels.shape, Structure.LOBAR, np.uint8)
        for structure, codes in NUCLEI.items():
            structures[np.isin(self.labels, codes)] = structure
        middle = np.argwhere(np.isin(self.labels, THIRD))[:, 0].mean()
        add_internal_capsule(structures, np.arange(len(structures))[:, None, None] < middle)
        internal = structures == Structure.INTERNAL_CAPSULE
        return internal | (edt.edt(~np.isin(self.labels, PUTAMEN), anisotropy=self.spacing) <= FROM_PUTAMEN)

    @property
    def clusters(self) -> np.ndarray:
        """The true mask's clusters, numbered: spaces that touch are one."""
        return cc3d.connected_components(self.truth > 0, connectivity=26).astype(np.int32)

    def grades(self, spaces: np.ndarray) -> dict[str, int]:
        """Grades by numbered spaces."""
        stored = self.stats['AcPcFrame']
        frame = Frame(origin=np.array(stored['Origin']), axes=np.array(stored['Axes']))
        rows = [
            (index, owner.name, owner.hemisphere)
            for index, voxels in pieces(spaces)
            if (owner := self.owner(voxels)) is not None
        ]
        table = pd.DataFrame(rows, columns=['index', 'region', 'hemisphere'])
        found = estimate_grades(spaces, table, self.affine, frame)
        return {key: found[key].value for key in GRADES}

    def owner(self, voxels: tuple[np.ndarray, ...]) -> Region | None:
        """The region of most of the voxels that are in one; None if none is."""
        shares = np.bincount(self.regions[voxels], minlength=2)[1:]
        return BY_INDEX[int(shares.argmax()) + 1] if shares.any() else None


def pieces(numbered: np.ndarray) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """Number and voxels of each numbered piece of a volume."""
    voxels = np.nonzero(numbered)
    numbers = numbered[voxels]
    order = np.argsort(numbers, kind='stable')
    names, starts = np.unique(numbers[order], return_index=True)
    for name, own in zip(names, np.split(order, starts[1:]), strict=True):
        yield int(name), tuple(axis[own] for axis in voxels)


@dataclass
class Measured:
    """What the heads add up to.

    Attributes
    ----------
    places : Counter
        Spaces by the region in which they were drawn, the total in which they lie, and if they are found.
    shapes : list of tuple
        Width drawn in mm; relative errors of length and width.
    grades : list of dict of str to tuple of int
        By scale and region: grade by the found mask, by the true one, and by the spaces drawn.
    """

    places: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    shapes: list[tuple[float, float, float]] = field(default_factory=list)
    grades: list[dict[str, tuple[int, ...]]] = field(default_factory=list)

    def add(self, head: Head) -> None:
        """Add a head."""
        self.places.update(places(head))
        self.shapes += shapes(head)
        true, drawn = head.grades(head.clusters), head.grades(head.truth)
        found = head.stats['EstimatedVisualGrades']
        self.grades.append({key: (found[key]['Value'], true[key], drawn[key]) for key in GRADES})


def main() -> None:
    """Print the tables."""
    given = [Path(argument) for argument in sys.argv[1:]]
    if len(given) < 2 or len(given) % 2:
        sys.exit(__doc__)
    found = [
        (folder / 'anat', data / 'derivatives' / 'labels' / folder.name / 'anat')
        for out, data in zip(given[::2], given[1::2], strict=True)
        for folder in sorted(out.glob('sub-*'))
        if folder.is_dir()
    ]
    measured = Measured()
    for folder, labels in tqdm(found, desc='heads', disable=None):
        measured.add(Head.read(folder, labels))
    print(f'{len(found)} heads\n')
    print_places(measured.places)
    print_shapes(measured.shapes)
    print_grades(measured.grades)
    print_intervals(
        [
            held
            for out, data in zip(given[::2], given[1::2], strict=True)
            for held in intervals(out, data / 'derivatives' / 'labels')
        ]
    )
    agreements = [(folder.parent.parent.name, *agreement(folder, labels)) for folder, labels in found]
    print_agreements(pd.DataFrame(agreements, columns=['heads', 'expected', 'true']))


def agreement(folder: Path, labels: Path) -> tuple[float, float]:
    """Expected and true Dice of a scan's mask, from its folders in OUT_DIR and among the labels."""
    masks = (load(side, 'label-PVS_mask') > 0 for side in (folder, labels))
    return expected_of(folder), dice(*masks)


def expected_of(folder: Path) -> float:
    """Dice coefficient that the probabilities expect of the mask in the folder of a scan."""
    names = ('label-PVS_probseg', 'desc-pvs_dseg', 'seg-regions_dseg')
    return expected_dice(*(load(folder, name) for name in names))


def print_agreements(heads: pd.DataFrame) -> None:
    """Means of both by dataset and by what is expected, and how far they are apart."""
    heads = heads.dropna()
    apart = (heads['expected'] - heads['true']).abs()
    print(f'\n{len(heads)} heads with a cluster: rank correlation of the expected and the true Dice '
          f'{heads["expected"].corr(heads["true"], method="spearman"):.2f}')  # fmt: skip
    print('\n| heads | number | expected Dice | true Dice | mean absolute difference |')
    print('| --- ' * 5 + '|')
    by_expected = pd.cut(heads['expected'], EXPECTED_DICE)
    for names in (heads['heads'], 'expected ' + by_expected.astype(str)):
        for name, part in heads.groupby(names):
            print(f'| {name} | {len(part)} | {part["expected"].mean():.2f} | {part["true"].mean():.2f} | '
                  f'{apart[part.index].mean():.2f} |')  # fmt: skip


def intervals(out: Path, labels: Path) -> Iterator[dict[str, np.ndarray]]:
    """For each scan and quantity, whether the interval holds the truth: the whole brain, then all rows."""
    rows = [calibrate.TOTAL, *(row for row in row_members() if row != calibrate.TOTAL)]
    for files in tqdm(find_mask_pairs(out, labels).pairs, desc='intervals', disable=None):
        truth = calibrate.measure(files).truth
        mask = files.predicted.path
        table = pd.read_csv(mask.with_name(mask.name.replace('_label-PVS_mask.nii.gz', SUFFIX)), sep='\t')
        table = table.set_index(['region', 'hemisphere']).loc[rows]
        if table['expected_count_low'].isna().all():  # the model's card has none
            continue
        yield {  # the table is rounded
            quantity: (table[low] <= truth[quantity] + unit / 1e3).to_numpy()
            & (truth[quantity] - unit / 1e3 <= table[high]).to_numpy()
            for (quantity, unit), (low, high) in zip(UNITS.items(), ENDS.values(), strict=True)
        }


def print_intervals(held: list[dict[str, np.ndarray]]) -> None:
    """How often the intervals hold the truth."""
    if not held:
        return
    print('\n| expected | heads | held | in regions |\n| --- | --- | --- | --- |')
    for quantity in UNITS:
        rows = np.array([head[quantity] for head in held])
        print(f'| {quantity} | {len(rows)} | {rows[:, 0].sum()} | {rows[:, 1:].mean():.2f} |')


def places(head: Head) -> Iterator[tuple[str, str, bool]]:
    """Where each space of two voxels and more was drawn, the total in which it lies, and if it was found."""
    from_third = edt.edt(~np.isin(head.labels, THIRD), anisotropy=head.spacing)
    capsules = head.capsules
    drawn = head.table.set_index('index')['region']
    for index, voxels in pieces(head.truth):
        if len(voxels[0]) < 2:
            continue
        region, is_found = drawn[index], bool((head.found[voxels] > 0).any())
        owner = head.owner(voxels)
        if owner is None:
            yield region, 'in no region', is_found
            continue
        code = np.bincount(head.labels[voxels]).argmax()
        total = TOTAL_OF[owner.name]
        is_central = code in CALLOSUM or from_third[voxels].mean() <= CENTRAL
        if region == 'white-matter' and is_central and total != 'deep white matter':
            total = 'not lobar, as it should be'
        elif region == 'white-matter' and total == 'basal ganglia' and capsules[voxels].mean() >= 0.5:
            # the capsules are parts of the basal ganglia, as the nuclei are
            is_capsule = owner.name in CAPSULES
            total = 'capsule, as it should be' if is_capsule else 'capsule, given to the nucleus beside it'
        if region == 'midbrain' and code in VENTRAL and total != 'midbrain':
            total = 'ventral diencephalon by the label map'
        yield region, total, is_found


def print_places(counts: Counter[tuple[str, str, bool]]) -> None:
    """Where the spaces of each region are, and how many of them are found."""
    print('| drawn in | spaces | lie in | found |\n| --- | --- | --- | --- |')
    for region in EXPECTED:
        own: Counter[str] = Counter()
        n_found = 0
        for (drawn, total, is_found), n in counts.items():
            if drawn == region:
                own[total] += n
                n_found += n * is_found
        whole = own.total()
        shares = ', '.join(f'{total} {n / whole:.3f}' for total, n in own.most_common())
        print(f'| {region} | {whole} | {shares or "-"} | {n_found / whole if whole else float("nan"):.2f} |')


def shapes(head: Head) -> list[tuple[float, float, float]]:
    """Width drawn, and errors of length and width, of the true spaces without branches."""
    drawn = head.table.set_index('index')
    rows = []
    for shape in measure(whole_ones(head.truth), head.affine):
        row = drawn.loc[shape.index]
        if len(shape.voxels) >= 4 and row['n_branches'] == 0:
            errors = shape.length / row['length_mm'] - 1, shape.width / row['width_mm'] - 1
            rows.append((row['width_mm'], *errors))
    return rows


def print_shapes(rows: list[tuple[float, float, float]]) -> None:
    """Length and width of the true masks by those that were drawn."""
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
        if box is None:
            continue
        own = kept[box] == index
        # as numbers: of boolean arrays of one row, cc3d 4.1 expects fewer pieces than there may be
        if cc3d.connected_components(own.view(np.uint8), connectivity=26, return_N=True)[1] > 1:
            kept[box][own] = 0
    return kept


def print_grades(heads: list[dict[str, tuple[int, ...]]]) -> None:
    """Agreement of the grades."""
    print('\n| grade | heads | equal | weighted kappa | by spaces drawn: equal | weighted kappa |')
    print('| --- | --- | --- | --- | --- | --- |')
    for key in GRADES:
        found, *others = np.array([head[key] for head in heads]).T
        cells = [
            f'{(found == true).sum()} | {cohen_kappa_score(found, true, weights="quadratic"):.2f}'
            for true in others
        ]
        print(f'| {key} | {len(heads)} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
