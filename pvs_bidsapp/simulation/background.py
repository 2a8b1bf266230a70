"""Real scans prepared as backgrounds of training patches, in which spaces are drawn anew each time.

A scan also shows the person's own spaces, which nobody has traced. What may be one is left out of the loss:
voxels that a model finds likely, and those that look like a tube, each with its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cc3d
import edt
import numpy as np
from scipy import ndimage
from skimage.feature import hessian_matrix

from ..anatomy.regions import REGIONS
from ..anatomy.tissues import CSF, GM, WM
from ..segmentation.intensity import TissueNormalization
from . import label_maps as codes
from .insertion import fluid_change
from .label_maps import Anatomy
from .patch_source import REGION, PatchSource, source_arrays, source_from, source_of

#: Voxels with a larger probability may be a space.
LIKELY = 0.05
#: Standard deviations in mm of the Gaussian filters of the vesselness.
SCALES = (0.6, 1.0)
#: A voxel looks like a tube if its vesselness is so many standard deviations above the median.
TUBULAR = 4.0
#: CSF as deep in the brain mask, as far from cortex, and as near to a nucleus is in a ventricle; in mm.
VENTRICLE_DEPTH, CORTEX_DISTANCE, NUCLEUS_DISTANCE = 10.0, 1.5, 8.0
#: Smaller pieces of grey matter, in mm³, are ends of spaces and rims of nuclei, not cortex.
SMALLEST_CORTEX = 2000.0
#: Limits of the resolution, as a full width at half maximum in voxels.
FWHM = (0.3, 3.0)
#: FreeSurfer codes on the left and on the right of the regions of a region map; of lobes: white matter.
REGION_CODES = {
    'caudate': codes.CAUDATE,
    'lentiform nucleus': codes.PUTAMEN,
    'thalamus': codes.THALAMUS,
    'ventral diencephalon': codes.VENTRAL_DC,
    'midbrain': (*codes.BRAINSTEM, *codes.BRAINSTEM),
    'pons': (*codes.BRAINSTEM, *codes.BRAINSTEM),
    'hippocampus': codes.HIPPOCAMPUS,
    'cerebellum': codes.CEREBELLUM_WM,
}
_NUCLEI = (*codes.CAUDATE, *codes.THALAMUS)
#: Begin of the names of the arrays of `Background.source` in a file.
_OF_SOURCE = 'source_'


@dataclass(frozen=True, kw_only=True)
class ScanMaps:
    """A scan with what is known of it, all on the network's grid; arrays of shape (x, y, z).

    Attributes
    ----------
    image : ndarray of float32, shape (channels, x, y, z)
        Normalized, not masked.
    brain : ndarray of bool
    tissues : ndarray of int
        Classes of `pvs_bidsapp.anatomy.tissues`.
    regions : ndarray of int
        Indices of `pvs_bidsapp.anatomy.regions.REGIONS`.
    probability : ndarray of float32
        Of a perivascular space, in [0, 1].
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    """

    image: np.ndarray
    brain: np.ndarray
    tissues: np.ndarray
    regions: np.ndarray
    probability: np.ndarray
    spacing: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Background:
    """A real scan with all that the drawing of a patch looks up.

    Attributes
    ----------
    source : PatchSource
        Its anatomy; the regions are those in which spaces may be drawn.
    image : ndarray of float16, shape (channels, x, y, z)
        Normalized, not masked.
    fluid : ndarray of float16, shape (channels, x, y, z)
        By how much a voxel changes if fluid takes the place of its tissue, see
        `pvs_bidsapp.simulation.insertion.fluid_change`.
    brain : ndarray of bool, shape (x, y, z)
    left_out : ndarray of bool, shape (x, y, z)
        What may be a space of the person's own.
    fwhm : ndarray, shape (channels, 3)
        Resolution along each axis, in mm.
    """

    source: PatchSource
    image: np.ndarray
    fluid: np.ndarray
    brain: np.ndarray
    left_out: np.ndarray
    fwhm: np.ndarray


def prepare_background(name: str, maps: ScanMaps, normalization: TissueNormalization) -> Background:
    """Prepare a scan.

    Parameters
    ----------
    name : str
    maps : ScanMaps
    normalization : TissueNormalization
        That of the image.
    """
    anatomy = anatomy_of_regions(name, maps)
    source = source_of(anatomy)
    source.voxels[..., REGION][maps.regions == 0] = 0
    left_out = possible_spaces(maps, anatomy.labels)
    tissue = (maps.tissues >= GM) & maps.brain & ~left_out
    quiet = ndimage.binary_erosion((maps.regions > 0) & (maps.tissues == WM)) & ~left_out
    is_darker = normalization.csf < normalization.wm
    fluid = [
        fluid_change(channel, tissue, normalization.csf, maps.spacing, is_darker=is_darker)
        for channel in maps.image
    ]
    return Background(
        source=source,
        image=maps.image.astype(np.float16),
        fluid=np.stack(fluid).astype(np.float16),
        brain=maps.brain,
        left_out=left_out,
        fwhm=np.stack([resolution(channel, quiet, maps.spacing) for channel in maps.image]),
    )


def anatomy_of_regions(name: str, maps: ScanMaps) -> Anatomy:
    """A label map with FreeSurfer codes, from regions and tissue classes.

    Ventricles are not among the regions. CSF deep in the brain, far from cortex and near caudate or thalamus
    counts as such: vessels of white matter run toward it.

    Parameters
    ----------
    name : str
    maps : ScanMaps
    """
    labels = np.zeros(maps.brain.shape, np.int16)
    labels[maps.brain & (maps.tissues == CSF)] = 24
    labels[maps.brain & (maps.tissues >= GM)] = codes.WHITE_MATTER[0]
    cortex = maps.brain & (maps.tissues == GM) & (maps.regions == 0)
    smallest = SMALLEST_CORTEX / float(np.prod(maps.spacing))
    labels[cc3d.dust(cortex, threshold=smallest, connectivity=6, binary_image=True) > 0] = codes.CORTEX[0]
    for region in REGIONS:
        left, right = REGION_CODES.get(region.name, codes.WHITE_MATTER[:2])
        labels[maps.regions == region.index] = right if region.hemisphere == 'right' else left
    labels[_ventricles(labels, maps)] = codes.LATERAL_VENTRICLES[0]
    return Anatomy(labels, np.diag([*maps.spacing, 1.0]), name)


def _ventricles(labels: np.ndarray, maps: ScanMaps) -> np.ndarray:
    """Pieces of CSF far from cortex and deep in the brain mask that come near to caudate or thalamus."""
    deep = edt.edt(maps.brain, anisotropy=tuple(maps.spacing), black_border=True) > VENTRICLE_DEPTH
    deep &= codes.distance(np.isin(labels, codes.CORTEX), maps.spacing) > CORTEX_DISTANCE
    pieces = cc3d.connected_components((labels == 24) & deep, connectivity=6)
    to_nuclei = codes.distance(np.isin(labels, _NUCLEI), maps.spacing)
    found = np.unique(pieces[to_nuclei < NUCLEUS_DISTANCE])
    return np.isin(pieces, found[found > 0])


# ---- the person's own spaces


def possible_spaces(maps: ScanMaps, labels: np.ndarray) -> np.ndarray:
    """What may be a space: likely, or like a tube in white matter and regions; grown by a voxel.

    Beside cortex and CSF, only what is likely counts: bottoms of sulci look like tubes, too.

    Parameters
    ----------
    maps : ScanMaps
    labels : ndarray of int, shape (x, y, z)
        As `anatomy_of_regions` finds them.

    Returns
    -------
    possible : ndarray of bool, shape (x, y, z)
    """
    possible = maps.probability > LIKELY
    inside = maps.brain & ((maps.regions > 0) | (maps.tissues == WM))
    inside &= ~ndimage.binary_dilation(np.isin(labels, (0, *codes.CORTEX, *codes.CSF)))
    for channel in maps.image:
        possible |= inside & (vesselness(channel, inside, maps.spacing) > TUBULAR)
    return ndimage.binary_dilation(possible, np.ones((3, 3, 3)))


def vesselness(image: np.ndarray, inside: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """How much the surroundings of each voxel are like a dark tube.

    The middle eigenvalue of the Hessian is positive at dark tubes and spots, and near 0 at dark sheets and at
    borders (Sato et al. 1998, doi:10.1016/S1361-8415(98)80009-1). It is divided by its spread in the scan, so
    that noise gives the same values in all scans.

    Parameters
    ----------
    image : ndarray of float32, shape (x, y, z)
        Spaces are darker than their surroundings, as in every channel of a network.
    inside : ndarray of bool, shape (x, y, z)
        Where it is computed.
    spacing : ndarray, shape (3,)
        Voxel size in mm.

    Returns
    -------
    vesselness : ndarray of float32, shape (x, y, z)
        The largest of all `SCALES`, in standard deviations (by the median absolute deviation) above the
        median; 0 outside of `inside`.
    """
    found = np.zeros(image.shape, np.float32)
    if not inside.any():
        return found
    edge = float(np.prod(spacing) ** (1 / 3))
    best = np.full(int(inside.sum()), -np.inf, np.float32)
    for scale in SCALES:
        elements = hessian_matrix(image, scale / edge, mode='nearest', use_gaussian_derivatives=True)
        rows, columns = np.triu_indices(3)
        matrices = np.empty((best.size, 3, 3), np.float32)
        for element, row, column in zip(elements, rows, columns, strict=True):
            values = element[inside] * edge**2 / (spacing[row] * spacing[column])
            matrices[:, row, column] = matrices[:, column, row] = values
        middle = np.linalg.eigvalsh(matrices)[:, 1]
        median = np.median(middle)
        spread = 1.4826 * np.median(np.abs(middle - median))
        best = np.maximum(best, (middle - median) / max(float(spread), 1e-6))
    found[inside] = best
    return found


# ---- the scanner


def resolution(image: np.ndarray, mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Resolution of a scan, from the smoothness of its noise.

    Noise that went through the point spread function of a reconstruction is correlated between neighbours,
    the more the wider the function is (Forman et al. 1995, doi:10.1002/mrm.1910330508). The result is the
    width of the Gaussian filter, as `pvs_bidsapp.simulation.artefacts.blur` applies it, that gives white
    noise this correlation.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
    mask : ndarray of bool, shape (x, y, z)
        Where the image shows little but noise.
    spacing : ndarray, shape (3,)
        Voxel size in mm.

    Returns
    -------
    fwhm : ndarray, shape (3,)
        Full width at half maximum along each axis, in mm; within the limits of `FWHM`.
    """
    weight = ndimage.gaussian_filter(mask.astype(np.float32), 2.0)
    local = ndimage.gaussian_filter(image * mask, 2.0) / np.maximum(weight, 1e-3)
    noise, fwhm = np.where(mask, image - local, 0), np.full(3, FWHM[0])
    widths = np.linspace(*FWHM, 100)
    correlations = [_correlation(width) for width in widths]
    variance = float(np.square(noise[mask]).mean()) if mask.any() else 0.0
    for axis in range(3):
        ahead, behind = (np.moveaxis(mask, axis, 0)[part] for part in (slice(1, None), slice(-1)))
        steps = np.diff(np.moveaxis(noise, axis, 0), axis=0)[ahead & behind]
        if steps.size and variance > 0:
            correlation = 1 - 0.5 * float(np.square(steps).mean()) / variance
            fwhm[axis] = np.interp(correlation, correlations, widths)
    return fwhm * spacing


def _correlation(fwhm: float) -> float:
    """Correlation of neighbours in white noise after a Gaussian filter of this width in voxels."""
    weights = np.exp(-0.5 * np.square(np.arange(-8, 9) * 2.3548 / fwhm))
    return float((weights[1:] * weights[:-1]).sum() / np.square(weights).sum())


# ---- files


def write_background(background: Background, path: Path) -> None:
    """Write a prepared scan.

    Parameters
    ----------
    background : Background
    path : Path
        ``.npz``; uncompressed, so that it is read quickly.
    """
    arrays = {_OF_SOURCE + key: value for key, value in source_arrays(background.source).items()}
    own = {key: value for key, value in vars(background).items() if key != 'source'}
    np.savez(path, **arrays, **own)


def read_background(path: Path) -> Background:
    """Read a prepared scan.

    Parameters
    ----------
    path : Path
        As `write_background` wrote it.
    """
    with np.load(path) as arrays:
        own = {key: arrays[key] for key in arrays.files if not key.startswith(_OF_SOURCE)}
        of_source = {k.removeprefix(_OF_SOURCE): arrays[k] for k in arrays.files if k.startswith(_OF_SOURCE)}
    return Background(source=source_from(of_source), **own)
