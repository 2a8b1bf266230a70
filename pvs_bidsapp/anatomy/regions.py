"""The regions in which PVS are segmented.

Structures and lobes come from the template's CerebrA labels; white matter, ventricles and cortex from the
subject's own tissue classes. Ventricles are left out with a margin. There is no margin along the cortex: PVS
that reach it are dark there and already classified as grey matter. One voxel of margin would remove a tenth
of all PVS and hardly any false positives.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from scipy import ndimage

from . import template, tissues
from .morphology import bounding_box, close
from .registration import Transform, apply
from .resampling import Grid, crop

#: Lobes, in the order of their indices in the region map.
LOBES = ('frontal', 'parietal', 'temporal', 'occipital', 'insula')
#: Smallest distance between a region of white matter and the ventricles, in mm.
VENTRICLE_MARGIN = 1.5


@dataclass(frozen=True)
class Region:
    """One value of the region map.

    Attributes
    ----------
    index : int
        Value in the region map.
    name : str
        As in the tables, e.g. ``deep white matter frontal``.
    hemisphere : str
        ``left``, ``right`` or ``both``.
    """

    index: int
    name: str
    hemisphere: str


def _all_regions() -> tuple[Region, ...]:
    regions = []
    for offset, side in ((0, 'left'), (10, 'right')):
        regions += [Region(offset + k, f'deep white matter {lobe}', side) for k, lobe in enumerate(LOBES, 1)]
    regions += [Region(21, 'basal ganglia', 'left'), Region(22, 'basal ganglia', 'right')]
    regions += [Region(31, 'midbrain', 'both')]
    regions += [Region(41, 'hippocampus', 'left'), Region(42, 'hippocampus', 'right')]
    return tuple(regions)


#: All regions of the region map.
REGIONS = _all_regions()
#: FreeSurfer codes (right) of caudate, putamen, pallidum and accumbens.
BASAL_GANGLIA = (50, 51, 52, 58)
_VENTRICLES = (43, 44, 14, 15)


def find_regions(
    brain_mask: np.ndarray, classes: np.ndarray, affine: np.ndarray, to_subject: Transform
) -> np.ndarray:
    """Make the region map of a scan.

    Parameters
    ----------
    brain_mask : ndarray of bool, shape (x, y, z)
        At 1 mm.
    classes : ndarray of uint8, shape (x, y, z)
        Tissue classes of `pvs_bidsapp.anatomy.tissues`.
    affine : ndarray, shape (4, 4)
        Affine of the mask and the classes.
    to_subject : Transform
        From the template to the scan.

    Returns
    -------
    regions : ndarray of uint8, shape (x, y, z)
        Indices of `REGIONS`; 0 elsewhere.
    """
    regions = np.zeros(brain_mask.shape, np.uint8)
    if not brain_mask.any():
        return regions
    box = bounding_box(brain_mask, 2)
    atlas = _to_scan(crop(Grid(brain_mask.shape, affine), box), to_subject)
    regions[box] = _regions_of(brain_mask[box], classes[box], atlas)
    return regions


@dataclass(frozen=True, kw_only=True)
class _ScanAtlas:
    """What the template says of a scan's voxels; arrays of shape (x, y, z).

    Attributes
    ----------
    structures : ndarray of uint8
        By the codes of this module.
    lobes : ndarray of uint8
        Lobe of the nearest cortex, 1 to 5.
    left : ndarray of bool
        The left half.
    white : ndarray of float32
        Probability of white matter, in [0, 1].
    """

    structures: np.ndarray
    lobes: np.ndarray
    left: np.ndarray
    white: np.ndarray


def _to_scan(grid: Grid, to_subject: Transform) -> _ScanAtlas:
    """Bring the template's maps to a scan's grid; the three label maps in one, which saves time."""
    atlas = template.load()
    labels = _structures(atlas) + 8 * _lobes(atlas) + 64 * template.left_half(atlas)
    labels = apply(labels, atlas.affine, grid, to_subject, interpolation='nearestNeighbor')
    codes = np.rint(labels).astype(np.uint8)
    return _ScanAtlas(
        structures=codes % 8,
        lobes=codes // 8 % 8,
        left=codes >= 64,
        white=apply(atlas.wm, atlas.affine, grid, to_subject),
    )


def _regions_of(brain_mask: np.ndarray, classes: np.ndarray, atlas: _ScanAtlas) -> np.ndarray:
    """The region map of a brain; arrays of shape (x, y, z), as for `find_regions`."""
    structures, left = atlas.structures, atlas.left
    white = white_matter(classes, atlas.white, structures)
    ventricles = find_ventricles(classes, brain_mask, structures)
    from_ventricles = edt.edt(~ventricles)
    deep = white & brain_mask & (from_ventricles > VENTRICLE_MARGIN)
    regions = np.zeros(brain_mask.shape, np.uint8)
    regions[deep] = atlas.lobes[deep]
    regions[deep & ~left] += 10
    inner = brain_mask & (from_ventricles > 1.0)
    for structure, index, has_sides in (
        (_subject_ganglia(structures, white, brain_mask), 21, True),
        (structures == _MIDBRAIN, 31, False),
        (structures == _HIPPOCAMPUS, 41, True),
    ):
        inside = structure & inner
        regions[inside] = index
        if has_sides:
            regions[inside & ~left] = index + 1
    return regions


_GANGLIA, _MIDBRAIN, _HIPPOCAMPUS, _VENTRICLE, _OTHER = 1, 2, 3, 4, 5


def _structures(atlas: template.Template) -> np.ndarray:
    """Template map of structures other than lobar white matter, by the codes above."""
    out = np.zeros(atlas.cerebra.shape, np.float32)

    def select(*freesurfer: int) -> np.ndarray:
        left_of = {43: 4, 44: 5, 47: 8, 46: 7, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 58: 26, 60: 28}
        codes = [c for f in freesurfer for c in (f, left_of.get(f, f))]
        values = [v for c in codes for v in template.FREESURFER_CODES[c]]
        return np.isin(atlas.cerebra, values)

    height: np.ndarray = atlas.affine[2, 2] * np.arange(len(atlas.t1w[0, 0])) + atlas.affine[2, 3]
    low = np.broadcast_to((height < -2).reshape(1, 1, -1), out.shape)
    high = np.broadcast_to((height > -24).reshape(1, 1, -1), out.shape)
    # the midbrain is the upper brainstem (above z = -24 mm) and the ventral diencephalon below z = -2 mm
    out[select(16, 47, 46, 49, 54, 60, 85)] = _OTHER
    out[(select(16) & high) | (select(60) & low)] = _MIDBRAIN
    out[select(*_VENTRICLES)] = _VENTRICLE
    out[select(53)] = _HIPPOCAMPUS
    out[select(*BASAL_GANGLIA)] = _GANGLIA
    return out


def _lobes(atlas: template.Template) -> np.ndarray:
    """Template map of the lobe of the nearest cortex, 1 to 5, computed at 2 mm."""
    coarse = atlas.cerebra[::2, ::2, ::2]
    lobe = np.zeros(coarse.shape, np.uint8)
    for k, name in enumerate(LOBES, start=1):
        right = np.array(template.LOBES[name])
        lobe[np.isin(coarse, [*right, *(right + 51)])] = k
    nearest = ndimage.distance_transform_edt(lobe == 0, return_distances=False, return_indices=True)
    full = lobe[tuple(nearest)].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    return full[tuple(slice(0, n) for n in atlas.cerebra.shape)].astype(np.float32)


def _subject_ganglia(structures: np.ndarray, white: np.ndarray, brain_mask: np.ndarray) -> np.ndarray:
    """The template's basal ganglia, extended to the subject's white matter by up to 2 mm.

    Within 2 mm of the template's nuclei there is no cortex (the claustrum and the insula are farther away),
    so whatever is not white matter there belongs to the nuclei or to their PVS.
    """
    nuclei = structures == _GANGLIA
    near = edt.edt(~nuclei) <= 2.0
    return nuclei | (near & brain_mask & ~white & (structures == 0))


def white_matter(classes: np.ndarray, prior: np.ndarray, structures: np.ndarray) -> np.ndarray:
    """Cerebral white matter, including its lesions and PVS.

    Parameters
    ----------
    classes : ndarray of uint8, shape (x, y, z)
        Tissue classes of `pvs_bidsapp.anatomy.tissues`.
    prior : ndarray of float, shape (x, y, z)
        The template's white matter probability in the scan, in [0, 1].
    structures : ndarray of uint8, shape (x, y, z)
        The template's structures in the scan, 0 in lobar white matter. Nuclei, brainstem and cerebellum are
        left out.

    Returns
    -------
    white : ndarray of bool, shape (x, y, z)
    """
    own = (classes == tissues.WM) & (structures == 0)
    # dark spots are filled where the template expects white matter, or where white matter surrounds them
    closed = close(own, 3.0, fill=False)
    filled = own | (closed & (prior > 0.25)) | ((prior > 0.95) & (classes > 0))
    filled &= structures == 0
    holes = ~filled
    small = cc3d.dust(holes, threshold=200, connectivity=6, binary_image=True)
    filled |= holes & ~(small > 0) & (classes > 0) & (structures == 0)
    return cc3d.dust(filled, threshold=5000, connectivity=6, binary_image=True) > 0


def find_ventricles(classes: np.ndarray, brain_mask: np.ndarray, structures: np.ndarray) -> np.ndarray:
    """The subject's ventricles: CSF within 7 mm of the template's ventricles and connected to them.

    Parameters
    ----------
    classes : ndarray of uint8, shape (x, y, z)
        Tissue classes of `pvs_bidsapp.anatomy.tissues`.
    brain_mask : ndarray of bool, shape (x, y, z)
    structures : ndarray of uint8, shape (x, y, z)
        The template's structures in the scan.

    Returns
    -------
    ventricles : ndarray of bool, shape (x, y, z)
    """
    expected = structures == _VENTRICLE
    fluid = (classes == tissues.CSF) & brain_mask & (edt.edt(~expected) < 7)
    labels = cc3d.connected_components(fluid | (expected & (classes != tissues.WM)), connectivity=6)
    hit = np.unique(labels[expected])
    ventricles = np.isin(labels, hit[hit > 0])
    return cc3d.dust(ventricles, threshold=30, connectivity=6, binary_image=True) > 0
