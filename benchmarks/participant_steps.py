#!/usr/bin/env python3
"""Duration of each step and peak memory of one participant.

    python benchmarks/participant_steps.py [BIDS_DIR]

Without a dataset, a head is simulated. Memory is the sum over the program's processes (Linux only).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RUN = [sys.executable, str(Path(__file__).resolve().parents[1] / 'run.py')]


def children(pid: int) -> list[int]:
    """Process ids of a process and of all its descendants."""
    try:
        direct = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except OSError:
        return []
    return [pid, *(p for child in direct for p in children(int(child)))]


def memory(pid: int) -> int:
    """Proportional set size of a process tree in kB; shared pages count once."""
    total = 0
    for process in children(pid):
        try:
            text = Path(f'/proc/{process}/smaps_rollup').read_text()
            total += int(re.search(r'^Pss:\s+(\d+)', text, re.M)[1])
        except (OSError, TypeError):
            continue
    return total


def main() -> None:
    """Run one participant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('bids_dir', type=Path, nargs='?')
    parser.add_argument('--participant-label', nargs='+', default=[])
    parser.add_argument('--nprocs', default='2')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bids = args.bids_dir or Path(folder) / 'bids'
        if args.bids_dir is None:
            subprocess.run(
                [*RUN, 'simulate', bids, '--n-subjects', '1'], check=True, stdout=subprocess.DEVNULL
            )
        label = ['--participant-label', *args.participant_label] if args.participant_label else []
        command = [
            *RUN,
            bids,
            f'{folder}/out',
            'participant',
            *label,
            '--nprocs',
            args.nprocs,
            '-vv',
            '--device',
            'cpu',
        ]
        started, peak = time.monotonic(), [0]
        process = subprocess.Popen(
            map(str, command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

        def watch() -> None:
            while process.poll() is None:
                peak[0] = max(peak[0], memory(process.pid))
                time.sleep(0.5)

        threading.Thread(target=watch, daemon=True).start()
        output = process.communicate()[0]
        seconds = time.monotonic() - started
    if process.returncode:
        sys.exit(output)
    print('| step | seconds |\n| --- | --- |')
    for name, value in re.findall(r'Finished "(\w+)", elapsed time ([\d.]+)s', output):
        print(f'| {name} | {float(value):.0f} |')
    print(f'| the whole program | {seconds:.0f} |\n\npeak memory {peak[0] / 2**20:.1f} GiB')


if __name__ == '__main__':
    main()
