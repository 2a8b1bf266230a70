#!/usr/bin/env python3
"""One scan, then several, on the same cores: ratio of the times, and how the run proceeds.

    python benchmarks/cohort_throughput.py [--scans 8] [--nprocs 2] [--bids DIR] [--spacing MM] [-- OPTIONS]

Without a dataset, heads are simulated, at 1 mm by default. What stands after ``--`` are options of
``participant``. Sizes and moments are looked up twice a second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from watching import RUN, cpu_seconds, folder_size, memory, parse_with_options

MASKS = 'sub-*/**/*_label-PVS_mask.nii.gz'


@dataclass
class Watched:
    """A run of some scans.

    Attributes
    ----------
    seconds, cpu : float
        Wall and processor time.
    memory, work : int
        Largest memory of all processes, and largest size of the work folder, in bytes.
    masks, begun : list of float
        When each mask was there, and when each scan had a folder of intermediate files.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    work: int = 0
    masks: list[float] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scans', type=int, default=8)
    parser.add_argument('--nprocs', type=int, default=2)
    parser.add_argument('--bids', type=Path, help='the first subjects of this dataset')
    parser.add_argument('--spacing', default='1.0', help='mm, of simulated heads')
    args, options = parse_with_options(parser)
    with tempfile.TemporaryDirectory() as folder:
        bids = args.bids or simulate(Path(folder) / 'bids', args.scans, args.spacing)
        labels = sorted(path.name for path in bids.glob('sub-*') if path.is_dir())[: args.scans]
        options = ['--nprocs', str(args.nprocs), '--device', 'cpu', *options]
        one, many = (
            watch(bids, Path(folder) / name, ['--participant-label', *chosen, *options])
            for name, chosen in (('one', labels[:1]), ('many', labels))
        )
    print('| | 1 scan | all scans | ratio |\n| --- | --- | --- | --- |')
    rows = {
        'scans': (len(one.masks), len(many.masks), '.0f'),
        'wall time (s)': (one.seconds, many.seconds, '.0f'),
        'processor time (s)': (one.cpu, many.cpu, '.0f'),
        'largest work folder (MB)': (one.work / 1e6, many.work / 1e6, '.0f'),
        'peak memory (GiB)': (one.memory / 2**30, many.memory / 2**30, '.2f'),
    }
    for name, (first, second, form) in rows.items():
        print(f'| {name} | {first:{form}} | {second:{form}} | {second / max(first, 1e-9):.2f} |')
    print('\n| of all scans | after (s) |\n| --- | --- |')
    for ordinal, name, moments in (
        ('first', 'mask', many.masks), ('third', 'scan begins', many.begun), ('last', 'mask', many.masks),
    ):  # fmt: skip
        number = {'first': 0, 'third': 2, 'last': -1}[ordinal]
        if len(moments) > number:
            print(f'| {ordinal} {name} | {moments[number]:.0f} |')


def simulate(root: Path, n_scans: int, spacing: str) -> Path:
    """Simulated heads; returns the root of their dataset."""
    number, coarse = ('--n-subjects', str(n_scans)), ('--spacing', spacing)
    subprocess.run(
        [*RUN, 'simulate', root, *number, *coarse, '--nprocs', '2'], check=True, capture_output=True
    )
    return root


def watch(bids: Path, out: Path, options: list[str]) -> Watched:
    """Run the participant level, and look at it from outside."""
    run, began = Watched(), time.monotonic()
    command = [*RUN, str(bids), str(out), 'participant', *options]
    log = out.with_suffix('.log')
    with log.open('w') as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    seen: set[str] = set()
    while process.poll() is None:
        run.cpu = max(run.cpu, cpu_seconds(process.pid))
        run.memory = max(run.memory, memory(process.pid))
        run.work = max(run.work, folder_size(out / 'work'))
        now = time.monotonic() - began
        for moments, pattern in ((run.masks, MASKS), (run.begun, 'work/pvs/*_*')):
            new = {str(path) for path in out.glob(pattern)} - seen
            seen |= new
            moments += [now] * len(new)
        time.sleep(0.5)
    run.seconds = time.monotonic() - began
    masks = len(list(out.glob(MASKS)))
    run.masks += [run.seconds] * (masks - len(run.masks))
    if process.returncode:
        sys.exit(log.read_text())
    return run


if __name__ == '__main__':
    main()
