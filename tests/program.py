"""The program, as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

RUN = [sys.executable, str(Path(__file__).resolve().parents[1] / 'run.py')]


def pvs(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``pvs`` with these arguments to its end; `options` are those of `subprocess.run`."""
    return subprocess.run([*RUN, *map(str, arguments)], capture_output=True, text=True, **options)
