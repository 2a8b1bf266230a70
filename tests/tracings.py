"""One tracing in the forms in which people keep it, all of the same voxels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

#: Affine of the plain form.
AFFINE = np.array([[0.9, 0, 0, -20], [0, 1.0, 0, -30], [0, 0, 1.2, 10], [0, 0, 0, 1]])

#: A form: from the mask (bool) to an image.
Form = Callable[[np.ndarray], 'nib.spatialimages.SpatialImage']


def plain(mask: np.ndarray, dtype: type = np.uint8, factor: float = 1) -> nib.Nifti1Image:
    return nib.Nifti1Image((mask * factor).astype(dtype), AFFINE)


def soft(mask: np.ndarray) -> nib.Nifti1Image:
    """Values between 0 and 1 of which those above 0.5 are the mask."""
    noise = np.random.default_rng(0).uniform(0, 0.4, mask.shape)
    values = np.where(mask, 0.55 + noise, noise)
    values.flat[0] = float(mask.flat[0])
    return nib.Nifti1Image(values.astype(np.float32), AFFINE)


def with_noise(mask: np.ndarray) -> nib.Nifti1Image:
    """0 and 1 with errors of rounding."""
    noise = np.random.default_rng(0).uniform(-5e-4, 5e-4, mask.shape)
    return nib.Nifti1Image((mask + noise).astype(np.float32), AFFINE)


def with_nan_background(mask: np.ndarray) -> nib.Nifti1Image:
    """A mask as SPM writes it: NaN wherever nothing is marked."""
    return nib.Nifti1Image(np.where(mask, 1, np.nan).astype(np.float32), AFFINE)


def in_order(mask: np.ndarray, codes: str) -> nib.Nifti1Image:
    start = orientations.io_orientation(AFFINE)
    return plain(mask).as_reoriented(orientations.ornt_transform(start, orientations.axcodes2ornt(codes)))


def big_endian(mask: np.ndarray) -> nib.Nifti1Image:
    """16-bit integers with a scale factor, big-endian."""
    header = nib.Nifti1Header(endianness='>')
    header.set_data_dtype(np.int16)
    return nib.Nifti1Image((mask * 0.8).astype(np.float32), AFFINE, header)


def qform_only(mask: np.ndarray) -> nib.Nifti1Image:
    image = nib.Nifti1Image(mask.astype(np.uint8), None)
    image.set_qform(AFFINE, 1)
    image.set_sform(None, 0)
    return image


def without_orientation(
    array: np.ndarray, zooms: tuple[float, ...] = tuple(np.linalg.norm(AFFINE[:3, :3], axis=0))
) -> nib.Nifti1Image:
    """Voxel sizes alone, as Matlab writes them; the array in the order of the file."""
    image = nib.Nifti1Image(array.astype(np.uint8), None)
    image.header.set_zooms(zooms)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    assert (image.header['sform_code'], image.header['qform_code']) == (0, 0)
    return image


#: Forms that are read by themselves. Where the mask is empty, or its border is marked, NaN is refused.
FORMS: dict[str, Form] = {
    'plain': plain,
    'four axes': lambda m: nib.Nifti1Image(m.astype(np.uint8)[..., None], AFFINE),
    'five axes': lambda m: nib.Nifti1Image(m.astype(np.uint8)[..., None, None], AFFINE),
    '255': lambda m: plain(m, factor=255),
    '0.8': lambda m: plain(m, np.float32, 0.8),
    '7': lambda m: plain(m, np.int16, 7),
    'soft': soft,
    'noise': with_noise,
    'float32': lambda m: plain(m, np.float32),
    'float64': lambda m: plain(m, np.float64),
    'int8': lambda m: plain(m, np.int8),
    'uint16': lambda m: plain(m, np.uint16, 65535),
    'big-endian': big_endian,
    'PSR': lambda m: in_order(m, 'PSR'),
    'LAS': lambda m: in_order(m, 'LAS'),
    'NIfTI-2': lambda m: nib.Nifti2Image(m.astype(np.uint8), AFFINE),
    'qform only': qform_only,
}


def write(image: nib.spatialimages.SpatialImage, path: Path) -> Path:
    """Write an image; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def tubes(shape: tuple[int, ...] = (40, 44, 36), number: int = 12, seed: int = 0) -> np.ndarray:
    """A mask of short tubes, none of which touches the border."""
    mask, rng = np.zeros(shape, bool), np.random.default_rng(seed)
    for _ in range(number):
        x, y, z = (int(rng.integers(4, n - 10)) for n in shape)
        mask[x : x + 2, y : y + 2, z : z + 5] = True
    return mask
