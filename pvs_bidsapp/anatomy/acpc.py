"""The frame in which radiologists read axial sections.

They are parallel to the line from the anterior to the posterior commissure (AC-PC), and at right angles to
the midsagittal plane (Talairach and Tournoux 1988).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .registration import Transform, apply_points

#: The middle of both commissures, and a point of the midsagittal plane far above, in the template (RAS+ mm).
AC, PC, ABOVE = (0.0, 3.0, -4.5), (0.0, -25.0, -2.0), (0.0, -10.0, 60.0)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame in scanner space.

    Attributes
    ----------
    origin : ndarray, shape (3,)
        The anterior commissure, RAS+ mm.
    axes : ndarray, shape (3, 3)
        Unit vectors in rows: rightward, forward, upward.
    """

    origin: np.ndarray
    axes: np.ndarray

    def heights(self, points: np.ndarray) -> np.ndarray:
        """Heights of points above the AC-PC plane.

        Parameters
        ----------
        points : ndarray, shape (n, 3)
            Scanner RAS+ mm.

        Returns
        -------
        heights : ndarray, shape (n,)
            In mm.
        """
        heights: np.ndarray = (points - self.origin) @ self.axes[2]
        return heights

    def dump(self) -> dict[str, Any]:
        """For a JSON file."""
        return {'origin': self.origin.tolist(), 'axes': self.axes.tolist()}

    @classmethod
    def load(cls, content: dict[str, Any]) -> Frame:
        """From what `dump` returned."""
        return cls(origin=np.array(content['origin']), axes=np.array(content['axes']))


def find_frame(to_template: Transform) -> Frame:
    """The AC-PC frame of a scan.

    Parameters
    ----------
    to_template : Transform
        From the scan to the template: it takes points of the template to the scan.

    Returns
    -------
    frame : Frame
    """
    ac, pc, above = apply_points(np.array([AC, PC, ABOVE]), to_template)
    forward = _unit(ac - pc)
    upward = _unit((above - ac) - ((above - ac) @ forward) * forward)
    return Frame(origin=ac, axes=np.stack([np.cross(forward, upward), forward, upward]))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
