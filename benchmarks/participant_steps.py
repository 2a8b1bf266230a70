#!/usr/bin/env python3
"""Time and memory of one participant by step, beside a plain chain of ANTs on the same scan, in one run.

    python benchmarks/participant_steps.py [BIDS_DIR] [--participant-label 01] [--nprocs 2] [-- OPTIONS]

Without a dataset, a head of 1 mm is simulated. The chain is what is usually written with antspyx: N4, brain
mask by ``antsRegistrationSyNQuick[s]`` to the template, Atropos from k-means, with as many threads as
``--nprocs``. What stands after ``--`` are options of ``participant``. CPU time and memory (proportional set
size) are those of all processes, looked up twice a second (Linux).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from watching import RUN, cpu_seconds, memory, parse_with_options

#: The chain, in a process of its own: its thread number is read when ANTs is imported.
CHAIN = """
import sys, time
import ants
from pvs_bidsapp.anatomy import template
from pvs_bidsapp.anatomy.ants_images import array_to_ants

def timed(name, work):
    wall, cpu = time.monotonic(), time.process_time()
    result = work()
    print(f'{name}\\t{time.monotonic() - wall:.1f}\\t{time.process_time() - cpu:.1f}', flush=True)
    return result

atlas = template.load()
t1w, mask = (array_to_ants(i, atlas.affine) for i in (atlas.t1w, atlas.brain_mask.astype('float32')))
scan = ants.image_read(sys.argv[1])
corrected = timed('N4', lambda: ants.n4_bias_field_correction(scan))
found = timed('antsRegistrationSyNQuick[s]', lambda: ants.registration(
    corrected, t1w, 'antsRegistrationSyNQuick[s]'))
brain = timed('mask', lambda: ants.apply_transforms(
    corrected, mask, found['fwdtransforms'], interpolator='nearestNeighbor'))
timed('Atropos', lambda: ants.atropos(a=corrected, x=brain, i='kmeans[3]', m='[0.1,1x1x1]', c='[5,0]'))
"""


@dataclass
class Measured:
    """What a program took: wall and CPU seconds, peak memory in bytes, and its output."""

    wall: float
    cpu: float
    memory: int
    output: str


def run(command: list[object], **environment: str) -> Measured:
    """Run a program and measure it; end with its output if it fails."""
    started, peak, cpu = time.monotonic(), [0], [0.0]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env=os.environ | environment,
    )  # fmt: skip

    def watch() -> None:
        while process.poll() is None:
            peak[0] = max(peak[0], memory(process.pid))
            cpu[0] = max(cpu[0], cpu_seconds(process.pid))
            time.sleep(0.5)

    threading.Thread(target=watch, daemon=True).start()
    output = process.communicate()[0]
    wall = time.monotonic() - started
    if process.returncode:
        sys.exit(output)
    return Measured(wall, cpu[0], peak[0], output)


def find_t1w(bids: Path, label: str | None) -> tuple[str, Path]:
    """Label and T1w of a participant, by default the first one."""
    pattern = f'sub-{label or "*"}/**/*_T1w.nii*'
    path = next(iter(sorted(bids.glob(pattern))), None)
    if path is None:
        sys.exit(f'{bids}: no {pattern}')
    return path.name.split('_')[0].removeprefix('sub-'), path


def main() -> None:
    """Run the chain and one participant, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('bids_dir', type=Path, nargs='?')
    parser.add_argument('--participant-label')
    parser.add_argument('--nprocs', default='2')
    args, options = parse_with_options(parser)
    with tempfile.TemporaryDirectory() as folder:
        bids = args.bids_dir or Path(folder) / 'bids'
        if args.bids_dir is None:
            simulate = [*RUN, 'simulate', bids, '--n-subjects', '1', '--spacing', '1']
            subprocess.run(simulate, check=True, stdout=subprocess.DEVNULL)
        label, t1w = find_t1w(bids, args.participant_label)
        chain = run([sys.executable, '-c', CHAIN, t1w], ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=args.nprocs)
        ours = run([
            *RUN, bids, f'{folder}/out', 'participant', '--participant-label', label, '--nprocs', args.nprocs,
            '--device', 'cpu', '-vv', *(options or ('--modality', 'T1w')),
        ])  # fmt: skip
    print(f'{t1w.name}, {os.cpu_count()} cores, --nprocs {args.nprocs}\n')
    print('| step of the chain | wall, s | CPU, s |\n| --- | --- | --- |')
    for line in chain.output.splitlines():
        if len(fields := line.split('\t')) == 3:
            print(f'| {fields[0]} | {fields[1]} | {fields[2]} |')
    print('\n| step of the participant | wall, s |\n| --- | --- |')
    for name, seconds in re.findall(r'Finished "(\w+)", elapsed time ([\d.]+)s', ours.output):
        print(f'| {name} | {float(seconds):.1f} |')
    print('\n| | wall, s | CPU, s | peak, GiB |\n| --- | --- | --- | --- |')
    for name, m in (('plain ANTs chain', chain), ('participant', ours)):
        print(f'| {name} | {m.wall:.0f} | {m.cpu:.0f} | {m.memory / 2**30:.2f} |')
    ratios = (ours.wall / chain.wall, ours.cpu / chain.cpu, ours.memory / chain.memory)
    print('| ratio | ' + ' | '.join(f'{r:.2f}' for r in ratios) + ' |')


if __name__ == '__main__':
    main()
