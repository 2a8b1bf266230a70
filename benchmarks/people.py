#!/usr/bin/env python3
"""What the program finds in people: a cohort from its scans to a page of the documentation.

    python benchmarks/people.py COHORT WORK_DIR [--page docs/explanation/people.md] [--repeated 12]
        [--lent sub-01 sub-07 ...]

COHORT is a BIDS dataset with the columns age, sex and group in its participants.tsv. It is processed by
``participant`` and ``group``; what is done already in WORK_DIR is not done again, so that the command may be
stopped and run once more. Some people (--repeated) are processed four times more, each time with the scan
changed by something that does not change the person: noise as strong as its own, a shift by half a voxel,
voxels of 1 mm, a turn by 5 degrees. --lent names people whose scans the model has learnt from. The page gets
what is measured, and figures beside it; the tables that it rests on are written to benchmarks/people. What
somebody saw on the pages of people is read from benchmarks/people_looked_at.tsv.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import edt
import matplotlib as mpl
import nibabel as nib
import numpy as np
import pandas as pd
from measures import expected_of
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.processing import resample_from_to, resample_to_output
from nilearn import plotting
from scipy import stats
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation
from watching import run

from pvs_bidsapp.anatomy import template
from pvs_bidsapp.anatomy.noise import noise_level
from pvs_bidsapp.anatomy.regions import indices_of
from pvs_bidsapp.anatomy.registration import Transform, apply
from pvs_bidsapp.anatomy.resampling import Grid
from pvs_bidsapp.anatomy.tissues import GM, WM
from pvs_bidsapp.evaluation.agreement import Agreement, agreement
from pvs_bidsapp.group.standard import COLUMNS as STANDARD
from pvs_bidsapp.outputs.cohort import read_cohort

mpl.use('Agg')
import matplotlib.pyplot as plt

LOOKED_AT = Path(__file__).with_name('people_looked_at.tsv')
#: Folder of the tables that the page rests on.
TABLES = Path(__file__).with_name('people')
#: FreeSurfer codes of the lateral ventricles.
VENTRICLES = (4, 43)
#: Edges of the bins of the distance from ventricles and cortex, in mm.
DISTANCES = np.arange(0, 33, 3)
#: Regions whose sides are compared.
SIDES = ('deep white matter', 'basal ganglia', 'caudate', 'lentiform nucleus', 'thalamus')
#: Totals that are compared with age and between the groups.
TOTALS = ('deep white matter', 'basal ganglia')
#: Last year of the younger of two age bands: published slopes change in the mid-thirties.
YOUNGER = 35
#: Smallest cluster (mm3) whose direction counts: those of one or two voxels have none of their own.
DIRECTED = 5.0
#: ICC of volume and of number that repeated scans should have.
ASKED = (0.95, 0.9)
#: Measures of repeated scans that are compared, as they are and at the reference quality.
REPEATED = ('volume_mm3', 'count', 'count_5mm3')
SAMPLES, SEED = 2000, 1


# ---- running the program


def participant(bids: Path, out: Path, nprocs: int) -> None:
    """Process the T1w scans of a dataset, those that are done aside."""
    options = ('--modality', 'T1w', '--device', 'cpu', '--nprocs', nprocs, '--output-spaces', template.SPACE)
    run(bids, out, 'participant', *options)


def in_brain(image: nib.Nifti1Image, change: Callable[[nib.Nifti1Image], nib.Nifti1Image]) -> nib.Nifti1Image:
    """A skull-stripped scan changed in the brain; its background stays 0."""
    moved = change(image)
    mask = change(nib.Nifti1Image((np.asarray(image.dataobj) > 0).astype(np.float32), image.affine))
    data = np.where(mask.get_fdata() > 0.5, np.maximum(moved.get_fdata(), 1), 0)
    return nib.Nifti1Image(data.astype(np.float32), moved.affine)


def with_noise(image: nib.Nifti1Image, rng: np.random.Generator) -> nib.Nifti1Image:
    """As much noise again as the scan has in its brightest half, which is mostly white matter."""
    data = np.asarray(image.dataobj, np.float32)
    inside = data > 0
    sigma = noise_level(data, inside & (data > np.median(data[inside])))
    noisy = np.where(inside, np.maximum(data + rng.normal(0, sigma, data.shape), 1), 0)
    return nib.Nifti1Image(noisy.astype(np.float32), image.affine)


def shifted(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """On a grid that lies half a voxel further along each axis."""
    affine = image.affine.copy()
    affine[:3, 3] += image.affine[:3, :3] @ (0.5, 0.5, 0.5)
    return in_brain(image, lambda i: resample_from_to(i, (image.shape, affine), order=3))


def coarser(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """In voxels of 1 mm."""
    return in_brain(image, lambda i: resample_to_output(i, (1.0, 1.0, 1.0), order=3))


def turned(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """The head turned by 5 degrees about an oblique axis through its centre."""
    turn, centre = np.eye(4), apply_affine(image.affine, (np.array(image.shape) - 1) / 2)
    turn[:3, :3] = Rotation.from_rotvec(np.radians(5) * np.ones(3) / np.sqrt(3)).as_matrix()
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    return in_brain(
        image,
        lambda i: resample_from_to(nib.Nifti1Image(np.asarray(i.dataobj, np.float32), turn @ i.affine),
                                   (image.shape, image.affine), order=3),
    )  # fmt: skip


CHANGES = ('noise', 'shift', 'voxels', 'turn')


def changed_dataset(cohort: Path, folder: Path, change: str, people: Iterable[str]) -> Path:
    """A dataset with the scans of some people, changed; scans that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'dataset_description.json').write_text('{"Name": "changed scans", "BIDSVersion": "1.9.0"}\n')
    for number, name in enumerate(people):
        (source,) = (cohort / name).rglob('*_T1w.nii.gz')
        target = folder / name / 'anat' / f'{name}_T1w.nii.gz'
        if target.exists():
            continue
        image = nib.load(source)
        made = {
            'noise': lambda i: with_noise(i, np.random.default_rng([SEED, number])),  # noqa: B023
            'shift': shifted, 'voxels': coarser, 'turn': turned,
        }[change](image)  # fmt: skip
        target.parent.mkdir(parents=True, exist_ok=True)
        nib.save(made, target)
    return folder


