"""What a header says of where its voxels lie, and whether that can be trusted.

A NIfTI header says it up to three times: by the sform, by the qform, and by the voxel sizes of ``pixdim``.
Where these contradict each other in a way that changes volumes or sides, the file is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations
from nibabel.affines import voxel_sizes
from nibabel.spatialimages import HeaderDataError, SpatialImage

from ..messages import scans
from ..messages.message import Finding

#: Relative difference of voxel sizes from which volumes would mislead, and from which it is told.
MAX_SIZE_DIFFERENCE, NOTABLE_SIZE_DIFFERENCE = 0.01, 0.001
#: Displacement of a corner of the image by shear, in mm, up to which the axes count as being at right angles.
MAX_SHEAR = 1.0
#: Angle between sform and qform, in degrees, from which it is told.
NOTABLE_ANGLE = 1.0
#: Codes of ``xyzt_units`` that are not mm, with their factor to mm.
UNITS = {1: ('metres', 1e3), 3: ('micrometres', 1e-3)}
#: Plausible sizes of a scanned volume along an axis, in mm.
PLAUSIBLE_EXTENT = (20.0, 1000.0)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the voxels of a file lie.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
        From the file's voxels to scanner RAS+ in mm.
    findings : tuple of Finding
        What is wrong, or unclear, about it.
    """

    affine: np.ndarray
    findings: tuple[Finding, ...] = ()


def read_geometry(path: Path, image: SpatialImage, shape: tuple[int, ...]) -> Geometry:
    """The geometry of an image file, and what is wrong with it.

    Parameters
    ----------
    path : Path
        For messages.
    image : SpatialImage
        The file, as nibabel opens it.
    shape : tuple of int
        (x, y, z).
    """
    findings: list[Finding]
    if not isinstance(image.header, nib.Nifti1Header):  # .mgz has one affine
        affine, findings = np.array(image.affine, float), []
    else:
        affine, findings = _nifti_affine(path, image.header)
    if not _is_regular(affine):
        return Geometry(affine=np.eye(4), findings=(*findings, scans.INVALID_AFFINE.finding(path)))
    if isinstance(image.header, nib.Nifti1Header):
        affine, found = _in_mm(path, image.header, affine, shape)
        findings += found
    angle, shift = shear(affine, shape)
    if shift > MAX_SHEAR:
        findings.append(scans.SHEARED.finding(path, angle=angle, shift=shift))
    return Geometry(affine=affine, findings=tuple(findings))


def shear(affine: np.ndarray, shape: tuple[int, ...]) -> tuple[float, float]:
    """How far the axes of a grid are from right angles.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
    shape : tuple of int
        (x, y, z).

    Returns
    -------
    angle : float
        Largest deviation of two axes from a right angle, in degrees.
    shift : float
        Distance in mm of a corner of the image from where it would be with axes at right angles.
    """
    zooms = voxel_sizes(affine)
    axes = affine[:3, :3] / zooms
    cosines = np.abs((axes.T @ axes)[np.triu_indices(3, 1)]).clip(0, 1)
    u, _, vt = np.linalg.svd(axes)
    corners = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1) * (zooms * shape)[:, None]
    shifts = np.linalg.norm((axes - u @ vt) @ corners, axis=0)
    return float(np.degrees(np.arcsin(cosines.max()))), float(shifts.max())


def format_mm(values: np.ndarray) -> str:
    """Lengths along the axes, such as ``1 x 1 x 1.2``."""
    return ' x '.join(f'{v:.3g}' for v in values)


def _is_regular(affine: np.ndarray | None) -> bool:
    if affine is None or not np.isfinite(affine).all():
        return False
    zooms = voxel_sizes(affine)
    if not 1e-9 < zooms.min() <= zooms.max() < 1e9:
        return False
    return abs(float(np.linalg.det(affine[:3, :3] / zooms))) > 1e-3


