"""Anatomies of simulated heads: whole-head label maps with FreeSurfer and SynthSeg codes.

Arrays are in RAS order, ``(x, y, z)``; affines map voxels to scanner RAS+ mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import edt
import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from ..anatomy import template
from ..anatomy.mask_image import read_label_map
from ..anatomy.morphology import bounding_box, close
from ..messages import options
from .fields import smooth_field

# FreeSurfer codes of each structure
WHITE_MATTER = (2, 41, 25, 57, 77, 78, 79, 251, 252, 253, 254, 255)
CORTEX = (3, 42)
LATERAL_VENTRICLES = (4, 43, 5, 44)
VENTRICLES = (*LATERAL_VENTRICLES, 14, 15, 72)
CSF = (*VENTRICLES, 24)
THALAMUS = (10, 49)
CAUDATE = (11, 50)
PUTAMEN = (12, 51)
PALLIDUM = (13, 52)
ACCUMBENS = (26, 58)
BASAL_GANGLIA = (*CAUDATE, *PUTAMEN, *PALLIDUM)
HIPPOCAMPUS = (17, 53)
AMYGDALA = (18, 54)
BRAINSTEM = (16,)
VENTRAL_DC = (28, 60)
CEREBELLUM_WM = (7, 46)
CEREBELLUM_GM = (8, 47)
#: FreeSurfer's "vessel": PVS that the label map has already, mostly low in the putamen.
LABELLED_PVS = (30, 62)
#: Other CSF and vessel labels of the SynthSeg training maps (choroid plexus, recesses).
VESSEL_SPACES = (31, 63, 136, 137, 163, 164)
#: Codes from this one on are outside the brain: skull, skin, eyes, air.
FIRST_HEAD_CODE = 500
#: Parcels of FreeSurfer (aparc+aseg, aparc.a2009s+aseg, wmparc), with the structures as which they are read.
PARCELS = (
    (1000, 2000, 3), (2000, 3000, 42), (11100, 11200, 3), (12100, 12200, 42),
    (3000, 4000, 2), (4000, 5000, 41), (13100, 13200, 2), (14100, 14200, 41),
    (5001, 5002, 2), (5002, 5003, 41),
)  # fmt: skip
#: Codes from here on have no meaning here, but for the parcels.
FIRST_UNKNOWN_CODE = 1000
#: Most codes that a label map has: FreeSurfer and SynthSeg give half as many, and a scan has more values.
MOST_CODES = 120
#: Voxel sizes of label maps, in mm.
VOXEL_SIZES = (0.3, 3.0)

#: Margin of the head that is kept around the brain, in mm.
MARGIN = 26.0

_SWAP_PAIRS = (
    (2, 41), (3, 42), (4, 43), (5, 44), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52),
    (17, 53), (18, 54), (25, 57), (26, 58), (28, 60), (31, 63), (136, 137), (163, 164),
)  # fmt: skip


@dataclass(frozen=True)
class Anatomy:
    """A label map in which PVS can be simulated.

    Attributes
    ----------
    labels : ndarray of int16, shape (x, y, z)
        FreeSurfer codes; 0 is background.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm; diagonal except for the translation.
    name : str
        Name of the source.
    """

    labels: np.ndarray
    affine: np.ndarray
    name: str

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size in mm, shape (3,)."""
        return voxel_sizes(self.affine)

    def select(self, *codes: int) -> np.ndarray:
        """Boolean mask, shape (x, y, z), of the voxels with one of these codes."""
        table = np.zeros(int(self.labels.max()) + 1, bool)
        table[[c for c in codes if c < table.size]] = True
        return table[self.labels]


