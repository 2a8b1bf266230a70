"""Entry point: starts the module of each command, and prints errors in one line."""

from __future__ import annotations

import difflib
import logging
import os
import select
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from ..errors import PVSError
from ..messages import options
from ..messages.message import one_line
from ..runtime import faults
from ..runtime.signals import Terminated

COMMANDS = ('train', 'predict', 'evaluate', 'calibrate', 'simulate', 'models', 'challenge')
REPORT = (
    'pvs: this is a fault of the program itself: please report it, with the lines below, at '
    'https://github.com/pvs-bidsapp/pvs-bidsapp/issues'
)


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    _set_up_streams()
    faults.forget_work()
    _set_matplotlib_folder()
    # nibabel logs that it repairs a sign in the header of the template, which concerns no user
    logging.getLogger('nibabel.global').setLevel(logging.ERROR)
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a closed pipe can still be recognised
        return status
    except PVSError as error:
        return _say(error)
    except (KeyboardInterrupt, Terminated) as error:
        by_sigterm = isinstance(error, Terminated)
        how = 'ended by SIGTERM' if by_sigterm else 'interrupted'
        print(f'pvs: {how}; run the same command again to go on', file=sys.stderr)
        return 143 if by_sigterm else 130
    except BrokenPipeError:
        if not _reader_has_gone():
            raise  # a pipe between processes of the program
        # "pvs models | head": the reader has closed the pipe
        _drop_output()
        return 141  # as if SIGPIPE had ended the program: the work may be incomplete
    except Exception as error:
        known = faults.error_for(error)
        if known is None:
            print(REPORT, file=sys.stderr)
            raise
        return _say(known)


def _run(arguments: list[str]) -> int:
    """Run the command that the first argument names, else the BIDS-App."""
    name = 'app'
    if arguments and arguments[0] in COMMANDS:
        name = arguments.pop(0)
    elif arguments and not Path(arguments[0]).exists():
        near = difflib.get_close_matches(arguments[0], COMMANDS, 1, cutoff=0.7)
        if near:
            raise options.COMMAND.error(arguments[0], nearest=near[0])
    return import_module(f'.{name}', __package__).main(arguments)


def _say(error: PVSError) -> int:
    """Print an error in one line; returns its exit status."""
    print(f'pvs: error: {one_line(str(error))}', file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # the output is on a full disk: Python would complain again when it exits
        _drop_output()
    return error.exit_status


def _set_up_streams() -> None:
    """Let everything be printed, to whatever the program was started with.

    A stream that is closed is replaced, or the next file to be opened would take its place. Characters that
    the terminal has not become escape sequences.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, 'w')
    sys.stderr = sys.stderr or open(os.devnull, 'w')
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')


def _drop_output() -> None:
    """Send what is still to be printed nowhere: Python prints it when it exits, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reader_has_gone() -> bool:
    """Whether our output is a pipe that nobody reads any more."""
    output = select.poll()
    output.register(sys.stdout, 0)  # errors are reported without being registered
    return bool(output.poll(0))


def _set_matplotlib_folder() -> None:
    """Give matplotlib a folder for its cache where the home cannot be written to; it would warn otherwise."""
    home = os.path.expanduser('~')
    if 'MPLCONFIGDIR' in os.environ or os.access(home, os.W_OK):
        return
    try:
        folder = tempfile.gettempdir()
    except OSError:  # said where a temporary file is needed
        return
    os.environ['MPLCONFIGDIR'] = os.path.join(folder, f'matplotlib-{os.getuid()}')


if __name__ == '__main__':
    sys.exit(main())