# ---- reading results


@dataclass(frozen=True)
class Study:
    """Tables of the cohort: one row per scan, per scan and region, and per cluster."""

    scans: pd.DataFrame
    regions: pd.DataFrame
    clusters: pd.DataFrame

    @classmethod
    def read(cls, out: Path, cohort: Path | None = None) -> Study:
        """Read all finished scans of an output folder, as `group` reads them."""
        read = read_cohort(cohort, out, ())
        clusters = [
            pd.read_csv(path, sep='\t').assign(participant_id=path.name.split('_')[0])
            for path in sorted(out.rglob('*_desc-pvs_dseg.tsv'))
        ]
        return cls(read.scans.set_index('participant_id'), read.tidy, pd.concat(clusters, ignore_index=True))

    def of(self, region: str, hemisphere: str, column: str) -> pd.Series:
        """A column of a region by person."""
        rows = self.regions[(self.regions['region'] == region) & (self.regions['hemisphere'] == hemisphere)]
        return rows.set_index('participant_id')[column]


@dataclass(frozen=True)
class Place:
    """Where the clusters of a scan lie with respect to the ventricles and the cortex.

    Attributes
    ----------
    along : ndarray
        Cosine of the angle between a cluster and the way to the nearest ventricle.
    by_chance : ndarray
        The same with the directions of the person's other clusters.
    clusters, volumes : dict of str to ndarray
        Clusters, and ml of deep white matter, by distance from ``ventricles`` and ``cortex``.
    """

    along: np.ndarray
    by_chance: np.ndarray
    clusters: dict[str, np.ndarray]
    volumes: dict[str, np.ndarray]


