#!/usr/bin/env python3
"""Statistics of simulated PVS, compared with published values.

    python benchmarks/simulation_statistics.py HEADS_DIR [FIGURE.png]

HEADS_DIR is a dataset of `pvs simulate`. Prints two tables (by region; with published values) and, if a file
is given, draws counts, lengths, diameters and volumes by age.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.clusters.visual_grades import estimate_grades
from pvs_bidsapp.simulation import label_maps

REGIONS = ('white-matter', 'basal-ganglia', 'midbrain', 'hippocampus')


def read(heads: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of all PVS, and of all heads with estimated visual grades."""
    people = pd.read_csv(heads / 'participants.tsv', sep='\t').set_index('participant_id')
    pvs, rows = [], []
    for table in sorted(labels_dir(heads).rglob('*_desc-pvs_dseg.tsv')):
        name = table.name.split('_')[0]
        frame = pd.read_csv(table, sep='\t').assign(head=name, age=people.loc[name, 'age'])
        pvs.append(frame)
        labels = nib.load(str(table).replace('desc-pvs_dseg.tsv', 'seg-aseg_dseg.nii.gz'))
        clusters = nib.load(str(table).replace('.tsv', '.nii.gz'))
        grades = estimate_grades(
            np.asarray(clusters.dataobj), regions(np.asarray(labels.dataobj)), labels.affine
        )
        rows.append({'head': name, 'age': people.loc[name, 'age'], **grades})
    return pd.concat(pvs), pd.DataFrame(rows)


def regions(labels: np.ndarray) -> np.ndarray:
    """Region map from FreeSurfer codes: white matter and basal ganglia by hemisphere, brainstem."""
    out = np.zeros(labels.shape, np.uint8)
    for left, right, code in ((2, 41, 1), (11, 50, 21), (12, 51, 21), (13, 52, 21), (26, 58, 21)):
        out[labels == left], out[labels == right] = code, code + (10 if code == 1 else 1)
    out[np.isin(labels, label_maps.BRAINSTEM)] = 31
    return out


def by_region(pvs: pd.DataFrame) -> str:
    """Table by region: medians with the 5th and 95th percentile."""
    lines = [
        '| region | number per head | length (mm) | diameter (mm) | volume of each (mm3) |',
        '| --- ' * 5 + '|',
    ]
    heads = pvs['head'].unique()
    for region in REGIONS:
        chosen = pvs[pvs['region'] == region]
        number = chosen.groupby('head').size().reindex(heads, fill_value=0)
        cells = [spread(v) for v in (number, chosen.length_mm, chosen.width_mm, chosen.volume_mm3)]
        lines.append(f'| {region} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def spread(values: pd.Series) -> str:
    """Median (5th to 95th percentile)."""
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f'{middle:.3g} ({low:.3g}-{high:.3g})'


def against_literature(pvs: pd.DataFrame, heads: pd.DataFrame) -> str:
    """Table of published values (docs/explanation/simulation.md) and those of the simulated heads."""
    old = pvs[pvs.age >= 65]
    of_old = old.groupby('head')
    volume = pvs[pvs.region == 'white-matter'].groupby('head').volume_mm3.sum() / 1000
    grade = {
        age: heads[(heads.age >= low) & (heads.age < high)].potter_basal_ganglia
        for age, low, high in (('up to 49', 0, 50), ('50-69', 50, 70), ('from 70', 70, 200))
    }
    rows = [
        (
            'diameter below 3 mm (Wardlaw 2013, Ballerini 2018)', 'usually',
            f'{(pvs.width_mm < 3).mean():.1%}',
        ),
        (
            'PVS of 3 mm or more, elderly (Zhu 2011)', '33 %',
            f'{(of_old.width_mm.max() >= 3).mean():.0%} of heads from 65 y',
        ),
        (
            'PVS in the hippocampus, elderly (Zhu 2011)', '45 %',
            f'{of_old.region.apply(lambda r: (r == "hippocampus").any()).mean():.0%} of heads from 65 y',
        ),
        ('WM volume, cm3 (Barisano 2021: 0.7 mm, young adults)', '1.3-14.5', spread(volume)),
        *(
            (f'90th percentile, grade of the basal ganglia, {age} y (Kim 2022)', published,
             f'{np.percentile(grade[age], 90):.0f} (n = {len(grade[age])})')
            for age, published in (('up to 49', '1'), ('50-69', '2'), ('from 70', '3'))
        ),
    ]  # fmt: skip
    return '\n'.join(
        [
            '| quantity | published | simulated |',
            '| --- | --- | --- |',
            *(f'| {a} | {b} | {c} |' for a, b, c in rows),
        ]
    )


def draw(pvs: pd.DataFrame, path: Path) -> None:
    """Draw counts, lengths, diameters and volumes by age."""
    import matplotlib as mpl

    mpl.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(17, 4), constrained_layout=True)
    for region in REGIONS[:2]:
        chosen = pvs[pvs['region'] == region]
        heads = chosen.groupby('head').agg(age=('age', 'first'), n=('index', 'size'), v=('volume_mm3', 'sum'))
        axes[0].semilogy(heads.age, heads.n, 'o', label=region)
        axes[1].hist(chosen.length_mm, 40, density=True, histtype='step', label=region)
        axes[2].hist(chosen.width_mm, 40, density=True, histtype='step', label=region)
        axes[3].semilogy(heads.age, heads.v, 'o', label=region)
    names = ('number of PVS', 'length (mm)', 'diameter (mm)', 'volume (mm3)')
    for ax, name, below in zip(axes, names, ('age (years)', '', '', 'age (years)'), strict=True):
        ax.set(title=name, xlabel=below)
    axes[2].axvline(3, color='grey', linestyle=':')
    axes[0].legend()
    figure.savefig(path, dpi=80)


def main(heads: Path, figure: Path | None) -> None:
    """Print the tables and draw the figure."""
    pvs, people = read(heads)
    print(by_region(pvs), against_literature(pvs, people), sep='\n\n')
    if figure:
        draw(pvs, figure)


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
