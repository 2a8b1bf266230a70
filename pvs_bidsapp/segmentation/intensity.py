"""Normalization of intensities: from a scan's units to a network's. It is part of a model's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from ..anatomy.tissues import CSF, WM, fluid_level
from ..messages import models
from .card import intensity_problem, shown


@dataclass(frozen=True, kw_only=True)
class TissueNormalization:
    """The normalization ``wm-csf``: a linear scaling that gives white matter and CSF fixed values.

    T1w and T2w become alike: perivascular spaces are darker than white matter in both.

    Attributes
    ----------
    wm, csf : float
        Values of white matter and CSF after scaling.
    low, high : float
        Values are clipped to this range.
    outside : float
        Value outside the brain mask.
    """

    wm: float = 0.4
    csf: float = -2.0
    low: float = -4.0
    high: float = 3.0
    outside: float = -2.0

    name: ClassVar[str] = 'wm-csf'

    def card(self) -> dict[str, Any]:
        """The entry ``intensity`` of a model's card."""
        return {'rule': self.name, **asdict(self)}

    @classmethod
    def from_card(cls, entry: dict[str, Any]) -> TissueNormalization:
        """The normalization that a model's card names.

        Parameters
        ----------
        entry : dict
            As `card` returns it.

        Raises
        ------
        ModelError
            If the card names an unknown normalization or parameter, or a value is out of its range.
        """
        if problem := intensity_problem(entry, prefix=''):
            raise models.INTENSITY.error(key=problem.key, value=shown(problem.value), wanted=problem.wanted)
        return cls(**{key: value for key, value in entry.items() if key != 'rule'})

    def apply(self, image: np.ndarray, levels: tuple[float, float]) -> np.ndarray:
        """Normalize an image.

        Parameters
        ----------
        image : ndarray
            In the scan's units.
        levels : tuple of float
            White matter and CSF in the scan's units, see `measure_levels`.

        Returns
        -------
        image : ndarray of float32
            In [`low`, `high`].
        """
        wm, csf = levels
        scaled = self.wm + (image - wm) * ((self.wm - self.csf) / (wm - csf))
        return np.clip(scaled, self.low, self.high).astype(np.float32)


def measure_levels(image: np.ndarray, tissues: np.ndarray) -> tuple[float, float]:
    """Measure the intensities of white matter and CSF.

    White matter: the median of its class, one voxel inside its border. CSF: see
    `pvs_bidsapp.anatomy.tissues.fluid_level`.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    tissues : ndarray of int, shape (x, y, z)
        Classes of `pvs_bidsapp.anatomy.tissues`.

    Returns
    -------
    wm, csf : float
        In the image's units.

    Raises
    ------
    ImageError
        If there is no white matter or no CSF, or no contrast between them.
    """
    white = tissues == WM
    inner = ndimage.binary_erosion(white)
    fluid = tissues == CSF
    if not white.any() or not fluid.any():
        raise models.NO_TISSUES.error()
    wm = float(np.median(image[inner if inner.sum() > 100 else white]))
    csf = fluid_level(image[fluid], wm)
    if abs(wm - csf) < 1e-3 * max(abs(wm), 1e-6):
        raise models.NO_CONTRAST.error()
    return wm, csf
