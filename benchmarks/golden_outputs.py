"""Record what the program writes, and compare it with what another version of it wrote.

Every command runs as a user runs it: simulation, participant runs with one and two channels, a real scan
(where one is given), a training by each recipe that is interrupted and resumed, and the group level.

    python benchmarks/golden_outputs.py record WORK --program "python run.py" [--inputs W] [--real BIDS_DIR]
    python benchmarks/golden_outputs.py compare WORK_OF_ONE WORK_OF_THE_OTHER

Images and weights are compared by their bytes; tables and losses by their text; JSON files by all values
except those that name the version, the date, a folder, or describe a column in prose.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECIPES = ('joliot2021', 'm2ss', 'm2ss-mono', 'supervised-multi', 'supervised-mono')
#: Keys of JSON files that may differ between versions: prose, dates, versions, folders, clocks.
FREE_KEYS = frozenset((
    'Description', 'SoftwareVersions', 'GeneratedBy', 'DatasetLinks', 'HowToAcknowledge', 'Levels',
    'finished', 'seconds', 'version', 'model_dir', 'work_dir', 'out_dir', 'bids_dir', 'trained_on', 'limits',
    'inputs', 'fingerprint', 'Name', 'Method', 'commands',
))  # fmt: skip
TRAINING = (
    '--epochs', '4', '--steps', '5', '--batch-size', '2', '--validation', '0.4', '--device', 'cpu',
    '--seed', '3', '--spacing', '2', '--filters', '4',
)  # fmt: skip


def record(work: Path, program: list[str], inputs: Path | None, real: Path | None) -> None:
    """Run every command that is not done yet; each writes into a folder of its own below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    source = (inputs or work).resolve()

    def run(name: str, *arguments: object) -> None:
        stamp = work / f'{name}.done'
        if stamp.exists():
            return
        started = time.monotonic()
        command = [*program, *map(str, arguments)]
        with (work / f'{name}.log').open('a') as log:
            done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            sys.exit(f'{shlex.join(command)}: exit status {done.returncode}, see {work / name}.log')
        stamp.touch()
        print(f'{name}: {time.monotonic() - started:.0f} s', flush=True)

    run('simulate', 'simulate', work / 'heads', '--n-subjects', 1, '--suite', 'easy', '--seed', 5)
    run(
        'simulate_small',
        'simulate',
        work / 'small',
        '--n-subjects',
        5,
        '--suite',
        'hard',
        '--spacing',
        2,
        '--seed',
        6,
    )
    heads, small = source / 'heads', source / 'small'
    run('group', *_group(work, source))
    for recipe in RECIPES:
        _train(run, work, small, recipe)
    _train(run, work, small, 'supervised-multi', 'painted', '--paint', 'mixed')
    common = ('participant', '--device', 'cpu', '--omp-nthreads', 1, '--nprocs', 1)
    run('t1w', heads, work / 't1w', *common, '--modality', 'T1w')
    run('t1w_t2w', heads, work / 't1w_t2w', *common, '--model', 'm2ss-t1t2')
    if real is not None:
        run('real', real, work / 'real', *common, '--participant-label', 'adi')


def _train(run: Any, work: Path, data: Path, recipe: str, name: str = '', *options: object) -> None:
    """A training of 20 steps that is stopped after ten and resumed."""
    name = name or recipe
    patch = ('--patch-size', 64, *options) if recipe == 'joliot2021' else options
    cache = ('--cache', work / 'cache')
    half = ['2' if before == '--epochs' else a for before, a in zip(('', *TRAINING), TRAINING, strict=False)]
    run(
        f'train_{name}_half', 'train', data, work / 'models' / name, '--recipe', recipe, *half, *patch, *cache
    )
    again = ('train', data, work / 'models' / name, '--recipe', recipe, *TRAINING, *patch, *cache, '--resume')
    run(f'train_{name}', *again)


def _group(work: Path, source: Path) -> tuple[object, ...]:
    """Arguments of a group run on a copy of the tables that were simulated once."""
    root = work / 'cohort'
    if not root.exists():
        shutil.copytree(source / 'cohort_tables', root)
        description = root / 'out' / 'dataset_description.json'
        content = json.loads(description.read_text())
        content['DatasetLinks'] = {'raw': (root / 'bids').resolve().as_uri()}
        description.write_text(json.dumps(content))
    return (
        root / 'bids', root / 'out', 'group', '--cohort', 'site', '--match', 'age', 'sex',
        '--rating', 'rating', '--covariates', 'age', 'site',
    )  # fmt: skip


def compare(one: Path, other: Path) -> int:
    """Print what differs; returns the number of differing files."""
    first, second = dict(_contents(one)), dict(_contents(other))
    different = [name for name in sorted(first.keys() & second.keys()) if first[name] != second[name]]
    for name in sorted(first.keys() ^ second.keys()):
        print(f'only in {one if name in first else other}: {name}')
    for name in different:
        print(f'differs: {name}')
    kinds: dict[str, int] = {}
    for name in first.keys() & second.keys():
        kind = name.split('/')[0]
        kinds[kind] = kinds.get(kind, 0) + (first[name] == second[name])
    for kind, number in sorted(kinds.items()):
        print(f'{kind}: {number} files identical')
    return len(different) + len(first.keys() ^ second.keys())


def _contents(work: Path) -> Iterator[tuple[str, Any]]:
    """What is compared of each file."""
    for path in sorted(work.rglob('*')):
        name = path.relative_to(work).as_posix()
        parts = name.split('/')
        if (
            not path.is_file()
            or {'cache', 'cohort_tables', 'tensorboard', 'figures', 'work'} & set(parts)
            or len(parts) == 1
        ):
            continue
        if path.name.endswith('.nii.gz'):
            yield name, hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        elif path.suffix == '.safetensors':
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == 'log.csv':
            yield (
                name,
                [','.join(line.split(',')[:3]) for line in path.read_text().splitlines()],
            )  # without the clock
        elif path.suffix == '.tsv':
            yield name, path.read_text()
        elif path.suffix == '.json' and not path.name.startswith('run_'):
            yield name, _plain(json.loads(path.read_text()))


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _plain(v) for k, v in content.items() if k not in FREE_KEYS}
    return [_plain(v) for v in content] if isinstance(content, list) else content


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest='command')
    r = commands.add_parser('record', help='run all commands of one version')
    r.add_argument('work', type=Path)
    r.add_argument('--program', required=True, help='how this version is started')
    r.add_argument('--inputs', type=Path, help='take the inputs that another version has simulated')
    r.add_argument('--real', type=Path, help='BIDS dataset with a real scan, sub-adi')
    c = commands.add_parser('compare', help='compare two recordings')
    c.add_argument('one', type=Path)
    c.add_argument('other', type=Path)
    args = parser.parse_args()
    if args.command == 'compare':
        return min(1, compare(args.one, args.other))
    record(args.work, shlex.split(args.program), args.inputs, args.real)
    return 0


if __name__ == '__main__':
    sys.exit(main())
