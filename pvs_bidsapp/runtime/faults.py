"""Faults of the system, such as a full disk or a lost file, told in one line with what to do about them."""

from __future__ import annotations

import errno
import os
import re

from ..errors import InputError, PVSError
from ..messages import options
from ..messages.message import Finding, Refusal, error_of

#: Messages by the number of the system's error.
_BY_NUMBER: dict[int, Refusal] = {
    number: refusal
    for refusal, numbers in (
        (options.DISK_FULL, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        (options.NOT_PERMITTED, (errno.EACCES, errno.EPERM, errno.EROFS)),
        (options.VANISHED, (errno.ENOENT, errno.ESTALE, errno.ENODEV, errno.ENXIO)),
        (options.IN_THE_WAY, (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)),
        (options.NAME_TOO_LONG, (errno.ENAMETOOLONG,)),
        (options.TOO_MANY_FILES, (errno.EMFILE, errno.ENFILE)),
        (options.TOO_MANY_PROCESSES, (errno.EAGAIN,)),
        (options.NO_MEMORY, (errno.ENOMEM,)),
        (options.DISK_FAULT, (errno.EIO, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENOLCK, errno.ELOOP)),
    )
    for number in numbers
}
#: Torch's exception; its module is not imported for it.
NO_GPU_MEMORY = 'OutOfMemoryError'
_TEXT = re.compile(r'\[Errno (?P<number>\d+)\] (?P<reason>.*?)(?:: (?P<file>[\'"].*[\'"]))?$')


class _Work:
    """Whether the work has begun: errors before that have another exit status."""

    has_begun = False


def begin_work() -> None:
    """Say that the work begins, now that arguments and folders have been checked."""
    _Work.has_begun = True


def forget_work() -> None:
    """Say that nothing has begun yet."""
    _Work.has_begun = False


def finding_of(error: BaseException) -> Finding | None:
    """What an error of the system means for the user, and what to do; None for an error of another kind.

    Parameters
    ----------
    error : BaseException
        An `OSError` or a `MemoryError`.
    """
    if isinstance(error, MemoryError):
        return options.NO_MEMORY.finding()
    if type(error).__name__ == NO_GPU_MEMORY:
        return options.NO_GPU_MEMORY.finding()
    if not isinstance(error, OSError) or error.errno not in _BY_NUMBER:
        return None
    file = _text(error.filename2 or error.filename)
    if error.errno == errno.ENOENT and not file and (refusal := _missing_folder(error)):
        return refusal.finding()
    return _BY_NUMBER[error.errno].finding(file, reason=os.strerror(error.errno))


def error_for(error: BaseException) -> PVSError | None:
    """The error of one line that stands for an error of the system; None for one of another kind.

    Its exit status is that of wrong input as long as the work has not begun.
    """
    finding = finding_of(error)
    if finding is None:
        return None
    return error_of(finding, PVSError if _Work.has_begun else InputError)


def finding_in(text: str) -> Finding | None:
    """As `finding_of`, from the text of an error, such as ``[Errno 28] No space left on device: 'a.nii'``."""
    match = _TEXT.search(text.strip())
    if match is None:
        return None
    file = (match['file'] or '')[1:-1].split("' -> '")[-1]  # of a file that was to be renamed
    return finding_of(OSError(int(match['number']), match['reason'], file or None))


def _missing_folder(error: OSError) -> Refusal | None:
    """Which folder an error is about that names no file."""
    if 'temporary directory' in str(error.strerror):
        return options.NO_TEMPORARY_FOLDER
    try:
        os.getcwd()
    except FileNotFoundError:
        return options.NO_CURRENT_FOLDER
    return None


def _text(file: object) -> str:
    """A path as text."""
    if file is None or isinstance(file, int):
        return ''
    return os.fsdecode(file) if isinstance(file, bytes) else str(file)