def load_label_map(path: Path) -> Anatomy:
    """Read a label map (SynthSeg, or FreeSurfer's aseg, aparc+aseg or wmparc) in RAS order.

    PVS labels are replaced (see `fill_labelled_pvs`), and a head is added if the map has none (see
    `with_head`).

    Parameters
    ----------
    path : Path
        NIfTI or MGH.

    Raises
    ------
    ImageError
        If the file cannot be read, holds other values than labels, such as a scan, or codes of another kind,
        has no white matter (codes 2 and 41), or voxels of an odd size.
    """
    volume = read_label_map(Path(path))
    spacing = voxel_sizes(volume.affine)
    low, high = VOXEL_SIZES
    if not np.all((spacing >= low) & (spacing <= high)):
        zooms = ' x '.join(f'{size:.3g}' for size in spacing)
        raise options.LABEL_MAP_VOXELS.error(path, zooms=zooms, low=low, high=high)
    labels = volume.data
    for first, end, code in PARCELS:
        labels[(labels >= first) & (labels < end)] = code
    if (unknown := int(labels.max())) >= FIRST_UNKNOWN_CODE:
        raise options.LABEL_MAP_CODES.error(path, code=unknown)
    if (count := np.unique(labels).size) > MOST_CODES:
        raise options.LABEL_MAP_IS_SCAN.error(path, count=count)
    if not (np.any(labels == 2) and np.any(labels == 41)):
        raise options.LABEL_MAP_NO_WHITE_MATTER.error(path)
    labels = fill_labelled_pvs(labels.astype(np.int16), spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = volume.affine[:3, 3]
    anatomy = Anatomy(labels, affine, Path(path).name.split('.')[0])
    return anatomy if labels.max() >= FIRST_HEAD_CODE else with_head(anatomy)


def fill_labelled_pvs(labels: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Replace the PVS that a label map has already by the nearest tissue.

    The ground truth holds simulated PVS only; a real one in the image would be missing from it.

    Parameters
    ----------
    labels : ndarray of int16, shape (x, y, z)
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    """
    labelled = np.isin(labels, LABELLED_PVS)
    if not labelled.any():
        return labels
    box = bounding_box(labelled, 5)
    nearest = ndimage.distance_transform_edt(
        labelled[box], sampling=spacing, return_distances=False, return_indices=True
    )
    filled = labels.copy()
    filled[box] = labels[box][tuple(nearest)]
    return filled


def distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Distance to the nearest voxel of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (x, y, z)
    spacing : ndarray, shape (3,)
        Voxel size in mm.

    Returns
    -------
    distance : ndarray of float32, shape (x, y, z)
        In mm; 0 in the mask, 1000 everywhere if the mask is empty.
    """
    if not mask.any():
        return np.full(mask.shape, 1000.0, np.float32)
    return edt.edt(~mask, anisotropy=tuple(spacing), black_border=False)


def with_head(anatomy: Anatomy) -> Anatomy:
    """Add a simple head to a label map of the brain alone, such as FreeSurfer's.

    The head consists of layers of 2.5 mm of CSF, 6 mm of skull and 5 mm of scalp (our own choice).
    """
    pad = int(np.ceil(24 / anatomy.spacing.min()))
    labels = np.pad(anatomy.labels, pad)
    affine = anatomy.affine.copy()
    affine[:3, 3] -= pad * anatomy.spacing
    brain = labels > 0
    hull = distance(~(distance(brain, anatomy.spacing) < 10), anatomy.spacing) > 10
    depth = distance(hull | brain, anatomy.spacing)
    # scalp (511, 516), skull (515) and CSF (24), from the outermost layer inward
    for code, reach in ((511, 13.5), (516, 12.0), (515, 8.5), (24, 2.5)):
        labels[(depth < reach) & ~brain] = code
    return Anatomy(labels, affine, anatomy.name)


def template_anatomy() -> Anatomy:
    """Label map of the bundled template: CerebrA structures, tissue maps and a simple head.

    It is the default anatomy; the demonstration and the tests need no other files.
    """
    atlas = template.load()
    labels = np.zeros(atlas.t1w.shape, np.int16)
    head = ndimage.binary_fill_holes(
        ndimage.binary_closing(ndimage.gaussian_filter(atlas.t1w, 1) > 18, iterations=4)
    )
    labels[head] = 507
    labels[head & (atlas.t1w < 30)] = 515
    labels[head & ~ndimage.binary_erosion(head, iterations=3)] = 511
    inside = atlas.brain_mask
    labels[inside] = 24
    left = template.left_half(atlas)
    for tissue, codes in ((atlas.gm, (42, 3)), (atlas.wm, (41, 2))):
        present = inside & (tissue > 0.45)
        labels[present & ~left], labels[present & left] = codes
    for code, structure in template.FREESURFER_CODES.items():
        mask = np.isin(atlas.cerebra, structure) & inside
        labels[mask] = code
    return Anatomy(labels, atlas.affine, 'MNI152NLin2009cSym')


def crop(anatomy: Anatomy, margin: float) -> Anatomy:
    """Crop an anatomy to the brain and a margin around it.

    Parameters
    ----------
    anatomy : Anatomy
    margin : float
        In mm.
    """
    brain = np.argwhere((anatomy.labels > 0) & (anatomy.labels < FIRST_HEAD_CODE))
    pad = np.ceil(margin / anatomy.spacing).astype(int)
    low = np.maximum(brain.min(0) - pad, 0)
    high = np.minimum(brain.max(0) + pad + 1, anatomy.labels.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    affine = anatomy.affine.copy()
    affine[:3, 3] += low * anatomy.spacing
    return Anatomy(np.ascontiguousarray(anatomy.labels[box]), affine, anatomy.name)


def mirror(anatomy: Anatomy) -> Anatomy:
    """Mirror an anatomy: left and right, and their codes, are swapped."""
    lookup = np.arange(int(anatomy.labels.max()) + 1, dtype=np.int16)
    for left, right in _SWAP_PAIRS:
        if max(left, right) < lookup.size:
            lookup[left], lookup[right] = right, left
    present = set(np.unique(anatomy.labels).tolist())
    for left, right in _SWAP_PAIRS:  # the counterpart is beyond the end of the table
        if left in present and right >= lookup.size:
            lookup[left] = right
    return Anatomy(lookup[anatomy.labels[::-1]], anatomy.affine, anatomy.name + '-mirrored')


def deform(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    spacing: float = 1.0,
    rotation: float = 6.0,
    scaling: float = 0.06,
    shift: float = 2.5,
    margin: float = MARGIN,
) -> Anatomy:
    """Deform an anatomy by a random affine and a smooth random displacement.

    The default values are our own choice.

    Parameters
    ----------
    anatomy : Anatomy
    rng : numpy.random.Generator
    spacing : float
        Voxel size of the result in mm.
    rotation : float
        Largest rotation about each axis, in degrees.
    scaling : float
        Largest relative scaling along each axis.
    shift : float
        Standard deviation of the displacement in mm. Its control points are 32 mm apart.
    margin : float
        Margin of the head that is kept around the brain, in mm.
    """
    brain = np.argwhere((anatomy.labels > 0) & (anatomy.labels < FIRST_HEAD_CODE))
    low = brain.min(0) * anatomy.spacing - margin
    high = np.minimum(brain.max(0), np.array(anatomy.labels.shape) - 1) * anatomy.spacing + margin
    shape = np.ceil((high - low) / spacing).astype(int)
    centre = (low + high) / 2
    matrix = random_affine(rng, rotation, scaling)
    grid = [(np.arange(n) - (n - 1) / 2) * spacing for n in shape]
    control = tuple(max(4, int(np.ceil(n * spacing / 32)) + 1) for n in shape)
    coordinates = []
    for axis in range(3):
        field = shift * smooth_field(tuple(shape), control, rng)
        for j in range(3):
            view = [1, 1, 1]
            view[j] = -1
            field = field + (matrix[axis, j] * grid[j]).reshape(view).astype(np.float32)
        coordinates.append((field + centre[axis]) / anatomy.spacing[axis])
    labels = ndimage.map_coordinates(anatomy.labels, coordinates, order=0, mode='constant')
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -(shape - 1) / 2 * spacing
    return Anatomy(labels, affine, anatomy.name)


def random_affine(rng: np.random.Generator, rotation: float, scaling: float) -> np.ndarray:
    """Draw rotations and scalings about the axes at random.

    Parameters
    ----------
    rng : numpy.random.Generator
    rotation : float
        Largest rotation about each axis, in degrees.
    scaling : float
        Largest relative scaling along each axis.

    Returns
    -------
    matrix : ndarray, shape (3, 3)
    """
    angles = np.deg2rad(rng.uniform(-rotation, rotation, 3))
    matrix = np.diag(1 + rng.uniform(-scaling, scaling, 3))
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        rotated = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        rotated[i, i], rotated[i, j], rotated[j, i], rotated[j, j] = c, -s, s, c
        matrix = rotated @ matrix
    return matrix


def brain_mask(anatomy: Anatomy) -> np.ndarray:
    """The reference brain mask: all brain labels except CSF (24), closed by 3 mm, holes filled.

    Returns
    -------
    mask : ndarray of bool, shape (x, y, z)
    """
    brain = (anatomy.labels > 0) & (anatomy.labels < FIRST_HEAD_CODE) & (anatomy.labels != 24)
    return close(brain, 3.0, tuple(anatomy.spacing))


def tissue_classes(anatomy: Anatomy, inside: np.ndarray) -> np.ndarray:
    """Tissue classes of an anatomy inside a brain mask, as in `pvs_bidsapp.anatomy.tissues`.

    Parameters
    ----------
    anatomy : Anatomy
    inside : ndarray of bool, shape (x, y, z)
        Brain mask.

    Returns
    -------
    classes : ndarray of uint8, shape (x, y, z)
        1 CSF, 2 grey matter, 3 white matter, 0 outside the mask.
    """
    classes = np.zeros(anatomy.labels.shape, np.uint8)
    classes[inside] = 2
    classes[inside & anatomy.select(*CSF, *VESSEL_SPACES, 0)] = 1
    white = (*WHITE_MATTER, *CEREBELLUM_WM, *BRAINSTEM, *VENTRAL_DC)
    classes[inside & anatomy.select(*white)] = 3
    classes[inside & (anatomy.labels >= FIRST_HEAD_CODE)] = 1
    return classes