def place_clusters(folder: Path, table: pd.DataFrame, rng: np.random.Generator) -> Place:
    """Directions and distances of the clusters in deep white matter of one scan."""
    (tissue,) = folder.glob('*_seg-tissue_dseg.nii.gz')
    image = nib.load(tissue)
    tissues = np.asarray(image.dataobj)
    (regions,) = folder.glob('*_seg-regions_dseg.nii.gz')
    deep = np.isin(np.asarray(nib.load(regions).dataobj), indices_of('deep white matter', 'both'))
    structures = structures_in(folder, Grid(tissues.shape, image.affine))
    ventricles = np.isin(structures, [c for f in VENTRICLES for c in template.FREESURFER_CODES[f]]) & (
        tissues == 1
    )
    lobes = [c + side for codes in template.LOBES.values() for c in codes for side in (0, 51)]
    cortex = np.isin(structures, lobes) & (tissues == GM)
    sides = tuple(map(float, voxel_sizes(image.affine)))
    own = table[table['region'].str.startswith('deep white matter')]
    has_direction = (own['volume_mm3'] >= DIRECTED).to_numpy()
    centres = own[['x_mm', 'y_mm', 'z_mm']].to_numpy()
    directions = own[['direction_x', 'direction_y', 'direction_z']].to_numpy()
    border = KDTree(apply_affine(image.affine, np.argwhere(ventricles)))
    ways = border.data[border.query(centres)[1]] - centres
    ways /= np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-9)
    ways, directions = ways[has_direction], directions[has_direction]
    other = directions[rng.permutation(len(directions))]
    volume = float(np.prod(sides)) / 1000
    return Place(
        along=np.abs((ways * directions).sum(1)),
        by_chance=np.abs((ways * other).sum(1)),
        clusters={
            key: np.histogram(own[f'{key}_distance_mm'], DISTANCES)[0] for key in ('ventricle', 'cortex')
        },
        volumes={
            key: np.histogram(edt.edt(~mask, anisotropy=sides)[deep & (tissues == WM)], DISTANCES)[0] * volume
            for key, mask in (('ventricle', ventricles), ('cortex', cortex))
        },
    )


def structures_in(folder: Path, grid: Grid) -> np.ndarray:
    """CerebrA labels of the template on a scan's grid, by the transform that the program wrote."""
    (file,) = folder.glob(f'*_from-{template.SPACE}_to-T1w_mode-image_xfm.h5')
    atlas = template.load()
    to_scan = Transform((file,), (False,))
    return apply(atlas.cerebra, atlas.affine, grid, to_scan, interpolation='nearestNeighbor').astype(int)


# ---- statistics


