#!/usr/bin/env python3
"""Whether faults that are put into good scans are told.

    python benchmarks/injected_faults.py BIDS_DIR WORK_DIR LABEL [LABEL ...] [--nprocs 2]

The scans of these people are segmented as they are, and once with each of these faults:

- T2w moved by 5 mm in its header;
- left and right of the T2w exchanged in its header;
- half of the brain mask missing, which is given by ``-d``;
- heavy motion in the T1w: eight poses, turned by up to 2 degrees and shifted by up to 2 mm.

The table has what is told of each scan: the findings of the run, and the measures of quality out of their
ranges. Scans without a T2w have no faults of a T2w. What is done already in WORK_DIR is not done again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import fft
from suites import print_table
from watching import run

from pvs_bidsapp.outputs.result_tables import find_results
from pvs_bidsapp.simulation import artefacts

#: By how many mm a T2w is moved; poses of a moving head, largest turns and shifts (degrees, mm).
SHIFT, POSES, MOTION, SEED = 5.0, 8, (2.0, 2.0), 1


def moved(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """An image whose header says that it lies farther to the front."""
    affine = image.affine.copy()
    affine[1, 3] += SHIFT
    return nib.Nifti1Image(np.asarray(image.dataobj), affine)


def exchanged(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """An image whose left and right are exchanged, about the middle of its field of view."""
    canonical = nib.as_closest_canonical(image)
    return nib.Nifti1Image(np.asarray(canonical.dataobj)[::-1], canonical.affine)


def halved(mask: nib.Nifti1Image) -> nib.Nifti1Image:
    """A mask without its left half."""
    canonical = nib.as_closest_canonical(mask)
    data = np.asarray(canonical.dataobj).copy()
    middle = round(float(np.argwhere(data)[:, 0].mean()))
    data[:middle] = 0
    return nib.Nifti1Image(data, canonical.affine)


def shaken(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """An image of a head that takes another pose again and again: each part of k-space is of another one."""
    rng = np.random.default_rng(SEED)
    data, spacing = np.asarray(image.dataobj, np.float32), np.array(image.header.get_zooms()[:3])
    spectrum = np.zeros(data.shape, np.complex64)
    for lines in np.array_split(fft.fftshift(np.arange(data.shape[1])), POSES):
        posed = artefacts.pose(data, spacing, artefacts.small_rigid(rng, *MOTION))
        spectrum[:, lines] = fft.fft(posed, axis=1)[:, lines]
    return nib.Nifti1Image(np.abs(fft.ifft(spectrum, axis=1)).astype(np.float32), image.affine)


#: Name of a fault: the suffix of the scans that it changes, and how.
FAULTS: dict[str, tuple[str, Callable[[nib.Nifti1Image], nib.Nifti1Image]]] = {
    'T2w moved by 5 mm': ('T2w', moved),
    'left and right of the T2w exchanged': ('T2w', exchanged),
    'half a brain mask': ('mask', halved),
    'heavy motion': ('T1w', shaken),
}


def copy_dataset(source: Path, target: Path, people: list[str], suffix: str, change: Callable) -> bool:
    """Copy the scans of people, changed where the suffix is that of the fault; whether any is."""
    is_changed = False
    for path in sorted(path for name in people for path in source.glob(f'sub-{name}/**/anat/*')):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        is_scan = path.name.endswith(f'_{suffix}.nii.gz')
        is_changed |= is_scan
        if copy.exists():
            continue
        if is_scan:
            nib.save(change(nib.load(path)), copy)
        else:
            shutil.copy(path, copy)
    shutil.copy(source / 'dataset_description.json', target)
    return is_changed


def halve_masks(good: Path, folder: Path) -> Path:
    """A derivative dataset of half of each brain mask that the good run found."""
    for path in good.glob('sub-*/**/*_desc-brain_mask.nii.gz'):
        target = folder / path.relative_to(good)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            nib.save(halved(nib.load(path)), target)
    shutil.copy(good / 'dataset_description.json', folder)
    return folder


def findings(out: Path) -> dict[str, list[str]]:
    """What is told of each scan: codes of findings, and measures that are out of range."""
    told = {}
    for names in find_results(out)[0]:
        table = pd.read_csv(names.anat('stats', '.tsv', desc='qc'), sep='\t', na_values='n/a')
        wrong = table[table['finding'].notna()]
        values = [f'{r.metric} {r.value:.3g}' for r in wrong.itertuples()]
        status = json.loads(names.status.read_text(encoding='utf-8'))
        told[names.stem] = [*values, *sorted({f['code'] for f in status['findings']})]
    return told


def main() -> None:
    """Segment the scans with and without faults, and print what is told."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('bids_dir', type=Path)
    p.add_argument('work_dir', type=Path)
    p.add_argument('participants', nargs='+', metavar='LABEL', help='people with good scans')
    p.add_argument('--nprocs', type=int, default=2)
    args = p.parse_args()
    people = [name.removeprefix('sub-') for name in args.participants]
    good = args.work_dir / 'good'
    cases = {'none': (args.bids_dir, good, [])}
    for fault, (suffix, change) in FAULTS.items():
        folder = args.work_dir / fault.replace(' ', '-')
        scans = Path(f'{folder}-bids')
        if suffix == 'mask':
            cases[fault] = (args.bids_dir, folder, ['-d', f'masks={folder}-masks'])
        elif copy_dataset(args.bids_dir, scans, people, suffix, change):
            cases[fault] = (scans, folder, [])
    rows = []
    for fault, (scans, out, options) in cases.items():
        if fault == 'half a brain mask':
            halve_masks(good, Path(f'{out}-masks'))
        run(scans, out, 'participant', *options, '--participant-label', *people, '--nprocs', args.nprocs)
        rows += [[fault, scan, ', '.join(told) or 'nothing'] for scan, told in findings(out).items()]
    print_table(['fault', 'scan', 'told'], rows)


if __name__ == '__main__':
    main()
