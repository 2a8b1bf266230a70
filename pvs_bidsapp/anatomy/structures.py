"""Anatomical structures by which the regions of a scan are told apart, from the template or from labels.

The template's structures come from its CerebrA labels (Manera et al. 2020, doi:10.1038/s41597-020-0557-9),
which lack the capsules, the corpus callosum and the parts of the brainstem. These are defined here, in the
template's space, by what surrounds them. A ready-made segmentation of the scan takes the place of the
template where both name a structure.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import cc3d
import edt
import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from . import template
from .morphology import bounding_box


class Structure(IntEnum):
    """Values of a map of structures; what is not named is lobar white matter, cortex, or outside."""

    LOBAR = 0
    CAUDATE = 1  # with the nucleus accumbens
    LENTIFORM = 2  # with the basal forebrain below it
    THALAMUS = 3
    INTERNAL_CAPSULE = 4
    EXTERNAL_CAPSULE = 5  # with the claustrum and the extreme capsule
    VENTRAL_DIENCEPHALON = 6
    MIDBRAIN = 7
    PONS = 8
    HIPPOCAMPUS = 9
    VENTRICLE = 10
    THIRD_VENTRICLE = 11
    CALLOSUM = 12  # with the fornix below it
    CEREBELLAR_WHITE = 13
    OTHER = 14  # cerebellar cortex, medulla, amygdala, optic chiasm


#: Structures of white matter, of which some have lesions or PVS that look like grey matter or CSF.
WHITE = (Structure.LOBAR, Structure.INTERNAL_CAPSULE, Structure.EXTERNAL_CAPSULE, Structure.CALLOSUM)
#: The nuclei that visual scales count as basal ganglia; the capsules lie among them.
NUCLEI = (Structure.CAUDATE, Structure.LENTIFORM, Structure.THALAMUS)
#: Heights in the template (mm) of the lower ends of midbrain and pons.
MIDBRAIN_BOTTOM, PONS_BOTTOM = -24, -50
#: The label "ventral diencephalon" holds the cerebral peduncles, too: below and behind this they are counted
#: as midbrain (z, y in the template, mm).
PEDUNCLES = (-8, -8)
#: What lies between the nuclei below the anterior commissure is no internal capsule: near the midline (|x|
#: and z in the template, mm) it is diencephalon; farther out and in front (z, y) it is the basal forebrain
#: above the anterior perforated substance, where the vessels of the lentiform nucleus enter.
NEAR_MIDLINE, BASAL_FOREBRAIN = (12, 0), (-4, -8)
#: Largest distance (mm) of the external capsule from the putamen, and from the insular cortex.
FROM_PUTAMEN, FROM_INSULA = 6.0, 8.0
#: The corpus callosum is followed this far from the midline (mm); then it is part of the deep white matter.
CALLOSUM_WIDTH = 8

_BRAINSTEM = 16
_OF_FREESURFER = {
    Structure.CAUDATE: (11, 50, 26, 58),
    Structure.LENTIFORM: (12, 51, 13, 52),
    Structure.THALAMUS: (9, 48, 10, 49),
    Structure.VENTRAL_DIENCEPHALON: (28, 60),
    Structure.HIPPOCAMPUS: (17, 53),
    Structure.VENTRICLE: (4, 43, 5, 44, 15),
    Structure.THIRD_VENTRICLE: (14,),
    Structure.CALLOSUM: (251, 252, 253, 254, 255),
    Structure.CEREBELLAR_WHITE: (7, 46),
    Structure.OTHER: (8, 47, 18, 54, 85),
}
#: Codes of white matter of the cerebrum, also where it has lesions, and of the cortex as a whole.
_CEREBRAL_WHITE, _CORTEX = (2, 41, 77, 78, 79, 25, 57), (3, 42)
#: Largest code of a structure; aparc codes of the cortex are larger.
_LARGEST = 255


def _lookup() -> np.ndarray:
    table = np.zeros(_LARGEST + 1, np.uint8)
    for structure, codes in _OF_FREESURFER.items():
        table[list(codes)] = structure
    return table


@lru_cache(maxsize=1)
def template_structures() -> np.ndarray:
    """The template's map of structures.

    Returns
    -------
    structures : ndarray of uint8, shape (193, 229, 193)
        Values of `Structure`, on the template's grid; not to be changed.
    """
    atlas = template.load()
    x, y, z = (
        (atlas.affine[k, k] * np.arange(n) + atlas.affine[k, 3]).reshape(
            [-1 if k == i else 1 for i in range(3)]
        )
        for k, n in enumerate(atlas.cerebra.shape)
    )
    codes = np.zeros(int(atlas.cerebra.max()) + 1, np.int16)
    for freesurfer, values in template.FREESURFER_CODES.items():
        codes[list(values)] = freesurfer
    labels = codes[atlas.cerebra]
    out = _lookup()[labels]
    brainstem = labels == _BRAINSTEM
    out[brainstem] = Structure.OTHER
    out[brainstem & (z > PONS_BOTTOM)] = Structure.PONS
    peduncles = (out == Structure.VENTRAL_DIENCEPHALON) & (z < PEDUNCLES[0]) & (y < PEDUNCLES[1])
    out[(brainstem & (z > MIDBRAIN_BOTTOM)) | peduncles] = Structure.MIDBRAIN
    add_internal_capsule(out, x < 0)
    between = out == Structure.INTERNAL_CAPSULE
    near = between & (np.abs(x) < NEAR_MIDLINE[0]) & (z < NEAR_MIDLINE[1])
    out[between & (z < BASAL_FOREBRAIN[0]) & (y > BASAL_FOREBRAIN[1])] = Structure.LENTIFORM
    out[near] = Structure.VENTRAL_DIENCEPHALON
    _add_external_capsule(out, atlas)
    _add_callosum(out, atlas.wm, np.abs(x))
    out.flags.writeable = False
    return out


def add_internal_capsule(structures: np.ndarray, left: np.ndarray) -> None:
    """Mark what is between the nuclei: in each axial section, what their convex hull holds.

    Parameters
    ----------
    structures : ndarray of uint8, shape (x, y, z)
        Values of `Structure`, on a grid near RAS; changed in place.
    left : ndarray of bool, which broadcasts to that shape
        The left half.
    """
    nuclei = np.isin(structures, NUCLEI)
    if not nuclei.any():
        return
    box = bounding_box(nuclei, 1)
    inner = structures[box]
    for side in (left, ~left):
        part: np.ndarray = np.logical_and(nuclei, side)[box]
        for k in np.flatnonzero(part.any((0, 1))):
            section = inner[:, :, k]
            section[_convex_hull(part[:, :, k]) & (section == Structure.LOBAR)] = Structure.INTERNAL_CAPSULE


def _convex_hull(mask: np.ndarray) -> np.ndarray:
    """Pixels whose centres lie in the convex hull of a mask, or on its edge; shape (x, y)."""
    points = np.argwhere(mask)
    try:
        corners = points[ConvexHull(points).vertices]  # counterclockwise
    except QhullError:  # fewer than three points, or all on a line
        return mask
    x, y = np.ogrid[: mask.shape[0], : mask.shape[1]]
    inside = np.ones(mask.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        inside &= (x1 - x0) * (y - y0) >= (y1 - y0) * (x - x0)  # on the left of each side, in whole numbers
    return inside


def _add_external_capsule(structures: np.ndarray, atlas: template.Template) -> None:
    """Mark the white matter and the claustrum between the lentiform nucleus and the insula."""
    putamen: np.ndarray = np.isin(
        atlas.cerebra, [*template.FREESURFER_CODES[51], *template.FREESURFER_CODES[12]]
    )
    insula = np.isin(atlas.cerebra, [value + side for value in template.LOBES['insula'] for side in (0, 51)])
    has_putamen: np.ndarray = np.any(putamen, axis=(0, 1))
    box = bounding_box(putamen, int(FROM_PUTAMEN) + 1)
    between = (edt.edt(~putamen[box]) <= FROM_PUTAMEN) & (edt.edt(~insula[box]) <= FROM_INSULA)
    between &= np.equal(atlas.cerebra[box], 0) & has_putamen[box[2]] & (structures[box] == Structure.LOBAR)
    inner = structures[box]
    inner[between] = Structure.EXTERNAL_CAPSULE


def _add_callosum(structures: np.ndarray, white: np.ndarray, from_midline: np.ndarray) -> None:
    """Mark the corpus callosum: the largest piece of white matter in the midline, and what lies beside it."""
    free = structures == Structure.LOBAR
    middle: np.ndarray = cc3d.largest_k((white > 0.6) & (from_midline <= 2) & free, k=1, connectivity=6)
    section = ndimage.binary_dilation((middle > 0).any(0), iterations=2)
    beside: np.ndarray = section & (from_midline <= CALLOSUM_WIDTH) & (white > 0.3) & free
    structures[beside] = Structure.CALLOSUM


def with_own_labels(structures: np.ndarray, labels: np.ndarray, left: np.ndarray) -> np.ndarray:
    """The template's structures in a scan, mended by a ready-made segmentation of this scan.

    Where the segmentation names a structure, it is right. Where it names white matter or cortex, the
    template's capsules and corpus callosum stay, and its other structures go. The brainstem, which a
    segmentation does not divide, is divided as the template is.

    Parameters
    ----------
    structures : ndarray of uint8, shape (x, y, z)
        Values of `Structure`: the template's, in the scan.
    labels : ndarray of int, shape (x, y, z)
        FreeSurfer codes (aseg, aparc+aseg, SynthSeg).
    left : ndarray of bool, shape (x, y, z)
        The left half.

    Returns
    -------
    structures : ndarray of uint8, shape (x, y, z)
    """
    known = np.where((labels >= 0) & (labels <= _LARGEST), labels, 0)
    own = _lookup()[known]
    out = np.where(own > 0, own, structures)
    cortex = np.isin(labels, _CORTEX) | (labels > _LARGEST)
    between = np.isin(structures, (Structure.EXTERNAL_CAPSULE, Structure.CALLOSUM))
    out[(np.isin(labels, _CEREBRAL_WHITE) & ~between) | cortex] = Structure.LOBAR
    brainstem = labels == _BRAINSTEM
    parts = (Structure.MIDBRAIN, Structure.PONS, Structure.OTHER)
    out[brainstem] = np.where(np.isin(structures, parts), structures, Structure.OTHER)[brainstem]
    peduncles = (own == Structure.VENTRAL_DIENCEPHALON) & (structures == Structure.MIDBRAIN)
    out[peduncles] = Structure.MIDBRAIN
    add_internal_capsule(out, left)
    out[(out == Structure.INTERNAL_CAPSULE) & (structures == Structure.VENTRAL_DIENCEPHALON)] = (
        Structure.VENTRAL_DIENCEPHALON
    )
    out[cortex & (out == Structure.INTERNAL_CAPSULE)] = Structure.LOBAR
    return out


def is_segmentation(labels: np.ndarray) -> bool:
    """Whether labels name structures: those of tissues alone (0 to 3) do not."""
    nuclei = [code for structure in NUCLEI for code in _OF_FREESURFER[structure]]
    return bool(np.isin(labels, nuclei).any())
