"""The program in a process group of its own: which step it is at, and which processes it has."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .small_head import SmallHead

#: Seconds within which every wait of these tests has to end.
PATIENCE = 900
_STEP = re.compile(r'^\[\d+/\d+\] \S+: (\w+) (?:done|FAILED) \(step ')


@dataclass
class Finished:
    """A run that has ended.

    Attributes
    ----------
    status : int
        As `subprocess.Popen.returncode`: negative if a signal ended it.
    stdout, stderr : str
    seconds : float
    """

    status: int
    stdout: str
    stderr: str
    seconds: float


@dataclass
class Run:
    """A run of the program that has been started.

    Attributes
    ----------
    process : Popen
        Leads its process group.
    steps : list of (str, float)
        The steps that were said to be finished, with the seconds from the start.
    """

    process: subprocess.Popen[str]
    temporary: Path
    started: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stdout: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def follow(self) -> None:
        """Read what the program prints, in the background."""
        for target in (self._read_errors, self._read_output):
            self._threads.append(threading.Thread(target=target, daemon=True))
            self._threads[-1].start()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if step := _STEP.match(line.strip()):
                self.steps.append((step[1], self.seconds))

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        self._stdout.extend(self.process.stdout)

    def wait_for(self, condition: Callable[[], bool], pause: float = 0.01) -> bool:
        """Wait until something is the case; False if the run ends before."""
        until = time.monotonic() + PATIENCE
        while not condition():
            if not self.is_running:
                return condition()
            assert time.monotonic() < until, 'nothing happened'
            time.sleep(pause)
        return True

    def has_finished(self, step: str) -> bool:
        """Whether the program has said so."""
        return any(name == step for name, _ in self.steps)

    def said(self, words: str) -> bool:
        """Whether a line on stderr holds these words."""
        return any(words in line for line in list(self.lines))

    def workers(self) -> list[int]:
        """Processes that do the steps: grandchildren of the program, and children of its fork server."""
        group = _group(self.process.pid)
        return [pid for pid, parent in group.items() if parent in group and parent != self.process.pid]

    def kill(self, what: str, number: int = signal.SIGKILL) -> bool:
        """Send a signal to the ``group``, the ``main`` process or one ``worker``; False if there is none."""
        if what == 'worker':
            pids = self.workers()
            for pid in pids[:1]:
                os.kill(pid, number)
            return bool(pids)
        (os.killpg if what == 'group' else os.kill)(self.process.pid, number)
        return True

    def finish(self) -> Finished:
        """Wait for its end."""
        status = self.process.wait(PATIENCE)
        seconds = self.seconds
        for thread in self._threads:
            thread.join(5)  # a worker that lives on keeps the pipes open
        shutil.rmtree(self.temporary, ignore_errors=True)
        return Finished(status, ''.join(self._stdout), ''.join(self.lines), seconds)

    def survivors(self, patience: float) -> list[int]:
        """Processes of its group that are there for longer than some seconds."""
        until = time.monotonic() + patience
        while (left := list(_group(self.process.pid))) and time.monotonic() < until:
            time.sleep(0.05)
        return left


def _group(leader: int) -> dict[int, int]:
    """Living processes of a group, with their parents."""
    found = {}
    for entry in Path('/proc').iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / 'stat').read_text()
        except OSError:  # has just ended
            continue
        state, parent, group = text.rpartition(')')[2].split()[:3]
        if int(group) == leader and state not in 'ZX':
            found[int(entry.name)] = int(parent)
    return found


def start(head: SmallHead, out: Path, work: Path, *, keep_work: bool = False) -> Run:
    """Start the participant level on the small head."""
    # sockets lie in it, whose paths may not be long; a killed run leaves them there
    temporary = Path(tempfile.mkdtemp(prefix='pvs-'))
    environment = os.environ | {'OMP_NUM_THREADS': '1', 'TMPDIR': str(temporary)}
    process = subprocess.Popen(
        head.command(out, work, keep_work=keep_work), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, env=environment,
    )  # fmt: skip
    run = Run(process, temporary)
    run.follow()
    return run


def run_to_its_end(head: SmallHead, out: Path, work: Path, *, keep_work: bool = False) -> Finished:
    """Run the participant level on the small head."""
    return start(head, out, work, keep_work=keep_work).finish()
