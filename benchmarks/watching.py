"""What the benchmarks see of a program that runs: processor time and memory of all its processes (Linux)."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

_TICKS = os.sysconf('SC_CLK_TCK')


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
