#!/usr/bin/env python3
"""Number, contrast, width and volume of the spaces of simulated heads, beside those that are published.

python benchmarks/simulated_density.py LABEL_MAPS [--suite dense] [--heads N]

Nothing is written. Counts and contrasts are those of the T2w without noise at voxels of 1.5 mm, as the
tracings of HCP-Aging were measured: a cluster is seen from 4 % of the contrast between white matter and CSF
on. Sections are those with 60 cm² of white matter or more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from generated_patches import SPACING, count_in_sections, peak_contrasts

from pvs_bidsapp.simulation import artefacts, contrast
from pvs_bidsapp.simulation.head import Person, draw_person
from pvs_bidsapp.simulation.label_maps import WHITE_MATTER, load_label_map
from pvs_bidsapp.simulation.scanner import SUITES, draw_scanner
from pvs_bidsapp.simulation.subjects import SUITE_SEEDS, Subject, plan

#: Published values, by quantity.
PUBLISHED = {
    'clusters seen on an axial section (1.5 mm)': '22 to 58 (tracings of experts, HCP-Aging)',
    'peak contrast, of that between white matter and CSF (1.5 mm)': 'quartiles 0.08, 0.13, 0.20 (the same)',
    'volume in white matter (cm³)': '1.3 to 14.5 (Barisano et al. 2021)',
    'volume fraction in white matter (%)': '0.3 to 3 (the same)',
    'spaces in white matter': '',
    'diameter in white matter (mm)': 'below 3 as a rule (Wardlaw et al. 2013)',
}
Quantities = dict[str, list[float]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('label_maps', type=Path)
    parser.add_argument('--suite', choices=SUITES, default='dense')
    parser.add_argument('--heads', type=int, default=4)
    args = parser.parse_args()
    found: Quantities = {name: [] for name in PUBLISHED}
    for subject in plan(args.heads, sorted(args.label_maps.glob('*.nii.gz')), SUITE_SEEDS[args.suite]):
        measure(subject, args.suite, found)
    print('| quantity | 5th | 25th | median | 75th | 95th percentile | published |')
    print('| --- ' * 7 + '|')
    for name, values in found.items():
        shown = ' | '.join(
            f'{v:.0f}' if v >= 100 else f'{v:.3g}' for v in np.percentile(values, [5, 25, 50, 75, 95])
        )
        print(f'| {name} | {shown} | {PUBLISHED[name]} |')


def measure(subject: Subject, suite: str, found: Quantities) -> None:
    """Draw a person of a suite, and add what is measured."""
    difficulty = SUITES[suite]
    scanner = draw_scanner(difficulty, subject.rng(3))
    source = load_label_map(subject.anatomy)
    person = draw_person(source, subject.rng(1), difficulty, spacing=scanner.spacing, age=subject.age)
    seen, white = seen_at_experts_voxels(person, scanner.t2w, subject.rng(2))
    counts = [count for count, area in count_in_sections(seen, white, step=2) if area >= 60]
    vessels = [v for v in person.vessels if v.region == 'white-matter']
    inside = person.anatomy.select(*WHITE_MATTER)
    occupied = float(person.rendering.occupancy[inside].sum())
    volume = occupied * float(np.prod(person.anatomy.spacing)) / 1000
    row = (
        counts,
        peak_contrasts(seen),
        [volume],
        [100 * occupied / inside.sum()],
        [len(vessels)],
        [v.width for v in vessels],
    )
    for name, values in zip(found, row, strict=True):
        found[name] += [float(v) for v in values]
    sections = ' '.join(f'{v:.0f}' for v in np.percentile(counts, (0, 50, 100)))
    print(
        f'{subject.label}: {subject.age:g} years, burden {person.burden:.2f}, {len(vessels)} spaces, '
        f'{volume:.2f} cm³ in white matter, clusters on sections (lowest, median, highest) {sections}',
        flush=True,
    )


def seen_at_experts_voxels(
    person: Person, t2w: contrast.Contrast, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Contrast of the spaces of white matter on a T2w of 1.5 mm without noise, and white matter there."""
    anatomy = person.anatomy
    _, change = contrast.synthesize_parts(anatomy, person.rendering, person.mimics, t2w, rng)
    white = anatomy.select(*WHITE_MATTER).astype(np.float32)
    shape = tuple(np.floor(np.array(white.shape) * anatomy.spacing / SPACING).astype(int))
    target = anatomy.affine @ np.diag([*(SPACING / anatomy.spacing), 1.0])
    parts = []
    for image in (change / (t2w.fluid - 1) * white, white):
        smooth = artefacts.blur(image, np.full(3, 0.8 * SPACING), anatomy.spacing)
        parts.append(artefacts.regrid(smooth, anatomy.affine, target, shape))
    return parts[0], parts[1] > 0.5


if __name__ == '__main__':
    main()
