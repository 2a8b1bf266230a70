"""Permutation tests of the terms of linear models, with all other terms held."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Permutations of a test, at most and at least, and people times permutations, which decides between them.
MOST, FEWEST, _WORK = 5000, 999, 5_000_000
#: Seed of the permutations, so that a second call gives the same p-values.
SEED = 0
#: Numbers that are held at a time.
_HELD = 2_000_000


def number_of_permutations(people: int) -> int:
    """How many permutations a test of so many people makes.

    Parameters
    ----------
    people : int
    """
    return int(np.clip(_WORK // max(people, 1), FEWEST, MOST))


def freedman_lane(outcomes: np.ndarray, matrix: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """P-values of terms of a linear model by permutation of the residuals of the model without the term.

    The statistic is the squared t of the term. Without other terms than the intercept, this is the plain
    permutation test. Of continuous outcomes, errors have to be exchangeable: of one variance.

    Parameters
    ----------
    outcomes : ndarray, shape (people, outcomes)
        Finite values.
    matrix : ndarray, shape (people, terms)
        Design matrix of full rank, with fewer terms than people.
    columns : sequence of int
        The terms that are tested.

    Returns
    -------
    p : ndarray, shape (len(columns), outcomes)
        In (0, 1]; never less than 1 by the number of permutations and 1. NaN for constant outcomes.

    References
    ----------
    Freedman & Lane 1983, doi:10.1080/07350015.1983.10509354; Winkler et al. 2014,
    doi:10.1016/j.neuroimage.2014.01.060; Phipson & Smyth 2010, doi:10.2202/1544-6115.1585 (why 1 is added).
    """
    people, number = outcomes.shape
    whole, _ = np.linalg.qr(matrix)
    reduced = [
        _residuals(np.delete(matrix, k, axis=1), np.column_stack([matrix[:, k], outcomes])) for k in columns
    ]
    directions = np.column_stack([r[:, 0] / np.linalg.norm(r[:, 0]) for r in reduced])
    errors = np.stack([r[:, 1:] for r in reduced])  # term, person, outcome
    # a permuted residual keeps its length, and the model's space is spanned by `whole`
    basis = np.column_stack([whole, directions])
    length = (errors**2).sum(1)
    is_constant = length <= 1e-20 * np.maximum((outcomes**2).sum(0), 1e-300)
    rng = np.random.default_rng(SEED)
    total = number_of_permutations(people)
    step = max(1, _HELD // (basis.size + len(columns) * number * basis.shape[1]))
    rows = np.ascontiguousarray(basis.T)
    observed = _statistics(rows[:, None], errors, length)[0]
    reached = np.zeros((len(columns), number))
    for start in range(0, total, step):
        orders = rng.permuted(np.tile(np.arange(people), (min(step, total - start), 1)), axis=1)
        reached += (_statistics(rows[:, orders], errors, length) >= observed * (1 - 1e-9)).sum(0)
    return np.where(is_constant, np.nan, (1 + reached) / (1 + total))


def _residuals(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    if not matrix.shape[1]:
        return values
    basis, _ = np.linalg.qr(matrix)
    return values - basis @ (basis.T @ values)


def _statistics(basis: np.ndarray, errors: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Squared t of each term, by the degrees of freedom, for each order of the people.

    Parameters
    ----------
    basis : ndarray, shape (terms of the model + tested terms, orders, people)
    errors : ndarray, shape (tested terms, people, outcomes)
    length : ndarray, shape (tested terms, outcomes)
        Squared length of the errors.

    Returns
    -------
    statistics : ndarray, shape (orders, tested terms, outcomes)
    """
    tested, people, number = errors.shape
    flat = errors.transpose(1, 0, 2).reshape(people, -1)
    # one product of two matrices: many small ones take a hundred times as long
    shares = (basis.reshape(-1, people) @ flat).reshape(*basis.shape[:2], tested, number)
    terms = len(basis) - tested
    left = length - (shares[:terms] ** 2).sum(0)
    explained = shares[terms + np.arange(tested), :, np.arange(tested)].transpose(1, 0, 2) ** 2
    return explained / np.maximum(left, 1e-12 * np.maximum(length, 1e-300))
