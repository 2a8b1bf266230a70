#!/usr/bin/env python3
"""The same simulated people on several scanners, and how well their measures agree.

    python benchmarks/three_scanners.py make LABEL_MAPS BIDS_DIR [--people N] [--snr 50 25] [--suite mixed]
    pvs BIDS_DIR OUT_DIR participant
    python benchmarks/three_scanners.py read OUT_DIR
    pvs evaluate OUT_DIR BIDS_DIR/derivatives/labels EVALUATION_DIR
    python benchmarks/three_scanners.py judge EVALUATION_DIR

    python benchmarks/three_scanners.py make LABEL_MAPS BIDS_DIR --random 5 [--people N] [--suite mixed]
    pvs BIDS_DIR OUT_DIR participant
    python benchmarks/three_scanners.py fit OUT_DIR [OUT_DIR ...] [--model MODEL_DIR]

`make` draws people, and scans each on scanners with voxels of 0.8, 1 and 1.2 mm, which have contrasts of
tissues and point spreads of their own, at each signal-to-noise ratio: a session a scan. `read` prints for
each signal-to-noise ratio, and for all scans together, ICC(2,1) of volume and number (Shrout & Fleiss 1979),
of all clusters and of those of 5 mm3 and more, as they are and standardised, and by how much the scanners'
means differ at most. ICC should be 0.9 or more, and means should differ by 15 % at most. `judge` prints by
scanner how much of the true volume is found, and how much is marked beside it.

With `--random`, each person is scanned on so many scanners that nobody else is scanned on. `fit` prints how
numbers and volumes of such people follow noise and voxels (`pvs_bidsapp.group.standard`), how far the scans
of one person differ before and after, and writes the exponents to the card of a model. Use other label maps
than for what is `read`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from suites import print_table

from pvs_bidsapp.bids.dataset import describe_derivative, describe_raw
from pvs_bidsapp.bids.naming import Naming, labels_dir
from pvs_bidsapp.evaluation.agreement import intraclass_correlation
from pvs_bidsapp.group.standard import COLUMNS, entry_of, fit_laws
from pvs_bidsapp.outputs.cohort import read_cohort
from pvs_bidsapp.outputs.ground_truth import GroundTruth, write_ground_truth
from pvs_bidsapp.outputs.sidecars import bids_uri
from pvs_bidsapp.outputs.simulated_scans import write_simulated_scan
from pvs_bidsapp.segmentation.model import load_model, write_card
from pvs_bidsapp.simulation import head
from pvs_bidsapp.simulation.label_maps import load_label_map
from pvs_bidsapp.simulation.scanner import SUITES, Difficulty, Scanner, draw_scanner
from pvs_bidsapp.simulation.subjects import Subject, plan

#: Voxel sizes of the three scanners in mm, and the range of those of random ones.
VOXELS, RANDOM_VOXELS = (0.8, 1.0, 1.2), (0.8, 1.25)
SEED = 2025
#: Measures with what they are; each is also read standardised.
MEASURES = {
    'volume_5mm3': 'volume, clusters from 5 mm³',
    'count_5mm3': 'number, clusters from 5 mm³',
    'volume_mm3': 'volume, all clusters',
    'count': 'number, all clusters',
}


def make(
    label_maps: Path, bids_dir: Path, people: int, ratios: list[float], *, suite: str, random: int
) -> None:
    """Write a dataset with a session for each scan."""
    describe_raw(
        bids_dir, 'The same simulated people on several scanners', 'Made by benchmarks/three_scanners.py.\n'
    )
    describe_derivative(labels_dir(bids_dir), 'Ground truth of the simulated scans', bids_dir)
    for subject in plan(people, sorted(label_maps.glob('*.nii.gz')), SEED):
        difficulty = replace(SUITES[suite], motion=0.0, cut=0.0)
        scanners = (
            random_scanners(subject, difficulty, random) if random else three_scanners(difficulty, ratios)
        )
        scan_person(subject, bids_dir, difficulty, scanners)
        print(f'sub-{subject.label}', flush=True)


def three_scanners(difficulty: Difficulty, ratios: list[float]) -> Iterator[tuple[str, Scanner]]:
    """The scanners of everybody, at each signal-to-noise ratio, with the names of the sessions."""
    for number, voxel in enumerate(VOXELS):
        scanner = draw_scanner(difficulty, np.random.default_rng([SEED, 0, number]), spacing=voxel)
        for ratio in ratios:
            yield session(voxel, ratio), replace(scanner, snr=ratio)


def random_scanners(subject: Subject, difficulty: Difficulty, number: int) -> Iterator[tuple[str, Scanner]]:
    """Scanners of one person alone, with the names of the sessions."""
    for k in range(number):
        rng = subject.rng(6, k)
        yield f'{k + 1:02d}', draw_scanner(difficulty, rng, spacing=float(rng.uniform(*RANDOM_VOXELS)))


def scan_person(
    subject: Subject, bids_dir: Path, difficulty: Difficulty, scanners: Iterator[tuple[str, Scanner]]
) -> None:
    """Draw one person, and write all scans."""
    source = load_label_map(subject.anatomy)
    person = head.draw_person(source, subject.rng(1), difficulty, spacing=VOXELS[0], age=subject.age)
    visibility = float(subject.rng(5).uniform(*difficulty.pvs_contrast))

    @lru_cache(maxsize=1)  # scanners with the same voxels follow one another
    def placed(spacing: float) -> head.Person:
        return head.on_grid(person, spacing)

    for number, (name, scanner) in enumerate(scanners):
        # how much fluid a space holds is a matter of the person
        contrasts = {
            channel: replace(getattr(scanner, channel), pvs=visibility) for channel in ('t1w', 't2w')
        }
        scanner = replace(scanner, **contrasts)
        scan = head.scan(placed(scanner.spacing), scanner, difficulty, subject.rng(2, number))
        entities = (('sub', subject.label), ('ses', name))
        names = Naming(bids_dir, entities)
        write_simulated_scan(names, subject, scanner, scan)
        source = bids_uri(names.anat('T1w'), bids_dir)
        truth = GroundTruth.of(scan, {'Anatomy': subject.anatomy.name, 'Seed': list(subject.seed)})
        write_ground_truth(Naming(labels_dir(bids_dir), entities), source, truth)


def session(voxel: float, ratio: float) -> str:
    """Label of a session, such as ``08x50``: voxels of 0.8 mm, and a signal-to-noise ratio of 50."""
    return f'{10 * voxel:02.0f}x{ratio:.0f}'


def read(out_dir: Path) -> pd.DataFrame:
    """Measures of all scans, plain and standardised, with ``person voxel ratio``."""
    scans = read_cohort(None, out_dir, ()).scans
    split = scans['session_id'].str.removeprefix('ses-').str.split('x', expand=True)
    return scans.assign(person=scans['participant_id'], voxel=split[0], ratio=split[1].astype(int))


def print_agreement(scans: pd.DataFrame) -> None:
    """Print the table."""
    print(
        '| SNR | measure | people | scans of each | ICC(2,1), 95 % interval | means differ by at most (%) |'
    )
    print('| --- ' * 6 + '|')
    words = MEASURES | {COLUMNS[measure]: f'{text}, standardised' for measure, text in MEASURES.items()}
    groups = [(f'{ratio}', part) for ratio, part in scans.groupby('ratio')]
    for name, part in [*groups, ('all', scans)]:
        for measure, text in words.items():
            values = part.pivot_table(index='person', columns=['voxel', 'ratio'], values=measure).dropna()
            icc, low, high = intraclass_correlation(values.to_numpy())
            worst = 100 * largest_difference(values.to_numpy())
            print(f'| {name} | {text} | {len(values)} | {values.shape[1]} | '
                  f'{icc:.3f} ({low:.3f} to {high:.3f}) | {worst:.0f} |')  # fmt: skip


def print_judgement(evaluation_dir: Path) -> None:
    """Print what was found and what was marked beside it, by scanner, from outputs of `pvs evaluate`."""
    table = pd.read_csv(evaluation_dir / 'evaluation.tsv', sep='\t', na_values='n/a')
    scans = table[(table['region'] == 'all') & (table['min_size_mm3'] == 0)]
    found = scans['recall'] * scans['reference_volume_mm3']
    scans = scans.assign(found=found, beside=scans['predicted_volume_mm3'] - found)
    rows = []
    for name, part in scans.groupby(scans['scan'].str.extract('_ses-([^_]+)', expand=False)):
        true = part['reference_volume_mm3']
        shares = [(part[key] / true).mean() for key in ('predicted_volume_mm3', 'found', 'beside')]
        dice = f'{part["dice"].mean():.3f}'
        rows.append([str(name), f'{len(part)}', f'{true.mean():.0f}', *(f'{x:.2f}' for x in shares), dice])
    head = ['scanner, SNR', 'scans', 'true volume, mm³', 'marked', 'found', 'marked beside', 'voxel Dice']
    print_table(head, rows)


def largest_difference(values: np.ndarray) -> float:
    """Largest difference of two columns' means, over the mean of both."""
    pairs = combinations(values.mean(0), 2)
    return max(abs(first - second) / ((first + second) / 2) for first, second in pairs)


