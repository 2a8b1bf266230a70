"""The regions in which perivascular spaces are looked for.

The template's CerebrA labels say which structure and which lobe; the subject's own tissue says
where white matter, ventricles and cortex are. Ventricles with a margin are kept out. There is no
margin along the cortex: spaces that reach it are dark there and already look like grey matter, so
that a voxel of margin took a tenth of all spaces and hardly a false finding (docs/method.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from scipy import ndimage

from . import template, tissues
from .morphology import close
from .registration import Transform, apply
from .resampling import Grid

LOBES = ('frontal', 'parietal', 'temporal', 'occipital', 'insula')
#: Margin kept clear, in mm.
VENTRICLE_MARGIN = 1.5


@dataclass(frozen=True)
class Region:
    """One value of the region map.

    Attributes
    ----------
    index : int
    name : str
        As in the tables, e.g. ``deep white matter frontal``.
    hemisphere : str
        ``left``, ``right`` or ``both``.
    """

    index: int
    name: str
    hemisphere: str


def _all_regions() -> tuple[Region, ...]:
    found = []
    for offset, side in ((0, 'left'), (10, 'right')):
        found += [Region(offset + k, f'deep white matter {lobe}', side) for k, lobe in enumerate(LOBES, 1)]
    found += [Region(21, 'basal ganglia', 'left'), Region(22, 'basal ganglia', 'right')]
    found += [Region(31, 'midbrain', 'both')]
    found += [Region(41, 'hippocampus', 'left'), Region(42, 'hippocampus', 'right')]
    return tuple(found)


REGIONS = _all_regions()
BASAL_GANGLIA = (50, 51, 52, 58)
_VENTRICLES = (43, 44, 14, 15)


def find_regions(
    brain: np.ndarray, classes: np.ndarray, affine: np.ndarray, to_subject: Transform
) -> np.ndarray:
    """The region map of a scan.

    Parameters
    ----------
    brain : ndarray of bool, shape (x, y, z)
        At 1 mm.
    classes : ndarray of uint8
        Tissue classes of `pvs_bidsapp.anatomy.tissues`.
    affine : ndarray, shape (4, 4)
    to_subject : Transform
        From the template to the scan.

    Returns
    -------
    regions : ndarray of uint8
        Indices of `REGIONS`; 0 elsewhere.
    """
    grid = Grid(brain.shape, affine)
    atlas = template.load()

    def bring(image: np.ndarray, interpolation: str = 'linear') -> np.ndarray:
        return apply(image, atlas.affine, grid, to_subject, interpolation=interpolation)

    structures = np.rint(bring(_structures(atlas), 'nearestNeighbor')).astype(np.uint8)
    lobes = np.rint(bring(_lobes(atlas), 'nearestNeighbor')).astype(np.uint8)
    left = bring(template.left_half(atlas).astype(np.float32)) > 0.5
    white = white_matter(classes, bring(atlas.wm), structures)
    ventricles = find_ventricles(classes, brain, structures)
    clear = brain & (edt.edt(~ventricles) > VENTRICLE_MARGIN)
    ganglia = _own_ganglia(structures, white, brain)
    deep = white & clear
    regions = np.zeros(brain.shape, np.uint8)
    regions[deep] = lobes[deep]
    regions[deep & ~left] += 10
    inner = brain & (edt.edt(~ventricles) > 1.0)
    places = (
        (ganglia, 21, True),
        (structures == _MIDBRAIN, 31, False),
        (structures == _HIPPOCAMPUS, 41, True),
    )
    for place, index, sided in places:
        where = place & inner
        regions[where] = index
        if sided:
            regions[where & ~left] = index + 1
    return regions


_GANGLIA, _MIDBRAIN, _HIPPOCAMPUS, _VENTRICLE, _OTHER = 1, 2, 3, 4, 5


def _structures(atlas: template.Template) -> np.ndarray:
    """Template map: what is not lobar white matter, by the codes above."""
    out = np.zeros(atlas.cerebra.shape, np.float32)

    def select(*freesurfer: int) -> np.ndarray:
        twins = {43: 4, 44: 5, 47: 8, 46: 7, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 58: 26, 60: 28}
        codes = [c for f in freesurfer for c in (f, twins.get(f, f))]
        values = [v for c in codes for v in template.FREESURFER_CODES[c]]
        return np.isin(atlas.cerebra, values)

    height: np.ndarray = atlas.affine[2, 2] * np.arange(len(atlas.t1w[0, 0])) + atlas.affine[2, 3]
    low = np.broadcast_to((height < -2).reshape(1, 1, -1), out.shape)
    high = np.broadcast_to((height > -24).reshape(1, 1, -1), out.shape)
    out[select(16, 47, 46, 49, 54, 60, 85)] = _OTHER
    out[(select(16) & high) | (select(60) & low)] = _MIDBRAIN
    out[select(*_VENTRICLES)] = _VENTRICLE
    out[select(53)] = _HIPPOCAMPUS
    out[select(*BASAL_GANGLIA)] = _GANGLIA
    return out


def _lobes(atlas: template.Template) -> np.ndarray:
    """Template map: the lobe of the nearest cortex, 1 to 5 (worked out at 2 mm)."""
    coarse = atlas.cerebra[::2, ::2, ::2]
    lobe = np.zeros(coarse.shape, np.uint8)
    for k, name in enumerate(LOBES, start=1):
        right = np.array(template.LOBES[name])
        lobe[np.isin(coarse, [*right, *(right + 51)])] = k
    nearest = ndimage.distance_transform_edt(lobe == 0, return_distances=False, return_indices=True)
    full = lobe[tuple(nearest)].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    return full[tuple(slice(0, n) for n in atlas.cerebra.shape)].astype(np.float32)


def _own_ganglia(structures: np.ndarray, white: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The template's basal ganglia, and what of the subject's own lies between them and white matter.

    Up to 2 mm off the template's nuclei there is no cortex (the claustrum and insula lie
    farther), so what is not white matter there belongs to the nuclei or to their spaces.
    """
    nuclei = structures == _GANGLIA
    near = edt.edt(~nuclei) <= 2.0
    return nuclei | (near & brain & ~white & (structures == 0))


