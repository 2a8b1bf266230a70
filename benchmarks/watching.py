"""The program as the benchmarks run it; processor time and memory of all its processes (Linux)."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

#: The program of this repository.
RUN = [sys.executable, str(Path(__file__).resolve().parents[1] / 'run.py')]
_TICKS = os.sysconf('SC_CLK_TCK')


def run(*arguments: object) -> None:
    """Run the program to its end; a scan that fails is told by it, and ends nothing."""
    done = subprocess.run([*RUN, *map(str, arguments)])
    if done.returncode not in (0, 1):
        sys.exit(f'{arguments}: exit status {done.returncode}')


def processes(leader: int) -> list[int]:
    """Living processes of the group that a program leads."""
    found = []
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            fields = _fields(int(entry.name))
            if fields and int(fields[2]) == leader:
                found.append(int(entry.name))
    return found


def cpu_seconds(leader: int) -> float:
    """Processor time that the processes of a group have used, and those that they have waited for."""
    fields = [_fields(pid) for pid in processes(leader)]
    return sum(int(value) for each in fields if each for value in each[11:15]) / _TICKS


def memory(leader: int) -> int:
    """Proportional set size of the processes of a group in bytes: shared pages count once."""
    total = 0
    for pid in processes(leader):
        try:
            text = Path(f'/proc/{pid}/smaps_rollup').read_text(encoding='ascii')
        except OSError:  # has just ended
            continue
        if (match := re.search(r'^Pss:\s+(\d+)', text, re.MULTILINE)) is not None:
            total += 1024 * int(match[1])
    return total


def folder_size(folder: Path) -> int:
    """Bytes of the files below a folder, some of which may vanish meanwhile."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total


def _fields(pid: int) -> list[str] | None:
    """Fields of a process's state from the third on; None if it has ended."""
    try:
        text = Path(f'/proc/{pid}/stat').read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None
    return text.rpartition(')')[2].split()


def parse_with_options(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, list[str]]:
    """A script's own arguments, and those after ``--``, which are options of ``participant``."""
    given = sys.argv[1:]
    end = given.index('--') if '--' in given else len(given)
    return parser.parse_args(given[:end]), given[end + 1 :]
