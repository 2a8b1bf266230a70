"""What a message consists of: what was found, and what to do about it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Any

from ..errors import ImageError, InputError, PVSError

#: Longest value in a message, and longest file or option, in characters: people may give any length.
LONGEST, LONGEST_FILE = 600, 2000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One message about one file or option, with its values filled in.

    Attributes
    ----------
    code : str
        Name of the message, such as ``scan-sheared``.
    file : str
        The file or option that it is about; empty if there is none.
    finding, mend : str
        What was found, and what to do about it, in plain text.
    is_refused : bool
        Whether the file cannot be used.
    """

    code: str
    file: str
    finding: str
    mend: str
    is_refused: bool = False

    def __str__(self) -> str:
        about = f'{self.file}: ' if self.file else ''
        mend = f'; {self.mend}' if self.mend else ''
        return one_line(f'{about}{self.finding}{mend}')

    def row(self) -> dict[str, str]:
        """The finding as it stands in sidecars and tables."""
        return {'Code': self.code, 'Finding': one_line(self.finding), 'Mend': one_line(self.mend)}


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message with places for values.

    Attributes
    ----------
    code : str
        Its name in tables and sidecars: lower case, with hyphens.
    text : str
        What was found; a format string, such as ``{count} voxels are NaN``.
    mend : str
        What to do about it; a format string.
    """

    code: str
    text: str
    mend: str = ''

    def finding(self, file: os.PathLike[str] | str = '', **values: Any) -> Finding:
        """The message about one file or option.

        Parameters
        ----------
        file : path or str
            What the message is about; the line begins with it.
        **values
            For the places in `text` and `mend`.
        """
        shown = {name: _cut(value) if isinstance(value, str) else value for name, value in values.items()}
        return Finding(
            code=self.code,
            file=_cut(os.fspath(file), LONGEST_FILE),
            finding=self.text.format(**shown),
            mend=self.mend.format(**shown),
            is_refused=isinstance(self, Refusal),
        )


@dataclass(frozen=True, kw_only=True)
class Refusal(Message):
    """A message about something that cannot be used; the program, or one scan, ends with it.

    Attributes
    ----------
    kind : type of PVSError
        Class of the error, which decides the exit status.
    """

    kind: type[PVSError] = field(default=InputError)

    def error(self, file: os.PathLike[str] | str = '', **values: Any) -> PVSError:
        """The error to raise; the parameters are those of `finding`."""
        return error_of(self.finding(file, **values), self.kind)


@dataclass(frozen=True, kw_only=True)
class Caution(Message):
    """A message about something that is used all the same, and that a reader of the results should know."""

    def log(self, logger: logging.Logger, file: os.PathLike[str] | str = '', **values: Any) -> Finding:
        """Write the message to a log as a warning; returns it. The parameters are those of `finding`."""
        found = self.finding(file, **values)
        logger.warning('%s', found)
        return found


def error_of(finding: Finding, kind: type[PVSError] = ImageError) -> PVSError:
    """An error that says what a finding says."""
    error = kind(str(finding))
    error.finding = finding
    return error


def _cut(text: str, longest: int = LONGEST) -> str:
    """A text with its middle left out if nobody would read it."""
    return text if len(text) <= longest else f'{text[: longest // 2]} … {text[-longest // 4 :]}'


def one_line(text: str) -> str:
    """A text in one line that a terminal shows as it is: control characters become spaces.

    Names of files may hold line breaks and escape sequences.
    """
    return ' '.join(''.join(c if c.isprintable() else ' ' for c in text).split())
