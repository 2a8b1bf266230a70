"""Reading and checking a scan, and the 1 mm grid on which its anatomy is found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes

from ..errors import ImageError
from ..messages import scans
from ..messages.message import Finding, error_of
from .geometry import format_mm
from .intensities import normalise
from .resampling import Grid, isotropic_grid, resample
from .volume import SourceGrid, open_image, open_volume

#: Voxel size (mm) at which anatomy is found; results are brought back to the scan's own grid.
WORKING_SPACING = 1.0
#: Largest voxel size of a scan that is accepted, in mm, and from which it is told that spaces are missed.
MAX_VOXEL_SIZE, THICK = 6.0, 2.0
#: Smallest field of view along any axis that is accepted, in mm, and that of a head.
MIN_EXTENT, HEAD_EXTENT = 60.0, 110.0


@dataclass(frozen=True, kw_only=True)
class ScanImage:
    """A scan as all steps work on it.

    Attributes
    ----------
    image : ndarray of float32, shape (x, y, z)
        Not negative; see `pvs_bidsapp.anatomy.intensities`.
    grid : Grid
        The scan's own voxels, in the order nearest to RAS.
    source : SourceGrid
        The grid of the file.
    unit : float
        Size of one unit of `image` in the values of the file.
    findings : tuple of Finding
        What is unclear about the scan, and what was changed.
    """

    image: np.ndarray
    grid: Grid
    source: SourceGrid
    unit: float
    findings: tuple[Finding, ...]

    @property
    def step(self) -> float:
        """Step of the values of `image`: 1, or 0 if they are not whole."""
        return float(np.array_equal(self.image, np.rint(self.image)))


def audit_scan(path: Path) -> tuple[Finding, ...]:
    """What is wrong, or unclear, about a scan by its header alone, which takes milliseconds.

    Parameters
    ----------
    path : Path

    Returns
    -------
    findings : tuple of Finding
        The file is not used if one of them is a refusal.
    """
    try:
        opened = open_image(path)
    except ImageError as error:
        return (_as_finding(path, error),)
    return (*opened.findings, *_check_field_of_view(path, opened.source))


def load_scan(path: Path) -> ScanImage:
    """Read and check one 3D scan.

    Parameters
    ----------
    path : Path
        NIfTI or MGH. Trailing axes of length 1 are dropped.

    Raises
    ------
    ImageError
        If the file is damaged, not 3D, empty, constant, mostly NaN, too small or too coarse for a head, or
        its geometry cannot be trusted. The message names the file and says what to do.
    """
    path = Path(path)
    volume = open_volume(path)
    findings = (*volume.findings, *_check_field_of_view(path, volume.source))
    for finding in findings:
        if finding.is_refused:
            raise error_of(finding)
    intensities = normalise(volume.data, path)
    return ScanImage(
        image=intensities.image,
        grid=volume.grid,
        source=volume.source,
        unit=intensities.unit,
        findings=(*findings, *intensities.findings),
    )


def _as_finding(path: Path, error: ImageError) -> Finding:
    """The finding that an error tells of."""
    if isinstance(error.finding, Finding):
        return error.finding
    return scans.DAMAGED.finding(path, reason=str(error))


def _check_field_of_view(path: Path, source: SourceGrid) -> list[Finding]:
    zooms = voxel_sizes(source.affine)
    extent = zooms * source.shape
    if zooms.max() > MAX_VOXEL_SIZE or extent.min() < MIN_EXTENT:
        sizes = {'zooms': format_mm(zooms), 'extent': format_mm(extent)}
        return [scans.FIELD_OF_VIEW.finding(path, limit=MAX_VOXEL_SIZE, **sizes)]
    findings = []
    if zooms.max() > THICK:
        findings.append(scans.THICK.finding(path, zooms=format_mm(zooms)))
    if extent.min() < HEAD_EXTENT:
        findings.append(scans.NARROW.finding(path, extent=format_mm(extent)))
    return findings


def working_image(scan: ScanImage) -> tuple[np.ndarray, Grid]:
    """Resample a scan to 1 mm along its own axes.

    Parameters
    ----------
    scan : ScanImage

    Returns
    -------
    image : ndarray of float32, shape (x, y, z)
        Not negative.
    grid : Grid
        Its grid, with axes in the order nearest to RAS.
    """
    grid = isotropic_grid(scan.grid.affine, scan.grid.shape, WORKING_SPACING)
    return np.maximum(resample(scan.image, scan.grid.affine, grid, order=3), 0), grid
