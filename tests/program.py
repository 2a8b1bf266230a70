"""The program, as a user starts it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pvs_bidsapp.cli.main import main
from pvs_bidsapp.runtime import faults

RUN = [sys.executable, str(Path(__file__).resolve().parents[1] / 'run.py')]


def name_segmentations(labels: Path) -> None:
    """Give the label maps of simulated heads the name under which ``-d`` finds a ready-made segmentation."""
    for path in labels.rglob('*_seg-aseg_dseg.nii.gz'):
        shutil.copy(path, path.with_name(path.name.replace('_seg-aseg_', '_desc-aseg_')))


def pvs(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``pvs`` with these arguments to its end; `options` are those of `subprocess.run`."""
    return subprocess.run([*RUN, *map(str, arguments)], capture_output=True, text=True, **options)


def pvs_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``pvs`` in the process of the tests, whose libraries are imported once.

    For tests that are about what is printed and written, not about the process.
    """
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding='utf-8', write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), _as_at_the_start():
        try:
            status = main([*map(str, arguments)])
        except SystemExit as end:  # of argparse
            status = end.code or 0
        except Exception:
            traceback.print_exc()
            status = 1
    texts = (stream.buffer.getvalue().decode() for stream in (output, errors))
    return subprocess.CompletedProcess([*RUN, *map(str, arguments)], status, *texts)


@contextlib.contextmanager
def _as_at_the_start() -> Iterator[None]:
    """Let the program set up its own logging; what it has set is then what it was."""
    root, environment = logging.getLogger(), dict(os.environ)
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
        os.environ.clear()
        os.environ.update(environment)
        faults.forget_work()


#: Runs a command and writes its peak memory in kB into a file. Linux counts the memory of the process that
#: starts a command as the command's own, and that of the tests is large: a small one stands between them.
_MEASURE = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""


def pvs_measured(*arguments: object) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run ``pvs`` to its end; also returns the peak of its memory in GB."""
    with tempfile.NamedTemporaryFile('r') as peak:
        command = [sys.executable, '-c', _MEASURE, peak.name, *RUN, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done, int(peak.read()) / 1e6
