"""What holds of any input: it is used or refused in one line, within bounds of time and memory."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pvs_bidsapp.errors import PVSError
from pvs_bidsapp.messages.message import Finding

#: Inputs of each kind; more of them are tried with ``PVS_FUZZ=10000``.
EXAMPLES = int(os.environ.get('PVS_FUZZ') or 60)
#: Seconds of a processor that one input may take, or runs on for at most, and seconds of waiting.
MOST_SECONDS, MOST_RUNNING, PATIENCE = 5.0, 20.0, 900.0
#: Bytes of memory that one input may take above those at the start of the test.
MOST_MEMORY = 1_500_000_000
#: Bytes of address space above those at the start, beyond which an allocation fails.
_ADDRESS_SPACE = 8_000_000_000
#: Events of Python that change files, start programs, reach a network, or run code of an input.
_FORBIDDEN = (
    'os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'subprocess.Popen', 'pty.spawn', 'pickle.find_class',
    'socket.connect', 'socket.bind', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.sendto',
    'os.chmod', 'os.chown', 'os.link', 'os.symlink', 'os.truncate', 'os.kill', 'ctypes.dlopen',
)  # fmt: skip
_CHANGES = (
    'os.mkdir',
    'os.rmdir',
    'os.remove',
    'os.rename',
    'shutil.rmtree',
    'shutil.move',
    'shutil.copyfile',
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Hang(BaseException):
    """An input took too long; no handler of the program catches it."""


@dataclass
class Tally:
    """What became of the inputs of one test.

    Attributes
    ----------
    used, refused : int
    reasons : Counter of str
        Codes of the refusals.
    slowest : float
        Seconds.
    memory : int
        Most resident bytes above those at the start.
    """

    used: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    memory: int = 0

    def __str__(self) -> str:
        return (
            f'{self.used} used, {self.refused} refused in {len(self.reasons)} ways, slowest '
            f'{self.slowest:.2f} s, {self.memory / 1e6:.0f} MB'
        )


class Law:
    """Judges inputs one after the other, in this process.

    Parameters
    ----------
    scratch : Path
        The only folder in which files may be changed.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = os.path.realpath(scratch)
        self.tally = Tally()
        _reset_peak()
        self._memory = _memory('VmHWM')
        self._offences: list[str] = []
        _Watch.install()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Within it, anything but a return or a `PVSError` of one line is a fault."""
        began = time.process_time()
        self._offences = []
        try:
            with _limits(), _Watch.reporting(self._note), warnings.catch_warnings():
                for category in (UserWarning, RuntimeWarning, FutureWarning):
                    warnings.simplefilter(
                        'error', category
                    )  # a user would see it among the lines of the program
                yield
            self.tally.used += 1
        except PVSError as error:
            check_line(str(error))
            self.tally.refused += 1
            self.tally.reasons[error.finding.code if error.finding else type(error).__name__] += 1
        assert not self._offences, self._offences
        self.tally.slowest = max(self.tally.slowest, time.process_time() - began)
        self.tally.memory = max(self.tally.memory, _memory('VmHWM') - self._memory)
        assert self.tally.slowest <= MOST_SECONDS, f'{self.tally.slowest} s'
        assert self.tally.memory <= MOST_MEMORY, f'{self.tally.memory} bytes'

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in _FORBIDDEN:
            self._offences.append(f'{event} {arguments!r}'[:300])
            return
        if event == 'open':
            changed = arguments[:1] if _is_writing(arguments) else ()
        else:
            changed = arguments[:2]
        paths = [os.fsdecode(a) for a in changed if isinstance(a, str | bytes | os.PathLike)]
        self._offences += [f'{event} {path}' for path in paths if not self._is_within(path)]

    def _is_within(self, path: str) -> bool:
        path = os.path.realpath(path)
        return path.startswith((self.scratch + os.sep, os.devnull)) or path == self.scratch


def check_line(line: str) -> None:
    """Check that a message is one line that a terminal shows as it is, of a length that can be read."""
    assert line
    assert line.isprintable(), repr(line)
    assert len(line) < 2500, len(line)


def check_findings(findings: tuple[Finding, ...] | list[Finding]) -> None:
    """Check the lines of findings, as they stand in logs, and in tables and sidecars."""
    for finding in findings:
        check_line(str(finding))
        for text in finding.row().values():
            assert text.isprintable()


@contextmanager
def _limits() -> Iterator[None]:
    """Bounds on time and address space."""

    def ring(number: int, frame: object) -> None:
        raise Hang(signal.Signals(number).name)

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    timers = (
        (signal.SIGALRM, signal.ITIMER_REAL, PATIENCE),
        (signal.SIGPROF, signal.ITIMER_PROF, MOST_RUNNING),
    )
    earlier = [signal.signal(number, ring) for number, _, _ in timers]
    resource.setrlimit(resource.RLIMIT_AS, (_memory('VmSize') + _ADDRESS_SPACE, hard))
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, earlier, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _memory(name: str) -> int:
    """A size in bytes from the system's account of this process."""
    with open('/proc/self/status') as stream:
        return next(1024 * int(line.split()[1]) for line in stream if line.startswith(f'{name}:'))


def _reset_peak() -> None:
    with open('/proc/self/clear_refs', 'w') as stream:
        stream.write('5')


def _is_writing(arguments: tuple[object, ...]) -> bool:
    _, mode, flags = arguments
    by_mode = isinstance(mode, str) and bool(set('wax+') & set(mode))
    return by_mode or (isinstance(flags, int) and bool(flags & _WRITING))


class _Watch:
    """Events of the interpreter; a hook, once it is there, stays for the life of the process."""

    _note = None
    _is_installed = False

    @classmethod
    def install(cls) -> None:
        if not cls._is_installed:
            sys.addaudithook(cls._hook)
            cls._is_installed = True

    @classmethod
    def _hook(cls, event: str, arguments: tuple[object, ...]) -> None:
        if cls._note is not None and (event == 'open' or event in _FORBIDDEN or event in _CHANGES):
            cls._note(event, arguments)

    @classmethod
    @contextmanager
    def reporting(cls, note) -> Iterator[None]:
        cls._note = note
        try:
            yield
        finally:
            cls._note = None