def fit(out_dirs: list[Path], model_dir: Path | None) -> None:
    """Print the exponents of noise and voxels, and write them to a card."""
    cohorts = [read_cohort(None, out_dir, ()).scans for out_dir in out_dirs]
    scans = pd.concat(
        [part.assign(person=f'{k} ' + part['participant_id']) for k, part in enumerate(cohorts)]
    )
    scans = scans.rename(columns={'qc_noise_to_csf': 'noise', 'qc_voxel_mm3': 'voxel_mm3'})
    laws = fit_laws(scans)
    others = {who: fit_laws(scans[scans['person'] != who]) for who in scans['person'].unique()}
    print(f'{len(scans)} scans of {scans["person"].nunique()} people\n')
    print(
        '| measure | exponent of the noise (standard error) | of the volume of a voxel | spread of the scans '
        'of a person | standardised by the laws of the others |\n| --- | --- | --- | --- | --- |'
    )
    for measure, law in laws.items():
        left_out = [fitted[measure] for fitted in others.values()]
        errors = [jackknife([getattr(each, name) for each in left_out]) for name in ('noise', 'voxel')]
        parts = [(part, others[who][measure]) for who, part in scans.groupby('person')]
        plain = np.mean([variation(part[measure]) for part, _ in parts])
        standard = np.mean(
            [variation(part[measure] * own.factor(part['noise'], part['voxel_mm3'])) for part, own in parts]
        )
        print(f'| {measure} | {law.noise:.2f} ({errors[0]:.2f}) | {law.voxel:.2f} ({errors[1]:.2f}) | '
              f'{plain:.2f} | {standard:.2f} |')  # fmt: skip
    if model_dir is not None:
        model = load_model(model_dir)
        write_card(model.folder, replace(model.card, standard=entry_of(laws)))


