"""The regions in which PVS are segmented, as the field counts them.

=========================== ==============================================================================
region                      definition
=========================== ==============================================================================
deep white matter, by lobe  white matter of the hemispheres (centrum semiovale and what lies below it),
                            without corpus callosum, capsules and all within 15 mm of the third ventricle;
                            its lobe is that of the nearest cortex
caudate                     with the nucleus accumbens
lentiform nucleus           putamen and pallidum, with the basal forebrain below them
thalamus
internal capsule            what the convex hull of the nuclei holds in an axial section
external capsule            white matter between putamen and insula, with the extreme capsule
ventral diencephalon        hypothalamus, subthalamus, and white matter about them and near the midline
midbrain, pons              brainstem above -24 and -50 mm in the template; the midbrain with the peduncles
hippocampus
cerebellum                  its white matter
=========================== ==============================================================================

The five from caudate to external capsule are the basal ganglia of the visual scales (Potter et al. 2015,
doi:10.1159/000375153; STRIVE: Wardlaw et al. 2013, doi:10.1016/S1474-4422(13)70124-8).

Structures and lobes come from the template, or from a ready-made segmentation of the scan
(`pvs_bidsapp.anatomy.structures`); white matter, ventricles and cortex from the subject's own tissue classes.
Ventricles are left out with a margin. There is no margin along the cortex: PVS that reach it are dark there
and already classified as grey matter. One voxel of margin would remove a tenth of all PVS and hardly any
false positives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cc3d
import edt
import numpy as np
from scipy import ndimage

from . import template, tissues
from .morphology import bounding_box, close
from .registration import Transform, apply
from .resampling import Grid, crop
from .structures import WHITE, Structure, is_segmentation, template_structures, with_own_labels

#: Lobes, in the order of their indices in the region map.
LOBES = ('frontal', 'parietal', 'temporal', 'occipital', 'insula')
#: Smallest distance between a region and the ventricles, in mm: of white matter, and of all others.
VENTRICLE_MARGIN, INNER_MARGIN = 1.5, 1.0
#: Smaller pieces (mm3) of grey matter are ends of PVS, not cortex.
_SMALLEST_CORTEX = 2000
#: White matter as near to the third ventricle as this (mm) belongs to no lobe.
CENTRAL = 15.0
#: Added to it, since the template fits a third ventricle to 2 mm or so.
_MARGIN = 2.5


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


#: Index (on the left; on the right it is one more), name, and structure of the regions with two sides.
_PAIRED = (
    (21, 'caudate', Structure.CAUDATE),
    (23, 'lentiform nucleus', Structure.LENTIFORM),
    (25, 'thalamus', Structure.THALAMUS),
    (27, 'internal capsule', Structure.INTERNAL_CAPSULE),
    (29, 'external capsule', Structure.EXTERNAL_CAPSULE),
    (33, 'ventral diencephalon', Structure.VENTRAL_DIENCEPHALON),
    (41, 'hippocampus', Structure.HIPPOCAMPUS),
    (51, 'cerebellum', Structure.CEREBELLAR_WHITE),
)
_SINGLE = ((31, 'midbrain', Structure.MIDBRAIN), (32, 'pons', Structure.PONS))


def _all_regions() -> tuple[Region, ...]:
    regions = []
    for offset, side in ((0, 'left'), (10, 'right')):
        regions += [Region(offset + k, f'deep white matter {lobe}', side) for k, lobe in enumerate(LOBES, 1)]
    for index, name, _ in _PAIRED:
        regions += [Region(index, name, 'left'), Region(index + 1, name, 'right')]
    regions += [Region(index, name, 'both') for index, name, _ in _SINGLE]
    return tuple(sorted(regions, key=lambda region: region.index))


#: All regions of the region map.
REGIONS = _all_regions()
#: Names of the regions that make up each total. The basal ganglia are those of the visual scales.
TOTALS = {
    'deep white matter': tuple(f'deep white matter {lobe}' for lobe in LOBES),
    'basal ganglia': ('caudate', 'lentiform nucleus', 'thalamus', 'internal capsule', 'external capsule'),
    'ventral diencephalon': ('ventral diencephalon',),
    'midbrain': ('midbrain',),
    'pons': ('pons',),
    'hippocampus': ('hippocampus',),
    'cerebellum': ('cerebellum',),
}


def indices_of(total: str, hemisphere: str = 'both') -> list[int]:
    """Indices of the regions of a total, in one hemisphere or both.

    Parameters
    ----------
    total : str
        Key of `TOTALS`.
    hemisphere : str
        ``left``, ``right``, or ``both`` for all.
    """
    return [
        region.index
        for region in REGIONS
        if region.name in TOTALS[total] and hemisphere in (region.hemisphere, 'both')
    ]


#: Values of `RegionMap.landmarks`.
VENTRICLES, CORTEX = 1, 2


@dataclass(frozen=True, kw_only=True)
class RegionMap:
    """The regions of a scan, and what distances are measured from.

    Attributes
    ----------
    labels : ndarray of uint8, shape (x, y, z)
        Indices of `REGIONS`; 0 elsewhere.
    landmarks : ndarray of uint8, shape (x, y, z)
        1 ventricles, 2 cortex, 0 elsewhere.
    overlap : float
        Dice coefficient of cerebral white matter with the template's.
    """

    labels: np.ndarray
    landmarks: np.ndarray
    overlap: float


def find_regions(
    brain_mask: np.ndarray,
    classes: np.ndarray,
    affine: np.ndarray,
    to_subject: Transform,
    *,
    segmentation: np.ndarray | None = None,
) -> RegionMap:
    """Make the region map of a scan.

    Parameters
    ----------
    brain_mask : ndarray of bool, shape (x, y, z)
        At 1 mm, on a grid near RAS.
    classes : ndarray of uint8, shape (x, y, z)
        Tissue classes of `pvs_bidsapp.anatomy.tissues`.
    affine : ndarray, shape (4, 4)
        Affine of the mask and the classes.
    to_subject : Transform
        From the template to the scan.
    segmentation : ndarray of int, shape (x, y, z), or None
        FreeSurfer codes of a ready-made segmentation; used if it names structures.

    Returns
    -------
    found : RegionMap
    """
    labels, landmarks = (np.zeros(brain_mask.shape, np.uint8) for _ in range(2))
    if not brain_mask.any():
        return RegionMap(labels=labels, landmarks=landmarks, overlap=0.0)
    box = bounding_box(brain_mask, 2)
    atlas = _to_scan(crop(Grid(brain_mask.shape, affine), box), to_subject)
    if segmentation is not None and is_segmentation(segmentation[box]):
        structures = with_own_labels(atlas.structures, segmentation[box], atlas.left)
        atlas = replace(atlas, structures=structures)
    labels[box], landmarks[box] = _regions_of(brain_mask[box], classes[box], atlas)
    is_white = (classes[box] == tissues.WM) & np.isin(atlas.structures, WHITE)
    expected = (atlas.white > 0.5) & np.isin(atlas.structures, WHITE)
    overlap = 2 * float((is_white & expected).sum()) / max(int(is_white.sum() + expected.sum()), 1)
    return RegionMap(labels=labels, landmarks=landmarks, overlap=overlap)


@dataclass(frozen=True, kw_only=True)
class _ScanAtlas:
    """What the template says of a scan's voxels; arrays of shape (x, y, z).

    Attributes
    ----------
    structures : ndarray of uint8
        Values of `Structure`.
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
    labels = template_structures() + 16 * _lobes() + 128 * template.left_half(atlas)
    labels = apply(labels, atlas.affine, grid, to_subject, interpolation='nearestNeighbor')
    codes = np.rint(labels).astype(np.uint8)
    return _ScanAtlas(
        structures=codes % 16,
        lobes=codes // 16 % 8,
        left=codes >= 128,
        white=apply(atlas.wm, atlas.affine, grid, to_subject),
    )


