#!/usr/bin/env python3
"""Duration and memory of the group level on cohorts of increasing size, with and without statistics.

    python benchmarks/group_scale.py [--sizes 100 1000 10000] [--clusters 300]

The tables of participant are simulated first, without images.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from watching import RUN

from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort

OPTIONS = ['--cohort', 'sex', '--match', 'age', '--rating', 'rating', '--covariates', 'age', 'sex', 'ICV']


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=[100, 1000, 10000])
    parser.add_argument('--clusters', type=float, default=300)
    args = parser.parse_args()
    print('| participants | clusters | tables only (s) | with all statistics (s) | peak memory (GiB) |')
    print('| --- | --- | --- | --- | --- |')
    for number in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            effects = Effects(level=float(np.log(args.clusters)) - 0.125)
            clusters = write_cohort(Path(folder), number, effects, seed=1)
            seconds = [measure(Path(folder), options) for options in ([], OPTIONS)]
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f'| {number} | {clusters} | {seconds[0]:.1f} | {seconds[1]:.1f} | {peak:.2f} |', flush=True)


def measure(folder: Path, options: list[str]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    subprocess.run(
        [*RUN, folder / 'bids', folder / 'out', 'group', *options], check=True, capture_output=True
    )
    return time.perf_counter() - started


if __name__ == '__main__':
    main()
