"""The program, as a user starts it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RUN = [sys.executable, str(Path(__file__).resolve().parents[1] / 'run.py')]


def name_segmentations(labels: Path) -> None:
    """Give the label maps of simulated heads the name under which ``-d`` finds a ready-made segmentation."""
    for path in labels.rglob('*_seg-aseg_dseg.nii.gz'):
        shutil.copy(path, path.with_name(path.name.replace('_seg-aseg_', '_desc-aseg_')))


def pvs(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``pvs`` with these arguments to its end; `options` are those of `subprocess.run`."""
    return subprocess.run([*RUN, *map(str, arguments)], capture_output=True, text=True, **options)


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
