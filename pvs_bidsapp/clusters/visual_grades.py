"""Estimated visual grades, computed by the rules of the rating scales.

A rater counts the PVS in one axial section, the one with the most PVS in a hemisphere (Potter et al. 2015,
doi:10.1159/000375153) or in the brain (Zhu et al. 2010, doi:10.1161/STROKEAHA.110.591586). The number of
clusters in three dimensions is a different quantity.
"""

from __future__ import annotations

import cc3d
import numpy as np

from ..anatomy.regions import REGIONS

#: Names of the grades, with their descriptions.
GRADES = {
    'potter_basal_ganglia': 'estimated Potter grade of the basal ganglia, 0-4',
    'potter_centrum_semiovale': 'estimated Potter grade of the centrum semiovale, 0-4',
    'potter_midbrain': 'estimated Potter grade of the midbrain, 0-1',
    'zhu_basal_ganglia': 'estimated Zhu grade of the basal ganglia, 1-4',
    'zhu_white_matter': 'estimated Zhu grade of the white matter, 1-4',
}


def estimate_grades(clusters: np.ndarray, regions: np.ndarray, affine: np.ndarray) -> dict[str, int]:
    """Estimated grades of one scan.

    Parameters
    ----------
    clusters : ndarray of int, shape (x, y, z)
        Numbered clusters, 0 elsewhere.
    regions : ndarray of int, shape (x, y, z)
        Region map.
    affine : ndarray, shape (4, 4)
        Axial sections are perpendicular to the voxel axis that is nearest to the scanner's vertical axis.

    Returns
    -------
    grades : dict of str to int
        Keys as `GRADES`.
    """
    axis = int(np.abs(affine[2, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())
    sections = np.moveaxis(np.where(clusters > 0, regions, 0), axis, 0)
    by_name = {
        name: [
            [r.index for r in REGIONS if r.name.startswith(prefix) and r.hemisphere == side] for side in sides
        ]
        for name, prefix, sides in (
            ('ganglia', 'basal ganglia', ('left', 'right')),
            ('white', 'deep white matter', ('left', 'right')),
            ('midbrain', 'midbrain', ('both',)),
        )
    }
    counts = {
        name: [_section_counts(sections, members) for members in sides] for name, sides in by_name.items()
    }
    ganglia, white = (max(int(c.max()) for c in counts[k]) for k in ('ganglia', 'white'))
    white_all = np.sum(counts['white'], axis=0)
    ganglia_all = np.sum(counts['ganglia'], axis=0)
    members = [i for side in by_name['white'] for i in side]
    total = len(np.unique(clusters[np.isin(regions, members) & (clusters > 0)]))
    return {
        'potter_basal_ganglia': potter(ganglia),
        'potter_centrum_semiovale': potter(white),
        'potter_midbrain': int(counts['midbrain'][0].max() > 0),
        'zhu_basal_ganglia': zhu_basal_ganglia(int(ganglia_all.max())),
        'zhu_white_matter': zhu_white_matter(total, int(white_all.max())),
    }


def _section_counts(sections: np.ndarray, members: list[int]) -> np.ndarray:
    """Number of 8-connected spots in each section; `members` are indices of regions."""
    chosen = np.isin(sections, members)
    counts = np.zeros(len(sections), int)
    for k in np.flatnonzero(chosen.any((1, 2))):
        counts[k] = cc3d.connected_components(chosen[k], connectivity=8, return_N=True)[1]
    return counts


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
