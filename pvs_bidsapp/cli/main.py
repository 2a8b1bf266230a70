"""Entry point: starts the module of each command, and prints errors in one line."""

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
    _set_matplotlib_folder()
    # nibabel logs that it repairs a sign in the header of the template, which concerns no user
    logging.getLogger('nibabel.global').setLevel(logging.ERROR)
    try:
        status = import_module(f'.{name}', __package__).main(arguments)
        sys.stdout.flush()  # here, where a closed pipe can still be recognised
        return status
    except PVSError as error:
        print(f'pvs: error: {error}', file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print('pvs: interrupted; run the same command again to go on', file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _reader_has_gone():
            raise  # a pipe between processes of the program
        # "pvs models | head": the reader has closed the pipe
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or Python would complain when it exits
        return 141  # as if SIGPIPE had ended the program: the work may be incomplete


def _reader_has_gone() -> bool:
    """Whether our output is a pipe that nobody reads any more."""
    output = select.poll()
    output.register(sys.stdout, 0)  # errors are reported without being registered
    return bool(output.poll(0))


def _set_matplotlib_folder() -> None:
    """Give matplotlib a folder for its cache where the home cannot be written to; it would warn otherwise."""
    home = os.path.expanduser('~')
    if 'MPLCONFIGDIR' not in os.environ and not os.access(home, os.W_OK):
        os.environ['MPLCONFIGDIR'] = os.path.join(tempfile.gettempdir(), f'matplotlib-{os.getuid()}')


if __name__ == '__main__':
    sys.exit(main())
