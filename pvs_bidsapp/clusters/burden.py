"""How many spaces there are, and how much volume they have, by the probabilities, with an interval.

A mask holds what reaches the threshold. Where noise hides spaces, it holds too little, and its number says
nothing of how far it may be off. The sums of the probabilities are an estimate of their own: a voxel that is
a space in one of three cases counts a third. How far such sums are off is seen on scans with reference masks.
An interval about them holds as large a share of new scans as of those, if the new ones are like those
(conformal prediction: Papadopoulos 2008, doi:10.5772/6078; Lei et al. 2018,
doi:10.1080/01621459.2017.1307116).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import cc3d
import numpy as np
from scipy.optimize import minimize

#: Of the clusters that may be spaces: the probability that one of their voxels has at least.
CANDIDATE = 0.1
#: Voxels with less are left out of expected volumes: a network gives a little to every voxel, which over a
#: whole brain is as much as the spaces of a person with few.
FAINTEST = 0.05
#: What the intervals are meant to hold.
COVERAGE = 0.95
#: Added to an expected value in its variance: one space, and a volume of a small one in mm3. Without it, no
#: probability anywhere would be certainty.
UNITS = {'count': 1.0, 'volume': 5.0}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a number, or a volume, follows from the sum of probabilities.

    With a sum s, the expected value is e = `scale` s, and the variance of what is true is ``variance (e + u)
    + (spread e)^2``, with u as `UNITS`: a part that is proportional to the expected value, as of spaces that
    are found or missed each by itself, and one of what all of a scan's spaces have in common.

    Attributes
    ----------
    scale : float
    variance : float
        In spaces, or in mm3.
    spread : float
        Relative.
    low, high : float
        Ends of the interval in standard deviations from the expected value.
    """

    scale: float
    variance: float
    spread: float
    low: float
    high: float

    def deviation(self, expected: np.ndarray, unit: float) -> np.ndarray:
        """Standard deviation of the true about the expected values.

        Parameters
        ----------
        expected : ndarray of float
        unit : float
            Of `UNITS`.
        """
        return np.sqrt(self.variance * (expected + unit) + (self.spread * expected) ** 2)

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
        deviation = self.deviation(expected, unit)
        low, high = (np.maximum(expected + end * deviation, 0) for end in (self.low, self.high))
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


def fit(
    sums: Sequence[np.ndarray], truth: Sequence[np.ndarray], unit: float, coverage: float = COVERAGE
) -> Calibration:
    """Fit a calibration to scans with reference masks.

    Scale and variances are those under which the truth is likeliest (normal distribution); the ends of the
    interval are quantiles of the standardised differences, over the totals and over all rows, the wider
    of the two, with the correction for a finite number of scans of conformal prediction.

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
    s, y = np.concatenate(list(sums)), np.concatenate(list(truth))
    ratio = max(float(y.sum()), unit) / max(float(s.sum()), unit)

    def loss(log: np.ndarray) -> float:
        tried = _without_ends(log)
        expected = tried.scale * s
        deviation = tried.deviation(expected, unit)
        return float((np.log(deviation) + 0.5 * ((y - expected) / deviation) ** 2).mean())

    bounds = np.log([(ratio / 20, ratio * 20), (1e-3 * unit, 1e3 * unit), (1e-3, 10)])
    start = np.log([ratio, unit, 0.2])
    best = minimize(loss, start, method='Nelder-Mead', bounds=bounds, options={'maxiter': 2000})
    fitted = _without_ends(best.x)
    totals = np.array([row[0] for row in sums]), np.array([row[0] for row in truth])
    ends = [_quantiles(fitted, unit, x, true, coverage) for x, true in (totals, (s, y))]
    return replace(fitted, low=min(end[0] for end in ends), high=max(end[1] for end in ends))


def _without_ends(log: np.ndarray) -> Calibration:
    """The calibration of the logarithms of scale, variance and spread."""
    scale, variance, spread = (float(value) for value in np.exp(log))
    return Calibration(scale=scale, variance=variance, spread=spread, low=0, high=0)


def _quantiles(
    fitted: Calibration, unit: float, sums: np.ndarray, truth: np.ndarray, coverage: float
) -> tuple[float, float]:
    """Quantiles of the standardised differences between which the wanted share lies."""
    expected = fitted.scale * sums
    z = np.sort((truth - expected) / fitted.deviation(expected, unit))
    outside = max(0, int((1 - coverage) / 2 * (len(z) + 1)) - 1)
    return float(z[outside]), float(z[-1 - outside])
