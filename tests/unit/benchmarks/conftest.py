"""Scripts of the folder ``benchmarks``, imported as they are when they run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / 'benchmarks'


@contextmanager
def _script(name: str) -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))  # the scripts import one another
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope='session')
def script():
    """A context in which a script of this name can be used."""
    return _script