def bootstrap(statistic: Callable[..., float], *columns: np.ndarray) -> tuple[float, float, float]:
    """A statistic of people with its 95 % percentile interval; columns are resampled together."""
    rng, n = np.random.default_rng(SEED), len(columns[0])
    drawn = (rng.integers(n, size=n) for _ in range(SAMPLES))
    values = [statistic(*(c[k] for c in columns)) for k in drawn]
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return statistic(*columns), float(low), float(high)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's."""
    return float(stats.spearmanr(x, y).statistic)


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Of the robust line of Theil and Sen."""
    return float(stats.theilslopes(y, x).slope)


def interval(values: tuple[float, float, float], decimals: int = 2) -> str:
    """A value and its interval as text."""
    return '{:.{d}f} [{:.{d}f}, {:.{d}f}]'.format(*values, d=decimals)


# ---- the page


def age_rows(study: Study) -> list[str]:
    """Volume and number against age, by region."""
    rows = ['| region | measure | rank correlation with age | slope per year |', '| --- | --- | --- | --- |']
    age = study.scans['age'].to_numpy(float)
    for region in TOTALS:
        for column, unit in (('volume_mm3', 'mm³'), ('count', ''), ('count_5mm3', '')):
            values = study.of(region, 'both', column).reindex(study.scans.index).to_numpy(float)
            correlation = bootstrap(rank_correlation, age, values)
            per_year = bootstrap(slope, age, values)
            rows.append(f'| {region} | {column} | {interval(correlation)} | {interval(per_year, 1)} {unit} |')
    return rows


def band_rows(study: Study) -> list[str]:
    """Volume against age in the younger and the older half of the range."""
    rows = [
        '| region | years | people | rank correlation with age | slope, mm³ per year |',
        '| --- ' * 5 + '|',
    ]
    ages = study.scans['age'].to_numpy(float)
    for region in TOTALS:
        values = study.of(region, 'both', 'volume_mm3').reindex(study.scans.index).to_numpy(float)
        for name, band in ((f'to {YOUNGER}', ages <= YOUNGER), (f'from {YOUNGER + 1}', ages > YOUNGER)):
            pair = ages[band], values[band]
            rows.append(
                f'| {region} | {name} | {band.sum()} | {interval(bootstrap(rank_correlation, *pair))} '
                f'| {interval(bootstrap(slope, *pair), 1)} |'
            )
    return rows


def group_rows(out: Path) -> list[str]:
    """What `group` says of the totals: the slope of age, and the difference of the groups."""
    rows = ['| region | measure | test | effect | p | q |', '| --- ' * 6 + '|']
    slopes, effects = (
        pd.read_csv(out / f'group_{name}.tsv', sep='\t', na_values='n/a')
        for name in ('regression', 'effects')
    )

    def of(table: pd.DataFrame, region: str, **wanted: str) -> Iterable:
        kept = (table['region'] == region) & (table['hemisphere'] == 'both')
        for column, value in wanted.items():
            kept &= table[column] == value
        return table[kept].itertuples()

    for region in TOTALS:
        for row in of(slopes, region, term='age', outcome='volume_mm3'):
            change = [100 * np.expm1(10 * value) for value in (row.estimate, row.ci_low, row.ci_high)]
            rows.append(
                f'| {region} | volume | ten years more, with sex and ICV held | {interval(change, 0)} % '
                f'| {row.p:.3f} | {row.q:.2f} |'
            )
        for adjusted in ('nothing', 'age + sex + ICV'):
            for row in of(effects, region, outcome='volume_mm3', adjusted_for=adjusted):
                held = '' if adjusted == 'nothing' else f', with {adjusted} held'
                people = f'{row.cohort_2} less {row.cohort_1}, {row.n_2} and {row.n_1} people'
                rows.append(
                    f'| {region} | volume | {people} matched by age and sex{held} '
                    f'| g {interval((row.g, row.ci_low, row.ci_high))} | {row.p:.3f} | {row.q:.2f} |'
                )
    return rows


def side_rows(study: Study) -> list[str]:
    """Left against right."""
    rows = ['| region | ICC of number | ICC of volume | right less left, mm³ |', '| --- | --- | --- | --- |']
    for region in SIDES:
        pairs = {
            c: [study.of(region, s, c).to_numpy(float) for s in ('left', 'right')]
            for c in ('count', 'volume_mm3')
        }
        count, volume = agreement(*pairs['count']), agreement(*pairs['volume_mm3'])
        rows.append(
            f'| {region} | {interval((count.icc, count.icc_low, count.icc_high))} '
            f'| {interval((volume.icc, volume.icc_low, volume.icc_high))} '
            f'| {volume.bias:.0f} ({volume.limit_low:.0f} to {volume.limit_high:.0f}) |'
        )
    return rows


def repeat_rows(study: Study, repeats: dict[str, Study]) -> list[str]:
    """Each person against the same person with the scan changed."""
    rows = [
        (
            '| change | people | ICC of volume | ICC of number | ICC of number, 5 mm³ up | '
            'ICC of volume, standardised | of number, standardised | of number, 5 mm³ up, standardised | '
            'change of volume, % (quartiles) | volume: mean difference, mm³ (limits of agreement) |'
        ),
        '| --- ' * 10 + '|',
    ]
    for change, other in repeats.items():
        both = study.scans.index.intersection(other.scans.index)
        cells = []
        for column in (*REPEATED, *(STANDARD[column] for column in REPEATED)):
            found = repeated(study, other, column)
            cells.append(interval((found.icc, found.icc_low, found.icc_high)))
        one, two = (s.scans.loc[both, 'volume_mm3'].to_numpy(float) for s in (study, other))
        percent, difference = 100 * (two / one - 1), repeated(study, other, 'volume_mm3')
        rows.append(
            f'| {change} | {len(both)} | {" | ".join(cells)} | {np.median(percent):+.0f} '
            f'({np.percentile(percent, 25):+.0f} to {np.percentile(percent, 75):+.0f}) '
            f'| {difference.bias:+.0f} ({difference.limit_low:+.0f} to {difference.limit_high:+.0f}) |'
        )
    return rows


def again(study: Study, repeats: dict[str, Study]) -> str:
    """The part of the page on repeated scans; it says which changes reach `ASKED`, and which do not."""
    plain = reached(study, repeats, list(REPEATED[:2]))
    standard = reached(study, repeats, [STANDARD[column] for column in REPEATED[:2]])
    rows = '\n'.join(repeat_rows(study, repeats))
    return AGAIN.format(repeats=rows, asked=ASKED, plain=plain, standard=standard)


def reached(study: Study, repeats: dict[str, Study], columns: list[str]) -> str:
    """Which changes reach `ASKED` in columns of volume and number, in words."""
    misses = {
        change
        for change, other in repeats.items()
        for column, least in zip(columns, ASKED, strict=True)
        if repeated(study, other, column).icc < least
    }
    named = {
        'reached by': [change for change in repeats if change not in misses],
        '**missed** by': [change for change in repeats if change in misses],
    }
    return '; '.join(f'{verb} {", ".join(changes)}' for verb, changes in named.items() if changes)


def repeated(study: Study, other: Study, column: str) -> Agreement:
    """Agreement of a column of people and of the same people with the scan changed."""
    both = study.scans.index.intersection(other.scans.index)
    return agreement(*(s.scans.loc[both, column].to_numpy(float) for s in (study, other)))


def outlier_rows(study: Study) -> list[str]:
    """The five people farthest from the line of volume against age."""
    age, volume = study.scans['age'].to_numpy(float), np.log(study.scans['volume_mm3'].to_numpy(float) + 1)
    line = stats.theilslopes(volume, age)
    residual = pd.Series(volume - line.intercept - line.slope * age, study.scans.index)
    worst = residual.abs().sort_values(ascending=False).index[:5]
    rows = [
        '| person | age | number | volume, mm³ | times that expected at the age |',
        '| --- ' * 5 + '|',
    ]
    for name in worst:
        scan = study.scans.loc[name]
        rows.append(
            f'| {name} | {scan["age"]:.0f} | {scan["count"]:.0f} | {scan["volume_mm3"]:.0f} '
            f'| {np.exp(residual[name]):.1f} |'
        )
    return rows


def looked_at_rows(looked_at: pd.DataFrame) -> list[str]:
    """Everybody whose clusters were looked at."""
    rows = ['| person | numbers | space / unclear / wrong | remarks |', '| --- ' * 4 + '|']
    return rows + [
        f'| {r.participant_id} | {r.numbers} | {r.spaces} / {r.unclear} / {r.wrong} | {r.remarks} |'
        for r in looked_at.itertuples()
    ]


def directions(places: list[Place]) -> str:
    """Whether spaces run toward the ventricles, in a sentence; people without such a space are left out."""
    places = [p for p in places if p.along.size]
    own = np.array([np.degrees(np.arccos(np.median(p.along))) for p in places])
    chance = np.array([np.degrees(np.arccos(np.median(p.by_chance))) for p in places])
    median, difference = (
        bootstrap(lambda x: float(np.median(x)), own),
        bootstrap(lambda a, b: float(np.median(a - b)), own, chance),
    )
    return (
        f'The median angle between a space of deep white matter of {DIRECTED:g} mm³ and more, and the way to '
        f'the nearest ventricle, is {interval(median, 0)} degrees; 60 is that of chance, and '
        f'{np.median(chance):.0f} with the directions of the same person exchanged '
        f'(difference {interval(difference, 0)}).'
    )


def draw(study: Study, places: list[Place], folder: Path) -> None:
    """Figures: burden by age, sizes, density by distance."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout='constrained')
    for region, marker in (('deep white matter', 'o'), ('basal ganglia', '^')):
        volume = study.of(region, 'both', 'volume_mm3').reindex(study.scans.index)
        axes[0].scatter(study.scans['age'], volume, s=18, marker=marker, label=region)
    axes[0].set(xlabel='age in years', ylabel='volume in mm³', ylim=(0, None))
    axes[0].legend()
    bins = np.geomspace(0.5, 256, 10)  # each twice as wide: volumes are whole numbers of voxels
    axes[1].hist(study.clusters['volume_mm3'], bins, color='tab:gray')
    axes[1].set(xscale='log', xlabel='volume of a cluster in mm³', ylabel='clusters')
    for key, colour in (('ventricle', 'tab:blue'), ('cortex', 'tab:orange')):
        clusters, volumes = (sum(getattr(p, name)[key] for p in places) for name in ('clusters', 'volumes'))
        with np.errstate(invalid='ignore', divide='ignore'):
            density = np.where(volumes > 1, clusters / volumes, np.nan)
        axes[2].step(DISTANCES[:-1], density, where='post', color=colour, label=f'from the {key}')
    axes[2].set(xlabel='distance in mm', ylabel='clusters per ml of deep white matter')
    axes[2].legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / 'people.webp', dpi=110)
    plt.close(figure)


