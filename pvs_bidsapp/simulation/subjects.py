"""Who is simulated: a reproducible plan of subjects. Writing it is the workflow's task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Seed of each named suite, so that a suite is the same heads everywhere.
SUITE_SEEDS = {'easy': 2021, 'hard': 2022, 'shift': 2023, 'mixed': 1, 'training': 301}
#: Natural logarithm of one plus the number of white matter spaces: mean and standard deviation
#: over simulated adults, about which the rater's four grades are cut.
LOG_COUNT = (4.1, 0.95)
GRADE_CUTS = (-0.8, 0.0, 0.8)


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
        Years at the first session.
    sex : str
        ``F`` or ``M``.
    site : int or None
        Number of the site; None where each subject has a scanner of its own.
    seed : tuple of int
        Seed of everything random in this head.
    """

    label: str
    anatomy: Path | None
    age: float
    sex: str
    site: int | None
    seed: tuple[int, ...]

    def rng(self, *stream: int) -> np.random.Generator:
        """A generator for one part of the subject: the person, or the scan of a session."""
        return np.random.default_rng([*self.seed, *stream])


def plan(number: int, anatomies: Sequence[Path], seed: int, first: int = 1, sites: int = 0) -> list[Subject]:
    """Subjects `first` to `first + number - 1`, the anatomies and sites taken in turn.

    Each subject depends on the seed and its own number alone: more subjects can be added later
    without changing the earlier ones.
    """
    subjects = []
    for k in range(first, first + number):
        rng = np.random.default_rng([seed, k, 0])
        source = anatomies[(k - 1) % len(anatomies)] if anatomies else None
        age = float(np.round(rng.uniform(20, 88), 1))
        sex = 'FM'[int(rng.integers(2))]
        site = int(rng.integers(sites)) + 1 if sites else None
        subjects.append(Subject(f'{k:04d}', source, age, sex, site, (seed, k, 1)))
    return subjects


def rate(count: int, reliability: float, rng: np.random.Generator) -> int:
    """Grade 0 to 3 that a rater gives to a number of white matter spaces.

    Parameters
    ----------
    count : int
    reliability : float
        Correlation of what the rater sees with the logarithm of the count, 0 to 1.
    """
    mean, deviation = LOG_COUNT
    seen = reliability * (np.log1p(count) - mean) / deviation
    seen += np.sqrt(1 - reliability**2) * rng.normal()
    return int(np.searchsorted(GRADE_CUTS, seen))
