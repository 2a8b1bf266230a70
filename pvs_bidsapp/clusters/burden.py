"""What the probabilities say of a mask: how many spaces there are, of what volume, and how good the mask is.

A mask holds what reaches the threshold. Where noise hides spaces, it holds too little, and its number says
nothing of how far it may be off. The sums of the probabilities are an estimate of their own: a voxel that is
a space in one of three cases counts a third. How far such sums are off is seen on scans with reference masks.
An interval about them holds as large a share of new scans as of those, if the new ones are like those
(conformal prediction: Papadopoulos 2008, doi:10.5772/6078; Lei et al. 2018,
doi:10.1080/01621459.2017.1307116).

The same sums tell by how much the mask should agree with the spaces, before anybody has traced them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cc3d
import numpy as np

#: Of the clusters that may be spaces: the probability that one of their voxels has at least.
CANDIDATE = 0.1
#: Voxels with less are left out of expected volumes: a network gives a little to every voxel, which over a
#: whole brain is as much as the spaces of a person with few.
FAINTEST = 0.05
#: Share of new scans whose truth the intervals are meant to hold. Scans that hide most of their spaces decide
#: the ends of wider ones, which would then say little of all others.
COVERAGE = 0.9
#: Added to expected and true values before their ratio is taken: one space, and a volume of a small one in
#: mm3. Without it, no probability anywhere would be certainty.
UNITS = {'count': 1.0, 'volume': 5.0}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a number, or a volume, follows from the sum of probabilities.

    With a sum s, the expected value is e = `scale` s. The ends of the interval are `low` (e + u) - u and
    `high` (e + u) - u, with u as `UNITS`.

    Attributes
    ----------
    scale : float
    low, high : float
        Factors.
    """

    scale: float
    low: float
    high: float

    def interval(self, sums: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expected values with the ends of their intervals.

        Parameters
        ----------
        sums : ndarray of float
        unit : float
            Of `UNITS`.

        Returns
        -------
        expected, low, high : ndarray of float
            None below 0.
        """
        expected = self.scale * np.asarray(sums, float)
        low, high = (np.maximum(factor * (expected + unit) - unit, 0) for factor in (self.low, self.high))
        return expected, low, high


@dataclass(frozen=True, kw_only=True)
class Burden:
    """The calibrations of a model.

    Attributes
    ----------
    count, volume : Calibration
    n_scans : int
        Scans with reference masks that they come from.
    """

    count: Calibration
    volume: Calibration
    n_scans: int

    def entry(self) -> dict[str, object]:
        """The entry ``burden`` of a model's card."""
        return asdict(self)

    @classmethod
    def from_entry(cls, entry: dict[str, object]) -> Burden:
        """The calibrations in a card.

        Parameters
        ----------
        entry : dict
            As `entry` gives it.
        """
        parts = {name: Calibration(**entry[name]) for name in UNITS}  # type: ignore[arg-type]
        return cls(n_scans=int(str(entry['n_scans'])), **parts)


def sum_probabilities(
    probability: np.ndarray, clusters: np.ndarray, regions: np.ndarray, voxel_volume: float
) -> dict[str, np.ndarray]:
    """Sums of the probabilities by region.

    For the volume, all voxels of `FAINTEST` and more are summed. For the number, each cluster of the mask
    counts with its largest probability, and so does each group of voxels (26-connected) of `CANDIDATE` and
    more without a cluster. A group belongs to the region of most of its voxels.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
        0 outside the regions.
    clusters : ndarray of int, shape (x, y, z)
        Numbered clusters of the mask.
    regions : ndarray of int, shape (x, y, z)
        Region map with indices up to 255.
    voxel_volume : float
        In mm3.

    Returns
    -------
    sums : dict of str to ndarray of float, shape (256,)
        ``count`` (spaces) and ``volume`` (mm3) by the index of the region.
    """
    inside = regions > 0
    summed = inside & (probability >= FAINTEST)
    volume = np.bincount(regions[summed].astype(int), probability[summed], minlength=256) * voxel_volume
    candidates, number = cc3d.connected_components(
        inside & (probability >= CANDIDATE), connectivity=26, return_N=True
    )
    is_taken = np.zeros(number + 1, bool)
    is_taken[np.unique(candidates[clusters > 0])] = True
    rest = np.where(is_taken[candidates], 0, candidates)
    count = np.zeros(256)
    for labels in (clusters, rest):
        at = (labels > 0) & inside
        peak, owner = _peaks(labels[at].astype(int), probability[at], regions[at].astype(int))
        count += np.bincount(owner, peak, minlength=256)
    return {'count': count, 'volume': volume}


def expected_dice(probability: np.ndarray, clusters: np.ndarray, regions: np.ndarray) -> float:
    """Dice coefficient that the probabilities expect of the mask with the spaces that are there.

    Twice the expected number of right voxels, over the number of voxels of the mask and the expected number
    of all voxels of spaces: the ratio of the expected values, which for thousands of voxels is the expected
    ratio (Lipton et al. 2014, doi:10.1007/978-3-662-44851-9_15). As good as the probabilities are.

    Parameters
    ----------
    probability : ndarray of float, shape (x, y, z)
    clusters : ndarray of int, shape (x, y, z)
        Numbered clusters of the mask.
    regions : ndarray of int, shape (x, y, z)
        Region map that holds all clusters. Outside of them, and below `FAINTEST`, no space is expected.

    Returns
    -------
    dice : float
        In [0, 1]; NaN without a cluster.
    """
    mask = clusters > 0
    if not mask.any():
        return float('nan')
    counted = mask | ((regions > 0) & (probability >= FAINTEST))
    right, spaces = (float(probability[voxels].sum(dtype=np.float64)) for voxels in (mask, counted))
    return 2 * right / (float(mask.sum()) + spaces)


def _peaks(labels: np.ndarray, probability: np.ndarray, regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest probability of each group of voxels, and the region of most of them."""
    if not labels.size:
        return np.zeros(0), np.zeros(0, int)
    names, group = np.unique(labels, return_inverse=True)
    peak = np.zeros(len(names))
    np.maximum.at(peak, group, probability)
    return peak, owners(group, regions, len(names))


def owners(groups: np.ndarray, regions: np.ndarray, number: int) -> np.ndarray:
    """The region of most voxels of each group; the one with the lower index in a tie.

    Parameters
    ----------
    groups, regions : ndarray of int, shape (n,)
        Group, from 0, and index of the region, up to 255, of each voxel.
    number : int
        Of groups.

    Returns
    -------
    regions : ndarray of int, shape (number,)
        0 for a group without voxels.
    """
    shares = np.zeros((number, 256), int)
    np.add.at(shares, (groups, regions), 1)
    return shares.argmax(1)


def cluster_owners(clusters: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The region that each cluster belongs to, as in the cluster table.

    Parameters
    ----------
    clusters : ndarray of int, shape (x, y, z)
        Numbered from 1; 0 elsewhere.
    regions : ndarray of int, shape (x, y, z)
        Indices of regions, up to 255.

    Returns
    -------
    owners : ndarray of int, shape (n + 1,)
        Index of the region by the number of the cluster; 0 for number 0.
    """
    inside = clusters > 0
    number = int(clusters.max(initial=0))
    return np.concatenate([[0], owners(clusters[inside] - 1, regions[inside], number)])


def fit(
    sums: Sequence[np.ndarray], truth: Sequence[np.ndarray], unit: float, coverage: float = COVERAGE
) -> Calibration:
    """Fit a calibration to scans with reference masks.

    With the scale, half of the totals are above what is expected. The factors are quantiles of the ratios of
    true and expected values, over the totals and over all rows, the wider of the two, with the correction
    for a finite number of scans of conformal prediction.

    Parameters
    ----------
    sums, truth : sequence of ndarray of float
        One per scan, equally long: the total first, then by region.
    unit : float
        Of `UNITS`.
    coverage : float
        Share of the scans that the interval is to hold.

    Returns
    -------
    calibration : Calibration
    """
    s, y = np.stack(list(sums)), np.stack(list(truth))
    scale = float(np.median(np.maximum(y[:, 0], unit) / np.maximum(s[:, 0], unit)))
    ratios = (y + unit) / (scale * s + unit)
    ends = [_quantiles(part, coverage) for part in (ratios[:, 0], ratios.ravel())]
    # the expected value itself is always inside
    low, high = min(1.0, *(end[0] for end in ends)), max(1.0, *(end[1] for end in ends))
    return Calibration(scale=scale, low=low, high=high)


def _quantiles(ratios: np.ndarray, coverage: float) -> tuple[float, float]:
    """Quantiles between which the wanted share lies."""
    ordered = np.sort(ratios)
    # but for rounding, 0.05 of 40 is 2
    outside = max(0, int((1 - coverage) / 2 * (len(ordered) + 1) + 1e-9) - 1)
    return float(ordered[outside]), float(ordered[-1 - outside])
