"""Numbers and volumes of scans of different quality on one scale.

Noise hides spaces, and so do large voxels: of the same person, a scan with twice the noise shows half of
them. How many are hidden follows a power law over the range of usual scans, whose exponents are measured on
the same people scanned on several scanners. Multiplied by the inverse of that law, a number or volume becomes
what a scan of the reference quality would show of this person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

#: Reference quality: noise by the contrast of white matter to CSF, and volume of a voxel in mm3.
REFERENCE_NOISE, REFERENCE_VOXEL = 0.04, 1.0
#: Between these the law was measured; what lies beyond counts as the nearer end.
NOISE_RANGE, VOXEL_RANGE = (0.02, 0.12), (0.3, 2.0)
#: Column of each measure on the scale of the reference quality.
COLUMNS = {
    'count': 'standard_count',
    'volume_mm3': 'standard_volume_mm3',
    'count_5mm3': 'standard_count_5mm3',
    'volume_5mm3': 'standard_volume_5mm3',
}
#: Added before a logarithm is taken: one space, and the volume of a small one in mm3.
_UNITS = {'count': 1.0, 'volume_mm3': 5.0, 'count_5mm3': 1.0, 'volume_5mm3': 5.0}


@dataclass(frozen=True, kw_only=True)
class Law:
    """How a measure follows the quality of a scan: as noise ** `noise` times voxel ** `voxel`.

    Attributes
    ----------
    noise, voxel : float
        Exponents, below 0 where noise and large voxels hide spaces.
    """

    noise: float
    voxel: float

    def factor(self, noise: np.ndarray, voxel_mm3: np.ndarray) -> np.ndarray:
        """By what a measure has to be multiplied to become that of the reference quality.

        Parameters
        ----------
        noise : ndarray
            Standard deviation of the noise by the contrast of white matter to CSF, one value a scan.
        voxel_mm3 : ndarray
            Volume of a voxel.

        Returns
        -------
        factor : ndarray
            Above 0; NaN where a value is.
        """
        by_noise = np.clip(np.asarray(noise, float), *NOISE_RANGE) / REFERENCE_NOISE
        by_voxel = np.clip(np.asarray(voxel_mm3, float), *VOXEL_RANGE) / REFERENCE_VOXEL
        return np.asarray(by_noise**-self.noise * by_voxel**-self.voxel)


def laws_of(entry: Mapping[str, Mapping[str, float]]) -> dict[str, Law]:
    """The laws in the entry ``standard`` of a model's card, by measure.

    Parameters
    ----------
    entry : mapping
        Exponents of each measure of `COLUMNS`.
    """
    return {measure: Law(**exponents) for measure, exponents in entry.items()}


def entry_of(laws: Mapping[str, Law]) -> dict[str, dict[str, float]]:
    """The entry ``standard`` of a card, from which `laws_of` reads them."""
    return {measure: asdict(law) for measure, law in laws.items()}


def standardize(table: pd.DataFrame, quality: pd.DataFrame, laws: Mapping[str, Law]) -> pd.DataFrame:
    """Add the measures at the reference quality to a table.

    Parameters
    ----------
    table : DataFrame
        With a column ``scan``, and the measures of `laws`; one or more rows a scan.
    quality : DataFrame
        Indexed by scan: ``noise`` and ``voxel_mm3``.
    laws : mapping of str to Law

    Returns
    -------
    table : DataFrame
        With the columns of `COLUMNS` for the measures of `laws`; NaN where the quality is not known.
    """
    known = quality.reindex(table['scan'])
    noise, voxel = (known[name].to_numpy(float) for name in ('noise', 'voxel_mm3'))
    added: dict[str, Any] = {
        COLUMNS[measure]: table[measure].to_numpy(float) * law.factor(noise, voxel)
        for measure, law in laws.items()
    }
    return table.assign(**added)


def explain(noise: pd.Series, voxel_mm3: pd.Series) -> str:
    """What the standardised measures of a cohort are, and how many scans lie beyond what was measured.

    Parameters
    ----------
    noise, voxel_mm3 : Series
        Of all scans.
    """
    text = (
        f'Standardised numbers and volumes are those of a scan with a noise of {REFERENCE_NOISE:g} of the '
        f'contrast of white matter to CSF and voxels of {REFERENCE_VOXEL:g} mm3; how they follow noise and '
        'voxels was measured on simulated people on several scanners.'
    )
    inside = [v.between(*limits) | v.isna() for v, limits in ((noise, NOISE_RANGE), (voxel_mm3, VOXEL_RANGE))]
    number = int((~(inside[0] & inside[1])).sum())
    if not number:
        return text
    return (
        f'{text} Scans whose noise or voxels lie outside of the measured range (noise {_words(NOISE_RANGE)}, '
        f'voxels {_words(VOXEL_RANGE)} mm3), for which the nearer end is taken: {number}.'
    )


def _words(limits: tuple[float, float]) -> str:
    return f'{limits[0]:g} to {limits[1]:g}'


def fit_laws(scans: pd.DataFrame) -> dict[str, Law]:
    """Fit the exponents on people who were scanned several times.

    A linear model of the logarithms, with a constant for each person: only what differs between the scans of
    one person counts.

    Parameters
    ----------
    scans : DataFrame
        One row a scan: ``person``, ``noise``, ``voxel_mm3``, and the measures of `COLUMNS`.

    Returns
    -------
    laws : dict of str to Law
        By measure.

    Raises
    ------
    ValueError
        If the scans of no person differ in noise and in voxels.
    """
    quality = pd.DataFrame({
        'noise': np.log(scans['noise'].clip(*NOISE_RANGE)),
        'voxel': np.log(scans['voxel_mm3'].clip(*VOXEL_RANGE)),
    })  # fmt: skip
    within = quality - quality.groupby(scans['person']).transform('mean')
    if np.linalg.matrix_rank(within.to_numpy(), tol=1e-6) < 2:
        raise ValueError('the scans of each person have the same noise, or the same voxels')
    laws = {}
    for measure in COLUMNS:
        logs = np.log(scans[measure] + _UNITS[measure])
        own = logs - logs.groupby(scans['person']).transform('mean')
        noise, voxel = np.linalg.lstsq(within.to_numpy(), own.to_numpy(float), rcond=None)[0]
        laws[measure] = Law(noise=float(noise), voxel=float(voxel))
    return laws
