"""Kill the program at random moments, run it again, and compare with a run that nobody has disturbed.

    PYTHONPATH=tests python -m faults.killed_runs --runs 30 --jobs 2

prints a table of all cases, which ``--table benchmarks/killed_runs.md`` puts into the docs. Exit status
1 if one of them was not as it should be. Linux only.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from . import outputs
from .runs import PATIENCE, Finished, Run, run_to_its_end, start
from .small_head import SmallHead, make_small_head

#: What is killed, in turn.
TARGETS = ('group', 'main', 'worker')
#: Seconds that processes of a killed run may live on.
GRACE = 5.0
#: Tries to be quicker than a run that ends before the moment has come.
TRIES = 4


@dataclass
class Unbroken:
    """A run that nobody has disturbed.

    Attributes
    ----------
    out : Path
    steps : list of (str, float)
        Each step with the seconds from the start at which it was finished.
    seconds : float
    first_files : int
        Files that are in OUT_DIR before the first step.
    """

    out: Path
    steps: list[tuple[str, float]]
    seconds: float
    first_files: int

    @property
    def files(self) -> int:
        """Number of files in OUT_DIR at the end."""
        return len(outputs.final_files(self.out))

    def step_at(self, seconds: float) -> tuple[str, float]:
        """The step that runs at a moment, and the seconds since it began."""
        begin = 0.0
        for name, end in self.steps:
            if seconds < end:
                return name, seconds - begin
            begin = end
        return self.order[-1], seconds - begin

    @property
    def order(self) -> list[str]:
        """Names of the steps in running order, and what comes after them."""
        return [*(name for name, _ in self.steps), 'pages']


@dataclass
class Plan:
    """What is killed, and when.

    Attributes
    ----------
    number : int
    target : str
        ``group``, ``main`` or ``worker``.
    step : str
        The step in which it happens.
    seconds : float
        From the beginning of the step.
    files : int or None
        In place of a time: as soon as so many files are in OUT_DIR.
    wiped : bool
        The work folder is removed before the program is run again.
    """

    number: int
    target: str
    step: str
    seconds: float
    files: int | None
    wiped: bool


@dataclass
class Case:
    """What happened.

    Attributes
    ----------
    plan : Plan
    moment, killed : str
    present, others : int
        Files in OUT_DIR after the kill: under final names; temporary ones and locks.
    seconds : float
        Of the second run.
    problems : list of str
    """

    plan: Plan
    moment: str = ''
    killed: str = ''
    present: int = 0
    others: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        """A row of the table."""
        again = f'{self.seconds:.0f} s' + (', no work folder' if self.plan.wiped else '')
        end = '; '.join(self.problems) or 'identical'
        return [
            str(self.plan.number),
            self.moment,
            self.killed,
            f'{self.present} + {self.others}',
            again,
            end,
        ]


HEADER = ['', 'moment', 'killed', 'files then: final + others', 'second run', 'outputs']


def run_unbroken(head: SmallHead, folder: Path) -> Unbroken:
    """Run the program once, and see that it found something."""
    out, work = folder / 'out', folder / 'work'
    run = start(head, out, work)
    run.wait_for(lambda: bool(run.steps))
    first = len(outputs.final_files(out))
    done = run.finish()
    assert done.status == 0, done.stderr
    assert not (problems := outputs.damaged(out) + outputs.leftovers(out, work)), problems
    (table,) = out.rglob('*_desc-pvs_dseg.tsv')
    assert len(table.read_text().splitlines()) > 10, 'the model of the tests finds next to nothing'
    return Unbroken(out, run.steps, done.seconds, first)


def draw_plans(number: int, unbroken: Unbroken, seed: int) -> Iterator[Plan]:
    """Moments: two thirds by the clock, over the whole run; one third by the files that are there.

    The files are written in the last seconds, in which a clock would hardly ever hit.
    """
    rng = random.Random(seed)
    for k in range(number):
        target, wiped = TARGETS[k // 3 % 3], k % 5 == 4
        step, seconds = unbroken.step_at(rng.uniform(0, unbroken.seconds))
        files = rng.randint(unbroken.first_files, unbroken.files - 1) if k % 3 == 2 else None
        yield Plan(k + 1, target, step if files is None else 'write', seconds, files, wiped)


def try_case(head: SmallHead, unbroken: Unbroken, plan: Plan, folder: Path) -> Case:
    """Start, kill, look, and run again."""
    case, out, work = Case(plan), folder / 'out', folder / 'work'
    run = _start_and_kill(head, unbroken, case, folder)
    if case.killed == 'worker':
        _check_without_worker(run.finish(), unbroken, out, case)
    elif plan.number % 2:  # else the next run begins while workers may still be there
        _check_end(run, GRACE, case)
    case.present = len(outputs.final_files(out))
    case.others = sum(p.is_file() for p in out.rglob('*')) - case.present
    case.problems += [f'after the kill: {problem}' for problem in outputs.damaged(out)]
    if plan.wiped:
        shutil.rmtree(work, ignore_errors=True)
    again = run_to_its_end(head, out, work)
    case.seconds = again.seconds
    if again.status or 'Traceback' in again.stderr:
        case.problems.append(f'second run: status {again.status}: {again.stderr[-500:]}')
    case.problems += outputs.damaged(out) + outputs.differences(out, unbroken.out)
    case.problems += [f'left behind: {name}' for name in outputs.leftovers(out, work)]
    _check_end(run, 0, case)
    run.finish()
    return case


def _start_and_kill(head: SmallHead, unbroken: Unbroken, case: Case, folder: Path) -> Run:
    """Run until the moment, and kill; once more with an earlier moment if the run ends before it."""
    for attempt in range(TRIES):
        for name in ('out', 'work'):
            shutil.rmtree(folder / name, ignore_errors=True)
        run = start(head, folder / 'out', folder / 'work')
        if _wait_for(case.plan, run, unbroken, folder / 'out', 0.7**attempt):
            break
        run.finish()
    else:
        raise AssertionError(f'{case.plan}: the run has always ended before')
    case.moment = f'{run.seconds:.1f} s, {unbroken.order[len(run.steps)]}'
    # there is no worker before the first step and after the last one
    case.killed = case.plan.target if run.kill(case.plan.target) else 'main'
    if case.killed != case.plan.target:
        run.kill('main')
    return run


def _wait_for(plan: Plan, run: Run, unbroken: Unbroken, out: Path, factor: float) -> bool:
    """Wait for the moment of a plan; False if the run ends before it."""
    earlier = unbroken.order.index(plan.step)
    if not run.wait_for(lambda: len(run.steps) >= earlier):
        return False
    if plan.files is not None:
        wanted = unbroken.first_files + factor * (plan.files - unbroken.first_files)
        return run.wait_for(lambda: len(outputs.final_files(out)) >= wanted, pause=0.001)
    begin = run.seconds
    return run.wait_for(lambda: run.seconds - begin >= factor * plan.seconds)


def _check_without_worker(done: Finished, unbroken: Unbroken, out: Path, case: Case) -> None:
    """A run that has lost a worker goes on: it ends well, or names the failure."""
    if done.status == 0:
        case.problems += [f'without a worker: {p}' for p in outputs.differences(out, unbroken.out)]
    elif done.status != 1 or 'pvs: error: sub-' not in done.stderr:
        case.problems.append(f'without a worker: status {done.status}: {done.stderr[-500:]}')


def _check_end(run: Run, patience: float, case: Case) -> None:
    """Processes of a killed run must not work on beside the next run."""
    run.process.wait()
    if run.survivors(patience):
        case.problems.append(f'processes live on for more than {patience or case.seconds:.0f} s')
        run.survivors(PATIENCE)


def run_cases(
    head: SmallHead, folder: Path, number: int, seed: int, jobs: int, report: Callable[[Case], object]
) -> tuple[Unbroken, list[Case]]:
    """Try all cases.

    Parameters
    ----------
    head : SmallHead
    folder : Path
        For the runs; those of a case without problems are removed.
    number : int
        Of cases.
    seed : int
        Of the moments.
    jobs : int
        Cases in parallel.
    report : callable
        Called with each case that has ended.
    """
    unbroken = run_unbroken(head, folder / 'unbroken')

    def try_one(plan: Plan) -> Case:
        place = folder / f'case-{plan.number:02d}'
        case = try_case(head, unbroken, plan, place)
        if not case.problems:
            shutil.rmtree(place)
        return case

    cases = []
    with ThreadPoolExecutor(jobs) as pool:
        for future in as_completed([pool.submit(try_one, p) for p in draw_plans(number, unbroken, seed)]):
            cases.append(future.result())
            report(cases[-1])
    return unbroken, sorted(cases, key=lambda case: case.plan.number)


def table(unbroken: Unbroken, cases: Sequence[Case]) -> str:
    """All cases as a Markdown table."""
    rows = [HEADER, ['---'] * len(HEADER), *(case.row() for case in cases)]
    good = sum(not case.problems for case in cases)
    summary = (
        f'{good} of {len(cases)} end like the unbroken run, which takes {unbroken.seconds:.0f} s and writes '
        f'{unbroken.files} files.'
    )
    return '\n'.join([*('| ' + ' | '.join(row) + ' |' for row in rows), '', summary])


def main() -> int:
    """Run the cases that the arguments ask for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--runs', type=int, default=2, metavar='N', help='number of killed runs (default 2)')
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='cases in parallel (default 1)')
    parser.add_argument('--seed', type=int, default=1, help='of the moments (default 1)')
    parser.add_argument('--table', type=Path, metavar='FILE', help='write the table to a file, too')
    parser.add_argument('--folder', type=Path, help='kept afterwards (default: a temporary one, removed)')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='killed-') as temporary:
        folder = args.folder or Path(temporary)
        unbroken, cases = run_cases(
            make_small_head(folder / 'head'), folder, args.runs, args.seed, args.jobs,
            lambda case: print(*case.row(), sep='\t', file=sys.stderr, flush=True),
        )  # fmt: skip
    text = table(unbroken, cases)
    print(text)
    if args.table:
        args.table.write_text(text + '\n')
    return int(any(case.problems for case in cases))


if __name__ == '__main__':
    sys.exit(main())