def jackknife(left_out: list[float]) -> float:
    """Standard error of an estimate, from those without one person each (Efron 1982)."""
    return float(np.sqrt(len(left_out) - 1) * np.std(left_out))


def variation(values: pd.Series) -> float:
    """Standard deviation over mean."""
    return float(values.std() / values.mean())


def main() -> None:
    """Make the scans, or read the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest='step', required=True)
    making = steps.add_parser('make')
    making.add_argument('label_maps', type=Path)
    making.add_argument('bids_dir', type=Path)
    making.add_argument('--people', type=int, default=8)
    making.add_argument('--snr', type=float, nargs='+', default=[50.0, 25.0])
    making.add_argument('--suite', choices=SUITES, default='mixed')
    making.add_argument('--random', type=int, default=0, metavar='N')
    steps.add_parser('read').add_argument('out_dir', type=Path)
    steps.add_parser('judge').add_argument('evaluation_dir', type=Path)
    fitting = steps.add_parser('fit')
    fitting.add_argument('out_dir', type=Path, nargs='+')
    fitting.add_argument('--model', type=Path, metavar='MODEL_DIR')
    args = parser.parse_args()
    if args.step == 'make':
        make(args.label_maps, args.bids_dir, args.people, args.snr, suite=args.suite, random=args.random)
    elif args.step == 'fit':
        fit(args.out_dir, args.model)
    elif args.step == 'judge':
        print_judgement(args.evaluation_dir)
    else:
        print_agreement(read(args.out_dir))


if __name__ == '__main__':
    main()
