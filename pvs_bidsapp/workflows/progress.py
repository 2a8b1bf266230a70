"""What a run says of its progress: which scan of how many, its step, and the minutes left."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..messages.message import one_line


@dataclass
class _ScanUnderWay:
    """A scan that has begun.

    Attributes
    ----------
    number : int
        Counted from 1 in the order in which scans begin.
    name : str
    n_steps, n_done : int
    began : float
        Seconds of the clock.
    """

    number: int
    name: str
    n_steps: int
    began: float
    n_done: int = 0


@dataclass
class Progress:
    """Lines on the standard error, or a bar in a terminal.

    Attributes
    ----------
    total : int
        Scans of the run.
    clock : callable
        Returns seconds.
    """

    total: int
    clock: Callable[[], float] = time.monotonic
    _scans: dict[str, _ScanUnderWay] = field(default_factory=dict)
    _n_begun: int = 0
    _n_ended: int = 0
    #: Scans that were worked on at once.
    _at_once: int = 1
    #: Seconds from the begin to the end of each finished scan.
    _durations: list[float] = field(default_factory=list)
    _bar: Any = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[Progress]:
        """Show the bar, if there is a terminal."""
        if not sys.stderr.isatty():
            yield self
            return
        layout = '{desc} {percentage:3.0f}%|{bar}| {elapsed}{postfix}'
        with tqdm(total=self.total, bar_format=layout, leave=False) as self._bar, logging_redirect_tqdm():
            yield self

    def begin(self, key: str, name: str, n_steps: int) -> None:
        """A scan begins.

        Parameters
        ----------
        key : str
            Name of its workflow.
        name : str
            What it is called.
        n_steps : int
        """
        self._n_begun += 1
        self._scans[key] = _ScanUnderWay(self._n_begun, one_line(name), n_steps, self.clock())
        self._at_once = max(self._at_once, len(self._scans))

    def __call__(self, node: Any, status: str) -> None:
        """Status callback of nipype's plugins: a node's state is ``start``, ``end`` or ``exception``."""
        _, key, step = f'..{node.fullname}'.rsplit('.', 2)
        if status == 'start' or (scan := self._scans.get(key)) is None or step == 'inputnode':
            return
        scan.n_done += 1
        state = 'FAILED' if status == 'exception' else 'done'
        self._say(scan, f'{step} {state} (step {scan.n_done} of {scan.n_steps})')

    def end(self, key: str, failure: str | None) -> None:
        """A scan has ended.

        Parameters
        ----------
        key : str
            As for `begin`.
        failure : str or None
            Why it is not done.
        """
        scan = self._scans.pop(key)
        seconds = self.clock() - scan.began
        self._n_ended += 1
        if failure is None:
            self._durations.append(seconds)
        how = f'finished in {_minutes(seconds)}' if failure is None else f'FAILED: {failure}'
        self._say(scan, f'{how}; {self._n_ended} of {self.total} scans ended')

    def seconds_left(self) -> float | None:
        """Estimate for the scans that have not ended, from those that have; None while there is none."""
        if not self._durations:
            return None
        usual, now = sum(self._durations) / len(self._durations), self.clock()
        begun = sum(max(usual - (now - scan.began), usual / 20) for scan in self._scans.values())
        to_begin = max(0, self.total - self._n_begun)
        return (begun + to_begin * usual) / max(1, min(self._at_once, len(self._scans) + to_begin))

    def _say(self, scan: _ScanUnderWay, what: str) -> None:
        left = self.seconds_left()
        estimate = f'; about {_minutes(left)} left' if left and self._n_ended < self.total else ''
        line = one_line(f'[{scan.number}/{self.total}] {scan.name}: {what}{estimate}')
        if self._bar is None:
            print(line, file=sys.stderr, flush=True)
            return
        if ' FAILED' in line:
            self._bar.write(line, file=sys.stderr)
        self._bar.set_description_str(f'scan {scan.number} of {self.total}', refresh=False)
        self._bar.set_postfix_str(f'{scan.name}: {what}{estimate}', refresh=False)
        parts = sum(s.n_done / max(1, s.n_steps) for s in self._scans.values())
        self._bar.n = min(self.total, self._n_ended + parts)
        self._bar.refresh()


def _minutes(seconds: float) -> str:
    """A duration as one says it."""
    if seconds < 60:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
