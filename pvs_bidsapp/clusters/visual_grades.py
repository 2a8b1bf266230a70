"""Estimated visual grades, computed by the rules of the rating scales.

A rater counts the PVS in one axial section, the one with the most PVS in a hemisphere (Potter et al. 2015,
doi:10.1159/000375153) or in the brain (Zhu et al. 2010, doi:10.1161/STROKEAHA.110.591586). The number of
clusters in three dimensions is a different quantity. Sections are parallel to the AC-PC plane. What lies
apart in a section counts apart there, as it does for a rater, even where it touches in another section: the
pieces of a cluster all count for the one region that the cluster belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
import pandas as pd

from ..anatomy.acpc import Frame
from ..anatomy.regions import TOTALS

#: Names of the grades, with their descriptions.
GRADES = {
    'potter_basal_ganglia': 'estimated Potter grade of the basal ganglia, 0-4',
    'potter_centrum_semiovale': 'estimated Potter grade of the centrum semiovale, 0-4',
    'potter_midbrain': 'estimated Potter grade of the midbrain, 0-1',
    'zhu_basal_ganglia': 'estimated Zhu grade of the basal ganglia, 1-4',
    'zhu_white_matter': 'estimated Zhu grade of the white matter, 1-4',
}
#: Highest grade of any scale.
MOST_GRADE = 4
#: Thickness of a section in mm; larger voxels make it as thick as they are.
THICKNESS = 1.0


@dataclass(frozen=True, kw_only=True)
class Grade:
    """One estimated grade.

    Attributes
    ----------
    value : int
    count : int
        PVS in the section that decides; 0 if there are none at all.
    hemisphere : str
        ``left``, ``right``, or ``both`` where the scale looks at both at once.
    height : float or None
        Of the section's middle above the AC-PC plane, in mm; None without any PVS.
    """

    value: int
    count: int
    hemisphere: str
    height: float | None


def estimate_grades(
    clusters: np.ndarray, table: pd.DataFrame, affine: np.ndarray, frame: Frame
) -> dict[str, Grade]:
    """Estimated grades of one scan.

    Parameters
    ----------
    clusters : ndarray of int, shape (x, y, z)
        Numbered clusters, 0 elsewhere.
    table : DataFrame
        The cluster table, of which ``index``, ``region`` and ``hemisphere`` are used.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    frame : Frame
        The scan's AC-PC frame.

    Returns
    -------
    grades : dict of str to Grade
        Keys as `GRADES`.
    """
    sections = _Sections(clusters, affine, frame)

    def worst(total: str, sides: Sequence[str] = ('left', 'right')) -> tuple[int, str, float | None]:
        """The section with the most PVS; the left and the lower one in a tie."""
        own = table[table['region'].isin(TOTALS[total])]
        found = [
            (*sections.worst(own if side == 'both' else own[own['hemisphere'] == side]), side)
            for side in sides
        ]
        count, height, side = max(found, key=lambda one: one[0])
        return count, side, height

    ganglia, white = worst('basal ganglia'), worst('deep white matter')
    midbrain = worst('midbrain', ['both'])
    all_ganglia, all_white = worst('basal ganglia', ['both']), worst('deep white matter', ['both'])
    total = int(table['region'].isin(TOTALS['deep white matter']).sum())
    values = {
        'potter_basal_ganglia': (potter(ganglia[0]), ganglia),
        'potter_centrum_semiovale': (potter(white[0]), white),
        'potter_midbrain': (int(midbrain[0] > 0), midbrain),
        'zhu_basal_ganglia': (zhu_basal_ganglia(all_ganglia[0]), all_ganglia),
        'zhu_white_matter': (zhu_white_matter(total, all_white[0]), all_white),
    }
    return {
        key: Grade(value=value, count=count, hemisphere=side, height=height)
        for key, (value, (count, side, height)) in values.items()
    }


def section_thickness(affine: np.ndarray, frame: Frame) -> float:
    """Thickness of the axial sections of a scan in mm: as far as a step to the next voxel leads upwards.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    frame : Frame
        The scan's AC-PC frame.
    """
    return max(THICKNESS, float(np.abs(frame.axes[2] @ affine[:3, :3]).max()))


def section_numbers(heights: np.ndarray, thickness: float) -> np.ndarray:
    """In which section points lie, by their heights above the AC-PC plane; number 0 is about this plane."""
    return np.floor(heights / thickness + 0.5).astype(int)


class _Sections:
    """Which pieces of clusters each section holds.

    Parameters
    ----------
    clusters, affine, frame
        As for `estimate_grades`.
    """

    def __init__(self, clusters: np.ndarray, affine: np.ndarray, frame: Frame) -> None:
        self.thickness = section_thickness(affine, frame)
        voxels = np.argwhere(clusters > 0)
        heights = frame.heights(voxels @ affine[:3, :3].T + affine[:3, 3])
        numbers = section_numbers(heights, self.thickness)
        at = tuple(voxels.T)
        parts = np.zeros(clusters.shape, np.uint32)  # numbers what a cluster has in a section
        pairs, which = np.unique(np.stack([numbers, clusters[at]], 1), axis=0, return_inverse=True)
        which = which.reshape(-1)
        parts[at] = which + 1
        pieces = cc3d.connected_components(parts, connectivity=26)[at]
        _, first = np.unique(pieces, return_index=True)
        self.numbers, self.members = pairs[which[first]].T

    def worst(self, table: pd.DataFrame) -> tuple[int, float | None]:
        """Most pieces of a table's clusters in one section, and the height of this section in mm."""
        numbers = self.numbers[np.isin(self.members, table['index'])]
        if not len(numbers):
            return 0, None
        values, counts = np.unique(numbers, return_counts=True)
        best = int(counts.argmax())
        return int(counts[best]), float(values[best] * self.thickness)


def potter(count: int) -> int:
    """Potter grade of a number of PVS in a section: 0 none, 1 up to 10, 2 up to 20, 3 up to 40, 4 more."""
    return int(np.searchsorted([0, 10, 20, 40], count, side='left'))


def zhu_basal_ganglia(count: int) -> int:
    """Zhu grade of a number of PVS in a section: 1 below 5, 2 up to 10, 3 up to 25, 4 more (innumerable)."""
    return 1 + int(count >= 5) + int(count > 10) + int(count > 25)


def zhu_white_matter(total: int, largest: int) -> int:
    """Zhu grade of white matter.

    Parameters
    ----------
    total : int
        Number of PVS in all sections; below 10, the grade is 1.
    largest : int
        Number in the section with the most PVS: 2 up to 10, 3 up to 20, 4 more.
    """
    if total < 10:
        return 1
    return 2 + int(largest > 10) + int(largest > 20)