def draw_frequency(out: Path, folder: Path) -> None:
    """Where spaces are found how often: the group's map of everybody, on the template."""
    (path,) = out.glob('group_cohort-all_*_desc-pvs_frequency.nii.gz')
    atlas = template.load()
    figure, axis = plt.subplots(figsize=(12, 2.6))
    plotting.plot_stat_map(
        path, bg_img=nib.Nifti1Image(atlas.head('T1w'), atlas.affine), axes=axis,
        display_mode='z', cut_coords=(-24, -16, -8, 0, 20, 30, 40), threshold=0.02, cmap='inferno',
        symmetric_cbar=False, black_bg=False, draw_cross=False,
    )  # fmt: skip
    figure.savefig(folder / 'people-frequency.webp', dpi=110)
    plt.close(figure)


AGAIN = """\
## The same person twice

The scans of some people were changed by what does not change the person: noise as strong as their own
(noise), a grid that lies half a voxel further (shift), voxels of 1 mm (voxels), a head turned by 5 degrees
(turn).

{repeats}

An ICC of {asked[0]} for volumes and {asked[1]} for numbers would be good. This is {plain}.
Noise and coarser voxels hide faint and thin spaces. Standardised volumes and numbers, which
[`group`](../how-to/group.md#scans-of-different-quality) computes, allow for it: by these it is
{standard}. How they follow noise and voxels was measured on simulated people,
not on the scans of this page.

"""