def _nifti_affine(path: Path, header: nib.Nifti1Header) -> tuple[np.ndarray, list[Finding]]:
    """The affine that a NIfTI header gives: by its sform, else its qform, else the voxel sizes alone."""
    sform, qform = _form(header, 'sform'), _form(header, 'qform')
    has_sform, has_qform = int(header['sform_code']) > 0, int(header['qform_code']) > 0
    pixdim = np.abs(np.asarray(header['pixdim'][1:4], float))
    findings = []
    if has_sform and not _is_regular(sform) and has_qform and _is_regular(qform):
        findings.append(scans.SFORM_INVALID.finding(path))
        has_sform = False
    if not has_sform and not has_qform:
        findings.append(scans.NO_ORIENTATION.finding(path))
        return np.asarray(header.get_base_affine(), float), findings
    if not has_sform:
        return np.eye(4) * np.nan if qform is None else qform, findings
    if sform is None or not _is_regular(sform):
        return np.eye(4) * np.nan, findings
    findings += _compare_sizes(path, voxel_sizes(sform), pixdim)
    if has_qform and qform is not None and _is_regular(qform):
        findings += _compare_directions(path, sform, qform)
    return sform, findings


def _form(header: nib.Nifti1Header, name: str) -> np.ndarray | None:
    """A form of the header as an affine; None if it is not valid, such as a quaternion of length 2."""
    try:
        affine = header.get_sform() if name == 'sform' else header.get_qform()
    except (HeaderDataError, ValueError, FloatingPointError, np.linalg.LinAlgError):
        return None
    return np.asarray(affine, float)


def _compare_sizes(path: Path, sform: np.ndarray, pixdim: np.ndarray) -> list[Finding]:
    if not (np.isfinite(pixdim).all() and (pixdim > 0).all()):
        return [scans.VOXEL_SIZES_CONTRADICT.finding(path, sform=format_mm(sform), pixdim=format_mm(pixdim))]
    ratio = sform / pixdim
    difference = float(np.abs(ratio - 1).max())
    values = {'sform': format_mm(sform), 'pixdim': format_mm(pixdim)}
    if difference > MAX_SIZE_DIFFERENCE:
        return [scans.VOXEL_SIZES_CONTRADICT.finding(path, **values)]
    if difference > NOTABLE_SIZE_DIFFERENCE:
        percent = 100 * abs(float(np.prod(ratio)) - 1)
        return [scans.VOXEL_SIZES_DIFFER.finding(path, percent=percent, **values)]
    return []


def _compare_directions(path: Path, sform: np.ndarray, qform: np.ndarray) -> list[Finding]:
    """Whether two forms agree on left and right, and on directions."""
    s, q = (f[:3, :3] / voxel_sizes(f) for f in (sform, qform))
    mirrored = np.sign(np.linalg.det(s)) != np.sign(np.linalg.det(q))
    axis = int(np.argmax(np.abs(s[0])))  # the voxel axis that runs from left to right
    if mirrored or (np.sign(s[0, axis]) != np.sign(q[0, axis]) and abs(q[0, axis]) > 0.5):
        return [scans.LEFT_RIGHT_CONTRADICTS.finding(path)]
    cosine = (np.trace(s @ np.linalg.inv(q)) - 1) / 2
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return [scans.FORMS_DIFFER.finding(path, angle=angle)] if angle > NOTABLE_ANGLE else []


def _in_mm(
    path: Path, header: nib.Nifti1Header, affine: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, list[Finding]]:
    """The affine in mm, whatever unit the header names."""
    named = UNITS.get(int(header['xyzt_units']) & 0x07)
    if named is None:
        return affine, []
    unit, factor = named
    low, high = PLAUSIBLE_EXTENT
    extent = voxel_sizes(affine) * shape * factor
    if low <= extent.min() and extent.max() <= high:
        return np.diag([factor, factor, factor, 1.0]) @ affine, [
            scans.UNITS_CONVERTED.finding(path, unit=unit)
        ]
    return affine, [scans.UNITS_IGNORED.finding(path, unit=unit, zooms=format_mm(voxel_sizes(affine)))]


def canonical_order(affine: np.ndarray) -> np.ndarray:
    """Orientation of a grid's voxel axes, as `nibabel.orientations.io_orientation` gives it; shape (3, 2)."""
    return np.asarray(orientations.io_orientation(affine))
