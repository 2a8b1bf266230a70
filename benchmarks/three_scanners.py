#!/usr/bin/env python3
"""The same simulated people on three scanners, and how well their measures agree.

    python benchmarks/three_scanners.py make LABEL_MAPS BIDS_DIR [--people N] [--snr 50 25]
    pvs BIDS_DIR OUT_DIR participant
    python benchmarks/three_scanners.py read OUT_DIR

`make` draws people, and scans each on scanners with voxels of 0.8, 1 and 1.2 mm, which have contrasts of
tissues and point spreads of their own, at each signal-to-noise ratio: a session a scan. `read` prints for
each signal-to-noise ratio, and for all scans together, ICC(2,1) of volume and number (Shrout & Fleiss 1979),
of all clusters and of those of 5 mm3 and more, and by how much the scanners' means differ at most. ICC should
be 0.9 or more, and means should differ by 15 % at most.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from pvs_bidsapp.bids.dataset import describe_raw
from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.evaluation.agreement import intraclass_correlation
from pvs_bidsapp.outputs.simulated_scans import write_simulated_scan
from pvs_bidsapp.simulation import head
from pvs_bidsapp.simulation.label_maps import load_label_map
from pvs_bidsapp.simulation.scanner import SUITES, draw_scanner
from pvs_bidsapp.simulation.subjects import Subject, plan

#: Voxel sizes of the scanners in mm; people are drawn on the finest grid.
VOXELS = (0.8, 1.0, 1.2)
SEED, SUITE = 2025, 'mixed'
#: Columns of the region statistics, with what they are.
MEASURES = {
    'volume_5mm3': 'volume, clusters from 5 mm³',
    'count_5mm3': 'number, clusters from 5 mm³',
    'volume_mm3': 'volume, all clusters',
    'count': 'number, all clusters',
}


def make(label_maps: Path, bids_dir: Path, people: int, ratios: list[float]) -> None:
    """Write a dataset with a session for each scanner and signal-to-noise ratio."""
    describe_raw(
        bids_dir, 'The same simulated people on three scanners', 'Made by benchmarks/three_scanners.py.\n'
    )
    for subject in plan(people, sorted(label_maps.glob('*.nii.gz')), SEED):
        scan_person(subject, bids_dir, ratios)
        print(f'sub-{subject.label}', flush=True)


def scan_person(subject: Subject, bids_dir: Path, ratios: list[float]) -> None:
    """Draw one person, and write all scans."""
    difficulty = replace(SUITES[SUITE], motion=0.0, cut=0.0)
    source = load_label_map(subject.anatomy)
    person = head.draw_person(source, subject.rng(1), difficulty, spacing=VOXELS[0], age=subject.age)
    visibility = float(subject.rng(5).uniform(*difficulty.pvs_contrast))
    for number, voxel in enumerate(VOXELS):
        scanner = draw_scanner(difficulty, np.random.default_rng([SEED, 0, number]), spacing=voxel)
        # how much fluid a space holds is a matter of the person
        contrasts = {name: replace(getattr(scanner, name), pvs=visibility) for name in ('t1w', 't2w')}
        scanner = replace(scanner, **contrasts)
        placed = head.on_grid(person, voxel)
        for k, ratio in enumerate(ratios):
            noisy = replace(scanner, snr=ratio)
            scan = head.scan(placed, noisy, difficulty, subject.rng(2, number, k))
            names = Naming(bids_dir, (('sub', subject.label), ('ses', session(voxel, ratio))))
            write_simulated_scan(names, subject, noisy, scan)


def session(voxel: float, ratio: float) -> str:
    """Label of a session, such as ``08x50``: voxels of 0.8 mm, and a signal-to-noise ratio of 50."""
    return f'{10 * voxel:02.0f}x{ratio:.0f}'


def read(out_dir: Path) -> pd.DataFrame:
    """Measures of all scans: ``person voxel ratio`` and those of `MEASURES`."""
    rows = []
    for path in sorted(out_dir.glob('sub-*/ses-*/anat/*_desc-pvs_stats.tsv')):
        table = pd.read_csv(path, sep='\t').set_index(['region', 'hemisphere'])
        voxel, ratio = path.parts[-3].removeprefix('ses-').split('x')
        values = {name: float(table.loc[('all', 'both'), name]) for name in MEASURES}
        rows.append({'person': path.parts[-4], 'voxel': voxel, 'ratio': int(ratio)} | values)
    return pd.DataFrame(rows)


def print_agreement(scans: pd.DataFrame) -> None:
    """Print the table."""
    print(
        '| SNR | measure | people | scans of each | ICC(2,1), 95 % interval | means differ by at most (%) |'
    )
    print('| --- ' * 6 + '|')
    groups = [(f'{ratio}', part) for ratio, part in scans.groupby('ratio')]
    for name, part in [*groups, ('all', scans)]:
        for measure, words in MEASURES.items():
            values = part.pivot_table(index='person', columns=['voxel', 'ratio'], values=measure).dropna()
            icc, low, high = intraclass_correlation(values.to_numpy())
            worst = 100 * largest_difference(values.to_numpy())
            print(f'| {name} | {words} | {len(values)} | {values.shape[1]} | '
                  f'{icc:.3f} ({low:.3f} to {high:.3f}) | {worst:.0f} |')  # fmt: skip


def largest_difference(values: np.ndarray) -> float:
    """Largest difference of two columns' means, over the mean of both."""
    pairs = combinations(values.mean(0), 2)
    return max(abs(first - second) / ((first + second) / 2) for first, second in pairs)


def main() -> None:
    """Make the scans, or read the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest='step', required=True)
    making = steps.add_parser('make')
    making.add_argument('label_maps', type=Path)
    making.add_argument('bids_dir', type=Path)
    making.add_argument('--people', type=int, default=8)
    making.add_argument('--snr', type=float, nargs='+', default=[50.0, 25.0])
    steps.add_parser('read').add_argument('out_dir', type=Path)
    args = parser.parse_args()
    if args.step == 'make':
        make(args.label_maps, args.bids_dir, args.people, args.snr)
    else:
        print_agreement(read(args.out_dir))


if __name__ == '__main__':
    main()
