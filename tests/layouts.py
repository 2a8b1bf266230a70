"""Datasets whose images are small files with a text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def put(root: Path, *names: str, content: bytes = b'image') -> Path:
    """Make files; returns the root."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def names(scans: Iterable) -> list[str]:
    """Names of the T1w files."""
    return [scan.t1w.name for scan in scans]