def _regions_of(
    brain_mask: np.ndarray, classes: np.ndarray, atlas: _ScanAtlas
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and landmarks of a brain; arrays of shape (x, y, z), as for `find_regions`."""
    white = white_matter(classes, atlas.white, np.isin(atlas.structures, WHITE))
    ventricles = find_ventricles(classes, brain_mask, atlas.structures)
    structures = _extend_nuclei(atlas.structures, white, brain_mask)
    structures = assign_centre(structures, white, ventricles)
    from_ventricles = edt.edt(~ventricles)
    regions = np.zeros(brain_mask.shape, np.uint8)
    deep = white & brain_mask & (structures == Structure.LOBAR) & (from_ventricles > VENTRICLE_MARGIN)
    deep &= atlas.lobes > 0  # below the template there is none
    regions[deep] = atlas.lobes[deep]
    regions[deep & ~atlas.left] += 10
    inner = brain_mask & (from_ventricles > INNER_MARGIN)
    # of these, what is not white matter is cortex or the vermis: the template's borders miss them
    white_only = (Structure.EXTERNAL_CAPSULE, Structure.CEREBELLAR_WHITE)
    own_white = close(classes == tissues.WM, 2.0, fill=False)
    inner &= white | own_white | ~np.isin(structures, white_only)
    for is_paired, table in ((True, _PAIRED), (False, _SINGLE)):
        for index, _, structure in table:
            inside = inner & (structures == structure)
            regions[inside] = index
            if is_paired:
                regions[inside & ~atlas.left] = index + 1
    cortex = (classes == tissues.GM) & brain_mask & (regions == 0) & (structures == Structure.LOBAR)
    landmarks = np.where(ventricles, VENTRICLES, 0).astype(np.uint8)
    landmarks[cc3d.dust(cortex, threshold=_SMALLEST_CORTEX, connectivity=6, binary_image=True) > 0] = CORTEX
    return regions, landmarks


def _extend_nuclei(structures: np.ndarray, white: np.ndarray, brain_mask: np.ndarray) -> np.ndarray:
    """The template's basal ganglia, extended to the subject's white matter by up to 2 mm.

    Within 2 mm of the template's nuclei there is no cortex (the insula is farther away), so whatever is not
    white matter there belongs to the nuclei or to their PVS.
    """
    out = structures.copy()
    free = np.isin(structures, (Structure.LOBAR, Structure.EXTERNAL_CAPSULE)) & brain_mask & ~white
    from_caudate, from_lentiform = (
        edt.edt(structures != nucleus) for nucleus in (Structure.CAUDATE, Structure.LENTIFORM)
    )
    near = free & (np.minimum(from_caudate, from_lentiform) <= 2.0)
    out[near] = np.where(from_caudate < from_lentiform, Structure.CAUDATE, Structure.LENTIFORM)[near]
    return out


#: What white matter about the third ventricle is counted as, by the nearest structure.
_CENTRAL_OF = {
    Structure.CAUDATE: Structure.INTERNAL_CAPSULE,
    Structure.LENTIFORM: Structure.INTERNAL_CAPSULE,
    Structure.THALAMUS: Structure.INTERNAL_CAPSULE,
    Structure.INTERNAL_CAPSULE: Structure.INTERNAL_CAPSULE,
    Structure.VENTRAL_DIENCEPHALON: Structure.VENTRAL_DIENCEPHALON,
    Structure.MIDBRAIN: Structure.MIDBRAIN,
    Structure.HIPPOCAMPUS: Structure.CALLOSUM,  # the crus of the fornix, the retrosplenial callosum
    Structure.CALLOSUM: Structure.CALLOSUM,
}


def assign_centre(structures: np.ndarray, white: np.ndarray, ventricles: np.ndarray) -> np.ndarray:
    """Give white matter that lies about the third ventricle and belongs to no structure to the nearest one.

    Tracts, the anterior commissure and the basal forebrain lie there, and no lobe.

    Parameters
    ----------
    structures : ndarray of uint8, shape (x, y, z)
        Values of `Structure`, at 1 mm.
    white : ndarray of bool, shape (x, y, z)
    ventricles : ndarray of bool, shape (x, y, z)
        The subject's. What is as near to the third ventricle of `structures` as 4 mm is part of it.

    Returns
    -------
    structures : ndarray of uint8, shape (x, y, z)
    """
    third = structures == Structure.THIRD_VENTRICLE
    if not third.any():
        return structures
    box = bounding_box(third, int(CENTRAL) + 14)
    out = structures.copy()
    inner, third = structures[box], third[box]
    third |= ventricles[box] & (edt.edt(~third) <= 4.0) & (inner != Structure.VENTRICLE)
    near = (edt.edt(~third) <= CENTRAL + _MARGIN) & (inner == Structure.LOBAR) & white[box]
    sources = np.isin(inner, list(_CENTRAL_OF))
    nearest = ndimage.distance_transform_edt(~sources, return_distances=False, return_indices=True)
    lookup = np.zeros(len(Structure), np.uint8)
    lookup[list(_CENTRAL_OF)] = list(_CENTRAL_OF.values())
    out[box][near] = lookup[inner[tuple(nearest)]][near]
    return out


@lru_cache(maxsize=1)
def _lobes() -> np.ndarray:
    """Template map of the lobe of the nearest cortex, 1 to 5, computed at 2 mm; not to be changed."""
    atlas = template.load()
    coarse = atlas.cerebra[::2, ::2, ::2]
    lobe = np.zeros(coarse.shape, np.uint8)
    for k, name in enumerate(LOBES, start=1):
        right = np.array(template.LOBES[name])
        lobe[np.isin(coarse, [*right, *(right + 51)])] = k
    nearest = ndimage.distance_transform_edt(lobe == 0, return_distances=False, return_indices=True)
    full = lobe[tuple(nearest)].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    return full[tuple(slice(0, n) for n in atlas.cerebra.shape)].astype(np.float32)


def white_matter(classes: np.ndarray, prior: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Cerebral white matter, including its lesions and PVS.

    Parameters
    ----------
    classes : ndarray of uint8, shape (x, y, z)
        Tissue classes of `pvs_bidsapp.anatomy.tissues`.
    prior : ndarray of float, shape (x, y, z)
        The template's white matter probability in the scan, in [0, 1].
    where : ndarray of bool, shape (x, y, z)
        Where it may be: not in nuclei, brainstem and cerebellum.

    Returns
    -------
    white : ndarray of bool, shape (x, y, z)
    """
    own = (classes == tissues.WM) & where
    # dark spots are filled where the template expects white matter, or where white matter surrounds them
    closed = close(own, 3.0, fill=False)
    filled = own | (closed & (prior > 0.25)) | ((prior > 0.95) & (classes > 0))
    filled &= where
    holes = ~filled
    small = cc3d.dust(holes, threshold=200, connectivity=6, binary_image=True)
    filled |= holes & ~(small > 0) & (classes > 0) & where
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
    expected = np.isin(structures, (Structure.VENTRICLE, Structure.THIRD_VENTRICLE))
    fluid = (classes == tissues.CSF) & brain_mask & (edt.edt(~expected) < template.VENTRICLE_REACH)
    labels = cc3d.connected_components(fluid | (expected & (classes != tissues.WM)), connectivity=6)
    hit = np.unique(labels[expected])
    ventricles = np.isin(labels, hit[hit > 0])
    return cc3d.dust(ventricles, threshold=30, connectivity=6, binary_image=True) > 0
