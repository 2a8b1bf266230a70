"""Intensity rules: how a scan's units become a network's. The rule is part of a model's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ..anatomy.tissues import CSF, WM
from ..errors import ImageError, ModelError


@dataclass(frozen=True)
class TissueNormalization:
    """The ``wm-csf`` rule: white matter and CSF are sent to fixed values, linearly.

    T1w and T2w come out alike: perivascular spaces are low in both.

    Attributes
    ----------
    wm, csf : float
        Values that white matter and CSF are sent to.
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

    rule = 'wm-csf'

    def card(self) -> dict[str, Any]:
        """The rule as it stands in a model's card."""
        return {'rule': self.rule, **asdict(self)}

    @classmethod
    def from_card(cls, entry: dict[str, Any]) -> TissueNormalization:
        """The rule that a model's card names.

        Raises
        ------
        ModelError
            If the card names a rule, or a parameter, that is not known.
        """
        values = dict(entry)
        if (name := values.pop('rule', None)) != cls.rule:
            raise ModelError(f'unknown intensity rule {name!r} in the model card; known: {cls.rule}')
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(f'intensity rule in the model card: {error}') from error

    def apply(self, image: np.ndarray, levels: tuple[float, float]) -> np.ndarray:
        """Scale an image whose white matter and CSF stand at `levels`; clipped float32."""
        wm, csf = levels
        scaled = self.wm + (image - wm) * ((self.wm - self.csf) / (wm - csf))
        return np.clip(scaled, self.low, self.high).astype(np.float32)


def measure_levels(image: np.ndarray, tissues: np.ndarray) -> tuple[float, float]:
    """Intensity of white matter and of CSF.

    White matter: the median of its class, one voxel inside its border. CSF: the quartile of its
    class that lies farther from white matter, since most of its voxels are mixed with tissue.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    tissues : ndarray of int, shape (x, y, z)
        Classes of `pvs_bidsapp.anatomy.tissues`.

    Raises
    ------
    ImageError
        If there is no white matter or no CSF, or no contrast between them.
    """
    white = tissues == WM
    inner = ndimage.binary_erosion(white)
    fluid = tissues == CSF
    if not white.any() or not fluid.any():
        raise ImageError('no white matter or no CSF was found; is this a brain scan?')
    wm = float(np.median(image[inner if inner.sum() > 100 else white]))
    values = image[fluid]
    csf = float(np.percentile(values, 25 if np.median(values) < wm else 75))
    if abs(wm - csf) < 1e-3 * max(abs(wm), 1e-6):
        raise ImageError('white matter and CSF have the same intensity; is this a T1w or T2w scan?')
    return wm, csf
