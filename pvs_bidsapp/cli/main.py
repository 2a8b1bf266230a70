"""Entry point: sends each command to its module, and tells errors in one line."""

from __future__ import annotations

import logging
import os
import select
import sys
import tempfile
from importlib import import_module

from ..errors import PVSError

COMMANDS = ('train', 'predict', 'evaluate', 'simulate', 'models')


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments.pop(0) if arguments and arguments[0] in COMMANDS else 'app'
    _house_matplotlib()
    # the template's header lacks a sign that nibabel then puts in: of no interest to anyone
    logging.getLogger('nibabel.global').setLevel(logging.ERROR)
    try:
        status = import_module(f'.{name}', __package__).main(arguments)
        sys.stdout.flush()  # here, where a closed pipe is still told apart
        return status
    except PVSError as error:
        print(f'pvs: error: {error}', file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print('pvs: interrupted; run the same command again to go on', file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _reader_has_gone():
            raise  # a pipe between our own processes
        # "pvs models | head": who reads has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        return 141  # as of a program that SIGPIPE ends: the work may not be whole


def _reader_has_gone() -> bool:
    """Whether our output is a pipe that nobody reads any more."""
    output = select.poll()
    output.register(sys.stdout, 0)  # an error is told unasked
    return bool(output.poll(0))


def _house_matplotlib() -> None:
    """Give matplotlib a place for its cache where there is no home to write to: it would complain else."""
    home = os.path.expanduser('~')
    if 'MPLCONFIGDIR' not in os.environ and not os.access(home, os.W_OK):
        os.environ['MPLCONFIGDIR'] = os.path.join(tempfile.gettempdir(), f'matplotlib-{os.getuid()}')


if __name__ == '__main__':
    sys.exit(main())
