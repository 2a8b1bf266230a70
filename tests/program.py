"""The program, as a user starts it."""

from __future__ import annotations

import shutil
import subprocess
import sys
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
