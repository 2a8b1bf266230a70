#!/usr/bin/env python3
"""Seconds until the first step begins, for one subject and for all subjects of datasets of increasing size.

    python benchmarks/indexing.py [--sizes 10 100 1000 10000] [--all-up-to 1000]

The datasets are made first: each subject has a T1w and a T2w of some hundred bytes that pass the audit.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from watching import RUN, cpu_seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=[10, 100, 1000, 10000])
    parser.add_argument('--all-up-to', type=int, default=1000, metavar='N')
    args = parser.parse_args()
    print('| subjects in the dataset | processed | until the first step (s) | processor time (s) |')
    print('| --- | --- | --- | --- |')
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            bids = make_dataset(Path(folder) / 'bids', size)
            chosen = ['--participant-label', f'{size // 2:05}']
            for what, options in (('one', chosen), ('all', [])):
                if what == 'one' or size <= args.all_up_to:
                    seconds, cpu = until_first_step(bids, Path(folder) / what, options)
                    print(f'| {size:,} | {what} | {seconds:.1f} | {cpu:.1f} |', flush=True)


def make_dataset(root: Path, n_subjects: int) -> Path:
    """A dataset of empty images; returns its root."""
    root.mkdir()
    description = {'Name': 'empty', 'BIDSVersion': '1.10.0'}
    (root / 'dataset_description.json').write_text(json.dumps(description), encoding='utf-8')
    image = nib.Nifti1Image(np.zeros((60, 60, 60), np.uint8), np.diag([3.0, 3, 3, 1]))
    image.header.set_xyzt_units('mm')
    image.set_qform(image.affine, 1)
    content = gzip.compress(image.to_bytes())
    for number in range(n_subjects):
        anat = root / f'sub-{number:05}' / 'anat'
        anat.mkdir(parents=True)
        for suffix in ('T1w', 'T2w'):
            (anat / f'sub-{number:05}_{suffix}.nii.gz').write_bytes(content)
    return root


def until_first_step(bids: Path, out: Path, options: list[str]) -> tuple[float, float]:
    """Wall and processor time until a step has a folder; the run is then ended."""
    command = [*RUN, str(bids), str(out), 'participant', '--device', 'cpu', *options]
    log = out.with_suffix('.log')
    with log.open('w') as stream:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    try:
        while not any((out / 'work').glob('pvs/*/conform')):
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.02)
        return time.monotonic() - started, cpu_seconds(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == '__main__':
    main()