PAGE = """\
# What it finds in people

{done} of {asked} people of OpenNeuro ds002748 were processed by `participant` with {model}:
T1w of 0.87 × 0.87 × 1 mm, skull-stripped by their authors,
aged {youngest:.0f} to {oldest:.0f}.
{lent}Nobody has traced their spaces. This page shows whether what is found behaves as
perivascular spaces do, not that each of it is one.
Intervals are of 95 %: those of correlations, slopes and angles by resampling people, those of ICCs by McGraw
and Wong. An interval that includes no effect is no evidence of one; where all regions are tested, judge by q.

![Volume by age, volumes of clusters, density by distance from ventricles and cortex](../images/people.webp)

A person has {count[50%]:.0f} clusters (median; {count[min]:.0f} to {count[max]:.0f}) with {volume[50%]:.0f}
mm³ ({volume[min]:.0f} to {volume[max]:.0f}). Median and quartiles of a cluster: {measures}.
A voxel has 0.75 mm³: a quarter of the clusters or more are single voxels, whose width and length say little.
By the network's probabilities, a mask should agree with the spaces that are there by a Dice of
{expected[50%]:.2f} (median; {expected[min]:.2f} to {expected[max]:.2f}). Such a value
[tends to be too high](accuracy.md#expected-agreement).

![Share of people with a space, on sections of the template](../images/people-frequency.webp)

The share of the people who have a space in a place, in the template's space; `group` smooths it by 4 mm.

## Age

{age}

In 1,789 people of the Human Connectome Projects (Kim 2022), the volume changes its course in the
mid-thirties and at 55: it falls by 1.2, then rises by 3.3 and 3.9 a year in the basal ganglia; in white
matter it falls by 7.8, then rises by 54.1 and 42.8. Methods differ in what they mark: only signs can be
compared. In bands of age:

{bands}

In white matter to the mid-thirties, where they report a fall, the slope
is {young:+.1f} here. Why is not known.

With sex and intracranial volume held, and between the groups, by `group` (q is p corrected over all regions):

{group}

## Left and right, basal ganglia and white matter

{sides}

Rank correlation of the volumes in the basal ganglia and in deep white matter: {together}.

## Direction

{directions}

{again}## Outliers

The people farthest from the line of volume against age.

{outliers}

## Looked at

One of the developers looked at clusters, in three sections each; they are numbered by falling volume.
**This is not an expert rating.**

{looked_at}

```bash
python benchmarks/people.py COHORT WORK_DIR{option} --page docs/explanation/people.md
```
"""


