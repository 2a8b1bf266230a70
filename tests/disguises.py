"""One image in the forms in which people keep it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations


def _in_order(image: nib.Nifti1Image, codes: str) -> nib.Nifti1Image:
    """The same image with its voxels in another order."""
    start = orientations.io_orientation(image.affine)
    return image.as_reoriented(orientations.ornt_transform(start, orientations.axcodes2ornt(codes)))


def _plain(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return image


def _psr(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return _in_order(image, 'PSR')


def _nifti2(image: nib.Nifti1Image) -> nib.Nifti2Image:
    """NIfTI-2, big-endian 16-bit integers with a scale factor."""
    header = nib.Nifti2Header(endianness='>')
    header.set_data_dtype(np.int16)
    return nib.Nifti2Image(image.get_fdata(dtype=np.float32), image.affine, header)


def _qform_only(image: nib.Nifti1Image) -> nib.Nifti1Image:
    other = nib.Nifti1Image(np.asarray(image.dataobj), None)
    other.set_qform(image.affine, 1)
    other.set_sform(None, 0)
    return other


def _z_scored(image: nib.Nifti1Image) -> nib.Nifti1Image:
    data = image.get_fdata(dtype=np.float32)
    inside = data > np.percentile(data, 60)
    return nib.Nifti1Image((data - data[inside].mean()) / data[inside].std(), image.affine)


def _four_axes(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine)


def _doubles(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(image.get_fdata() * 0.37, image.affine)


def _left_handed(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return _in_order(image, 'LAS')


#: By name, a function from an image to the same image in another form.
DISGUISES: dict[str, Callable[[nib.Nifti1Image], nib.Nifti1Image]] = {
    'plain': _plain,
    'psr': _psr,
    'nifti2': _nifti2,
    'qform-only': _qform_only,
    'z-scored': _z_scored,
    'four-axes': _four_axes,
    'doubles': _doubles,
    'left-handed': _left_handed,
}


def all_at_once(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Z-scores in PSR order with a fourth axis and a qform alone."""
    return _qform_only(_four_axes(_psr(_z_scored(image))))


def write(image: nib.Nifti1Image, path: Path) -> Path:
    """Write an image; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path