def white_matter(classes: np.ndarray, prior: np.ndarray, structures: np.ndarray) -> np.ndarray:
    """Cerebral white matter with what lies in it: lesions and perivascular spaces filled.

    Parameters
    ----------
    classes : ndarray of uint8
    prior : ndarray of float
        The template's white matter probability in the scan.
    structures : ndarray of uint8
        Nuclei, brainstem and cerebellum are left out.
    """
    own = (classes == tissues.WM) & (structures == 0)
    # dark spots are filled where the template expects white matter, or if white matter surrounds them
    closed = close(own, 3.0, fill=False)
    filled = own | (closed & (prior > 0.3)) | ((prior > 0.95) & (classes > 0))
    filled &= structures == 0
    holes = ~filled
    small = cc3d.dust(holes, threshold=200, connectivity=6, binary_image=True)
    filled |= holes & ~(small > 0) & (classes > 0) & (structures == 0)
    return cc3d.dust(filled, threshold=5000, connectivity=6, binary_image=True) > 0


def find_ventricles(classes: np.ndarray, brain: np.ndarray, structures: np.ndarray) -> np.ndarray:
    """The subject's ventricles: CSF joined to the template's ventricles and near to them."""
    expected = structures == _VENTRICLE
    fluid = (classes == tissues.CSF) & brain & (edt.edt(~expected) < 7)
    labels = cc3d.connected_components(fluid | (expected & (classes != tissues.WM)), connectivity=6)
    hit = np.unique(labels[expected])
    found = np.isin(labels, hit[hit > 0])
    return cc3d.dust(found, threshold=30, connectivity=6, binary_image=True) > 0
