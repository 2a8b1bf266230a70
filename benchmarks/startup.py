#!/usr/bin/env python3
"""Seconds until the program answers: its help, a bad argument, a plan, and the list of the models.

    python benchmarks/startup.py [--repeat 5]

Wall time is the least of the repetitions, since other programs of the machine only add to it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from indexing import RUN, make_dataset


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeat', type=int, default=5)
    args = parser.parse_args()
    print('| command | wall time (s) | processor time (s) |\n| --- | --- | --- |')
    with tempfile.TemporaryDirectory() as folder:
        bids, out = str(make_dataset(Path(folder) / 'bids', 2)), f'{folder}/out'
        for shown, arguments in (
            ('`python -c pass`', None),
            ('`pvs --help`', ['--help']),
            ('`pvs train --help`', ['train', '--help']),
            ('a misspelt option', [bids, out, 'participant', '--nproc', '2']),
            ('a bad value', [bids, out, 'participant', '--nprocs', 'many']),
            ('a folder that is not there', [f'{bids}-', out, 'participant']),
            ('`pvs models`', ['models']),
            ('`--dry-run`', [bids, out, 'participant', '--dry-run']),
        ):
            command = [sys.executable, '-c', 'pass'] if arguments is None else [*RUN, *arguments]
            times = [measure(command) for _ in range(args.repeat)]
            wall, cpu = (min(values) for values in zip(*times, strict=True))
            print(f'| {shown} | {wall:.2f} | {cpu:.2f} |', flush=True)


def measure(command: list[str]) -> tuple[float, float]:
    """Wall and processor time of a command."""
    before, started = _used(), time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    return time.perf_counter() - started, _used() - before


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == '__main__':
    main()
