"""Reading and checking a scan, and the 1 mm grid on which its anatomy is found."""

from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from ..errors import ImageError
from .resampling import isotropic_grid, resample

LOG = logging.getLogger(__name__)

#: Voxel size (mm) at which anatomy is found; results are brought back to the scan's own grid.
WORKING_SPACING = 1.0
#: Largest voxel size of a scan that is accepted, in mm.
MAX_VOXEL_SIZE = 6.0
#: Smallest field of view along any axis that is accepted, in mm.
MIN_EXTENT = 60.0
#: Largest fraction of NaN or infinite voxels that is accepted.
MAX_NAN_FRACTION = 1e-3


def load_scan(path: Path) -> nib.Nifti1Image:
    """Read and check one 3D scan.

    Parameters
    ----------
    path : Path
        An image file that nibabel reads. Trailing axes of length 1 are dropped.

    Returns
    -------
    scan : Nifti1Image
        Of type float32, on the grid of the file; a few NaN or infinite voxels are set to 0.

    Raises
    ------
    ImageError
        If the file is damaged, not 3D, empty, constant, mostly NaN, or too small or too coarse for a head.
        The message names the file and says what to do.
    """
    path = Path(path)
    try:
        image = nib.load(path)
        shape = tuple(n for k, n in enumerate(image.shape) if k < 3 or n > 1)
        if len(shape) != 3:
            raise ImageError(
                f'{path}: {len(image.shape)}D {image.shape}; give one 3D volume (average or split it)'
            )
        data = np.asanyarray(image.dataobj, dtype=np.float32).reshape(shape)
    except ImageError:
        raise
    except Exception as error:  # a damaged file raises exceptions of nibabel, zlib and the system
        reason = ' '.join(str(error).split())[:120]
        raise ImageError(
            f'{path}: cannot be read, damaged or cut short ({reason}); copy or convert it again'
        ) from error
    _check_affine(path, image.affine, shape)
    return nib.Nifti1Image(_check_values(path, data), image.affine)


def _check_affine(path: Path, affine: np.ndarray, shape: tuple[int, ...]) -> None:
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise ImageError(f'{path}: its affine is not valid; set qform or sform, or convert it again')
    zooms = voxel_sizes(affine)
    extent = zooms * shape
    if zooms.max() > MAX_VOXEL_SIZE or extent.min() < MIN_EXTENT:
        raise ImageError(
            f'{path}: voxels of {_format_mm(zooms)} mm over {_format_mm(extent)} mm; a whole head in voxels '
            f'of at most {MAX_VOXEL_SIZE:g} mm is needed'
        )


def _format_mm(values: np.ndarray) -> str:
    return ' x '.join(f'{v:.3g}' for v in values)


def _check_values(path: Path, data: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(data)
    if bad.mean() > MAX_NAN_FRACTION:
        raise ImageError(
            f'{path}: {100 * bad.mean():.1f} % of its voxels are NaN or infinite; convert it again'
        )
    if bad.any():
        LOG.warning('%s: %d NaN or infinite voxels set to 0', path, bad.sum())
        data = np.where(bad, 0, data)
    low, high = float(data.min()), float(data.max())
    if low == high:
        what = 'empty (all zero)' if low == 0 else f'constant ({low:g})'
        raise ImageError(f'{path}: the image is {what}; export it again')
    return data


def working_image(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Resample a scan to 1 mm along its own axes, in the order nearest to RAS.

    Parameters
    ----------
    image : Nifti1Image
        As `load_scan` returns it.

    Returns
    -------
    image : Nifti1Image
        Of type float32, not negative.
    """
    grid = isotropic_grid(image.affine, image.shape, WORKING_SPACING)
    data = resample(image.get_fdata(dtype=np.float32), image.affine, grid, order=3)
    return nib.Nifti1Image(np.maximum(data, 0), grid.affine)
