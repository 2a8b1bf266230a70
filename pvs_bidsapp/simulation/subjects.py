"""The subjects of a simulated dataset: anatomy, age, sex, site and random seed of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Default seed of each suite: a suite has the same heads everywhere.
SUITE_SEEDS = {'easy': 2021, 'hard': 2022, 'shift': 2023, 'dense': 2024, 'mixed': 1, 'training': 301}
#: Mean and standard deviation over simulated adults of log(1 + number of white matter PVS).
LOG_COUNT = (4.1, 0.95)
#: Limits between the four grades of the simulated rater, in standard deviations.
GRADE_CUTS = (-0.8, 0.0, 0.8)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One subject to simulate.

    Attributes
    ----------
    label : str
        BIDS label, without ``sub-``.
    anatomy : Path or None
        A label map; None: the bundled template.
    age : float
        Age at the first session, in years.
    sex : str
        ``F`` or ``M``.
    site : int or None
        Number of the site; None: the subject has a scanner of its own.
    seed : tuple of int
        Seed of all random numbers of this subject.
    """

    label: str
    anatomy: Path | None
    age: float
    sex: str
    site: int | None
    seed: tuple[int, ...]

    def rng(self, *stream: int) -> np.random.Generator:
        """A random number generator for one part of the subject, for example the scan of one session.

        Parameters
        ----------
        *stream : int
            Number of the part; each part has random numbers of its own.
        """
        return np.random.default_rng([*self.seed, *stream])


def plan(number: int, anatomies: Sequence[Path], seed: int, first: int = 1, sites: int = 0) -> list[Subject]:
    """Plan the subjects `first` to `first + number - 1`.

    Each subject depends only on the seed and its own number, so subjects can be added later without changing
    the earlier ones.

    Parameters
    ----------
    number : int
        Number of subjects.
    anatomies : sequence of Path
        Label maps, assigned to the subjects cyclically; none: the bundled template.
    seed : int
        Seed of the dataset.
    first : int
        Number of the first subject.
    sites : int
        Number of sites, assigned at random; 0: each subject has a scanner of its own.
    """
    subjects = []
    for k in range(first, first + number):
        rng = np.random.default_rng([seed, k, 0])
        source = anatomies[(k - 1) % len(anatomies)] if anatomies else None
        age = float(np.round(rng.uniform(20, 88), 1))
        sex = 'FM'[int(rng.integers(2))]
        site = int(rng.integers(sites)) + 1 if sites else None
        subjects.append(
            Subject(label=f'{k:04d}', anatomy=source, age=age, sex=sex, site=site, seed=(seed, k, 1))
        )
    return subjects


def rate(count: int, reliability: float, rng: np.random.Generator) -> int:
    """Visual grade that a simulated rater assigns to a number of white matter PVS.

    Parameters
    ----------
    count : int
        Number of white matter PVS.
    reliability : float
        Correlation of the rater's impression with the logarithm of the count, in [0, 1].
    rng : numpy.random.Generator

    Returns
    -------
    grade : int
        0 to 3.
    """
    mean, deviation = LOG_COUNT
    impression = reliability * (np.log1p(count) - mean) / deviation
    impression += np.sqrt(1 - reliability**2) * rng.normal()
    return int(np.searchsorted(GRADE_CUTS, impression))