def page(
    study: Study, places: list[Place], repeats: dict[str, Study], *, out: Path, asked: int, lent: list[str]
) -> str:
    """The page, in Markdown."""
    order = study.scans.index
    parts = ('basal ganglia', 'deep white matter')
    volumes = [study.of(part, 'both', 'volume_mm3').reindex(order).to_numpy(float) for part in parts]
    ages = study.scans['age']
    return PAGE.format(
        done=len(study.scans),
        asked=asked,
        model=model_of(out),
        lent=lenders(lent),
        option=f' --lent {" ".join(lent)}' if lent else '',
        youngest=ages.min(),
        oldest=ages.max(),
        count=study.scans['count'].describe(),
        volume=study.scans['volume_mm3'].describe(),
        expected=pd.Series([expected_of(out / name / 'anat') for name in order]).describe(),
        measures=', '.join(quartiles(study.clusters, name) for name in ('volume', 'width', 'length')),
        age='\n'.join(age_rows(study)),
        bands='\n'.join(band_rows(study)),
        young=slope(ages[ages <= YOUNGER], volumes[1][ages <= YOUNGER]),
        group='\n'.join(group_rows(out)),
        sides='\n'.join(side_rows(study)),
        together=interval(bootstrap(rank_correlation, *volumes)),
        directions=directions(places),
        again=again(study, repeats) if repeats else '',
        outliers='\n'.join(outlier_rows(study)),
        looked_at='\n'.join(looked_at_rows(pd.read_csv(LOOKED_AT, sep='\t'))),
    )


