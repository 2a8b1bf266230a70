"""Splits of persons: all scans of a person are on the same side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..messages import training


@dataclass(frozen=True)
class Split:
    """Persons to train on, to validate on (stopping, threshold) and to test on.

    Attributes
    ----------
    training, validation, test : tuple of str
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()


def hold_out(persons: Sequence[str], fraction: float, seed: int) -> Split:
    """Make one split without test persons.

    Parameters
    ----------
    persons : sequence of str
        May repeat.
    fraction : float
        Fraction of the persons that are kept for validation, in [0, 1). A single person is trained on.
    seed : int
        Seed of the order of the persons.
    """
    order = _shuffled(persons, seed)
    number = min(round(fraction * len(order)), len(order) - 1)
    if fraction > 0 and len(order) > 1:
        number = max(number, 1)
    return Split(tuple(order[number:]), tuple(order[:number]))


def folds(
    persons: Sequence[str], number: int, seed: int, *, test: float | None = None, validation: float = 0.1
) -> list[Split]:
    """Make the splits of a cross-validation.

    Parameters
    ----------
    persons : sequence of str
        May repeat.
    number : int
        Number of folds.
    seed : int
        Seed of the order of the persons.
    test : float, optional
        Fraction of the persons to test on; by default one over the number of folds, so that each person
        is tested on once. Chai et al. take 0.1 in five folds (8:1:1).
    validation : float
        Fraction of all persons to validate on.

    Raises
    ------
    InputError
        If there are too few persons.
    """
    order = _shuffled(persons, seed)
    n = len(order)
    if number < 2 or n < max(number, 3):
        raise training.FEW_PERSONS.error(f'--folds {number}', needed=max(number, 3), number=n)
    splits = []
    for k in range(number):
        start = round(k * n / number)
        size = round((k + 1) * n / number) - start if test is None else max(1, round(test * n))
        size = min(size, n - 2)  # one person to train on, and one to validate on
        rotated = order[start:] + order[:start]
        held = min(max(1, round(validation * n)), n - size - 1)
        splits.append(
            Split(tuple(rotated[size + held :]), tuple(rotated[size : size + held]), tuple(rotated[:size]))
        )
    return splits


def _shuffled(persons: Sequence[str], seed: int) -> list[str]:
    unique = sorted(set(persons))
    return [unique[k] for k in np.random.default_rng(seed).permutation(len(unique))]
