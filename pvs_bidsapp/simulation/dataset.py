"""Who is simulated: a reproducible plan of subjects. Writing it is the workflow's task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Subject:
    """One subject to simulate.

    Attributes
    ----------
    label : str
        BIDS label, without ``sub-``.
    anatomy : Path or None
        A label map; None stands for the bundled template.
    age : float
        Years.
    sex : str
        ``F`` or ``M``.
    seed : tuple of int
        Seed of everything random in this head.
    """

    label: str
    anatomy: Path | None
    age: float
    sex: str
    seed: tuple[int, ...]


def plan(number: int, anatomies: Sequence[Path], seed: int, first: int = 1) -> list[Subject]:
    """Subjects `first` to `first + number - 1`, the anatomies taken in turn.

    Each subject depends on the seed and its own number alone: more subjects can be added later
    without changing the earlier ones.
    """
    subjects = []
    for k in range(first, first + number):
        rng = np.random.default_rng([seed, k, 0])
        source = anatomies[(k - 1) % len(anatomies)] if anatomies else None
        age = float(np.round(rng.uniform(20, 88), 1))
        subjects.append(Subject(f'{k:04d}', source, age, 'FM'[int(rng.integers(2))], (seed, k, 1)))
    return subjects