def write_tables(study: Study, repeats: dict[str, Study], folder: Path) -> None:
    """Write what the page rests on: scans, totals of regions, and the repeated scans."""
    folder.mkdir(exist_ok=True)
    measures = ['count', 'volume_mm3', 'count_5mm3', 'volume_5mm3']
    again = [other.scans.assign(change=change) for change, other in repeats.items()]
    totals = study.regions[study.regions['region'].isin(('all', *SIDES))]
    tables = {
        'scans': study.scans.reset_index()[['participant_id', 'age', 'sex', 'group', *measures]],
        'regions': totals[['participant_id', 'region', 'hemisphere', *measures]],
        'repeats': pd.concat(again).reset_index()[['participant_id', 'change', *measures]] if again else None,
    }
    for name, table in tables.items():
        if table is not None:
            table.to_csv(folder / f'{name}.tsv', sep='\t', index=False, float_format='%.5g', na_rep='n/a')


def lenders(people: list[str]) -> str:
    """What the page says of the people whose scans the model has learnt from."""
    if not people:
        return ''
    return (
        f'{len(people)} of them ({", ".join(people)}) lent backgrounds to the training; what may be\n'
        'their own spaces was left out of its loss. '
    )


def model_of(out: Path) -> str:
    """Name and version of the model that made the masks of an output folder, and its threshold."""
    masks = [
        json.loads(path.read_text(encoding='utf-8')) for path in out.glob('sub-*/anat/*_label-PVS_mask.json')
    ]
    (model,) = {(m['ModelName'], m['ModelVersion'], m['Threshold']) for m in masks if 'ModelName' in m}
    return '{} {}, threshold {}'.format(*model)


def quartiles(clusters: pd.DataFrame, measure: str) -> str:
    """Median and quartiles of a measure of the clusters."""
    unit = 'mm3' if measure == 'volume' else 'mm'
    low, median, high = clusters[f'{measure}_{unit}'].quantile([0.25, 0.5, 0.75])
    return f'{measure} {median:.1f} {unit.replace("3", "³")} ({low:.1f} to {high:.1f})'


def main() -> None:
    """Process the cohort, and write the page."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('cohort', type=Path)
    p.add_argument('work_dir', type=Path)
    p.add_argument('--page', type=Path, help='where the page is written; printed without it')
    p.add_argument('--repeated', type=int, default=12, help='people whose scans are changed (default 12)')
    p.add_argument(
        '--lent', nargs='*', default=[], metavar='SUB', help='people whose scans the model has learnt from'
    )
    p.add_argument('--nprocs', type=int, default=2)
    args = p.parse_args()
    out = args.work_dir / 'out'
    participant(args.cohort, out, args.nprocs)
    run(
        args.cohort,
        out,
        'group',
        '--cohort',
        'group',
        '--match',
        'age',
        'sex',
        '--covariates',
        'age',
        'sex',
        'ICV',
    )
    study = Study.read(out, args.cohort)
    people = list(study.scans.index[:: max(1, len(study.scans) // max(args.repeated, 1))])[: args.repeated]
    repeats = {}
    for change in CHANGES if people else ():
        changed = changed_dataset(args.cohort, args.work_dir / f'scans-{change}', change, people)
        participant(changed, args.work_dir / f'out-{change}', args.nprocs)
        repeats[change] = Study.read(args.work_dir / f'out-{change}')
    rng = np.random.default_rng(SEED)
    places = [
        place_clusters(out / name / 'anat', study.clusters[study.clusters['participant_id'] == name], rng)
        for name in study.scans.index
    ]
    asked = len(list(args.cohort.glob('sub-*')))
    write_tables(study, repeats, TABLES)
    text = page(study, places, repeats, out=out, asked=asked, lent=args.lent)
    if args.page is None:
        print(text)
        return
    args.page.write_text(text, encoding='utf-8')
    images = args.page.parents[1] / 'images'
    draw(study, places, images)
    draw_frequency(out, images)


if __name__ == '__main__':
    main()
