"""The reason of a failure, from the text of a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..messages import options
from ..messages.message import one_line
from . import faults

#: Begin of a traceback, possibly indented by tabs, or behind the quotes of another process's traceback.
_BEGIN = re.compile(r'^(?P<indent>\t*)(?:"+)?Traceback \(most recent call last\):\s*$')
#: The exception of a traceback.
_EXCEPTION = re.compile(r'^(?P<name>[^\W\d][\w.<>]*)(?:: ?(?P<message>.*))?$')
#: What may follow the message of an exception.
_AFTER = re.compile(
    r'^(?:The above exception was the direct cause|During handling of the above exception'
    r'|When creating this crashfile|During the creation of this crashfile|Traceback \(most recent|"""$)'
)
_OURS = ('ImageError', 'InputError', 'ModelError', 'PVSError')
#: Exceptions that only say that another one was raised.
_WRAPPERS = ('NodeExecutionError', '_RemoteTraceback', 'RemoteTraceback', 'ProcessRaisedException')
_NO_MEMORY = ('MemoryError', '_ArrayMemoryError')
#: Where ITK raised an error, and in which object.
_ITK = re.compile(
    r'(?:\S+\.(?:hxx|cxx|cpp|txx|h)(?::\d+)?:?\s+)?(?:ITK ERROR|itk::ERROR): *(?:\w+\(0x[0-9a-f]+\): *)?'
    r'(?:ERROR: *)?'
)
_LONGEST = 400


@dataclass(frozen=True)
class _Raised:
    """An exception in a text: its name, without modules if it says something by itself, and its message."""

    name: str
    message: str

    @property
    def line(self) -> str:
        """The exception in one line."""
        return f'{self.name}: {self.message}' if self.message else self.name


def reason_of(text: str) -> str | None:
    """Why something failed, in one line: the error of this program, else of the system, else the root cause.

    Parameters
    ----------
    text : str
        One or more tracebacks, as Python prints them: chained, indented by tabs, or within the message of
        another exception.

    Returns
    -------
    reason : str or None
        None if there is no exception in the text.
    """
    raised = list(_exceptions(text))
    real = [r for r in raised if r.name not in _WRAPPERS]
    if ours := [r for r in real if r.name in _OURS and r.message]:
        return _shorten(ours[-1].message)
    for exception in real:
        finding = faults.finding_in(exception.message)
        if exception.name in _NO_MEMORY:
            finding = options.NO_MEMORY.finding()
        elif exception.name == faults.NO_GPU_MEMORY:
            finding = options.NO_GPU_MEMORY.finding()
        if finding is not None:
            return _shorten(str(finding))
    return next((_shorten(_ITK.sub('', r.line)) for r in real or raised), None)


def _exceptions(text: str) -> Iterator[_Raised]:
    """All exceptions in a text, in its order."""
    lines, inside = text.splitlines(), None
    for number, line in enumerate(lines):
        if begin := _BEGIN.match(line):
            inside = begin['indent']
            continue
        if inside is None or not line.strip() or not line.startswith(inside):
            continue
        bare = line[len(inside) :]
        if bare[0].isspace():  # a frame
            continue
        if found := _EXCEPTION.match(bare):
            more = _more(lines[number + 1 :], inside)
            message = one_line(' '.join([found['message'] or '', *more]))
            name = found['name'].rsplit('.', 1)[-1]
            yield _Raised(found['name'] if name == 'error' else name, message)
        inside = None


def _more(lines: list[str], indent: str) -> Iterator[str]:
    """Further lines of a message."""
    for line in lines:
        bare = line.removeprefix(indent)
        if _AFTER.match(bare) or _BEGIN.match(line) or bare.strip() == 'Traceback:':
            return
        if line.strip() and not line.startswith(indent):
            return
        yield bare


def _shorten(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'
