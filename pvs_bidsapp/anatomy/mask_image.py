"""The one loader of masks and label maps, and the one way in which a mask comes to the grid of another image.

People keep masks in many forms: as 0 and 255, as floats, soft, with a fourth axis, without orientation. All
commands read them here, so that they agree on which voxels are marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from ..messages import masks, scans
from ..messages.message import Finding
from .geometry import format_mm
from .resampling import Grid, resample
from .volume import SourceGrid, Volume, open_image, open_volume

#: Differences of values that count as rounding, of values of about 1, and relative to the largest value.
ROUNDING, RELATIVE_ROUNDING = 1e-3, 1e-5
#: Level at which soft masks are cut.
CUT = 0.5
#: Largest fraction of NaN or infinite voxels, unless they are the background.
MAX_NAN_FRACTION = 1e-3
#: Largest fraction of the image that a mask marks.
MAX_MARKED_FRACTION = 0.9
#: With more different whole numbers than this, an image is not a map of named labels.
MAX_LABELS = 20
#: Smallest fraction of a mask's volume that has to be left on another grid.
MIN_VOLUME_LEFT = 0.5
#: Displacement of a voxel, in voxels, up to which two grids are the same.
SAME_GRID = 0.02
#: Relative difference of voxel sizes up to which an image without orientation may be laid on another.
SAME_SIZE = 0.01


@dataclass(frozen=True, kw_only=True)
class MaskImage:
    """A mask, its voxels in the order nearest to RAS.

    Attributes
    ----------
    path : Path
    mask : ndarray of bool, shape (x, y, z)
    grid : Grid
        Of `mask`.
    source : SourceGrid
        The grid of the file.
    findings : tuple of Finding
        What a reader of the results should know about the file; no refusals.
    """

    path: Path
    mask: np.ndarray
    grid: Grid
    source: SourceGrid
    findings: tuple[Finding, ...] = ()

    @property
    def affine(self) -> np.ndarray:
        """Affine of `mask`, shape (4, 4)."""
        return self.grid.affine


@dataclass(frozen=True, kw_only=True)
class Partner:
    """The image to whose grid a mask belongs: its scan, or the reference of a prediction.

    Attributes
    ----------
    path : Path
        For messages.
    source : SourceGrid
    """

    path: Path
    source: SourceGrid

    @classmethod
    def of(cls, path: Path) -> Partner:
        """The image in a file, of which only the header is read.

        Raises
        ------
        ImageError
            If it cannot be opened.
        """
        return cls(path=path, source=open_image(path).source)

    @property
    def grid(self) -> Grid:
        """Its grid, with the voxels in the order nearest to RAS."""
        return self.source.grid


def read_mask(path: Path) -> MaskImage:
    """Read a mask: which voxels are marked, whatever values say so.

    - 0 and one other value (1, 255, 0.8): what is not 0 is marked.
    - values within [0, 1]: a soft mask, cut at 0.5.
    - nothing but 0: nothing is marked.

    Anything else is refused, since which voxels are meant would be a guess.

    Parameters
    ----------
    path : Path
        An image file that `pvs_bidsapp.anatomy.volume.open_volume` reads.

    Raises
    ------
    ImageError
        If the file cannot be read, or is no mask. The message names the file and says what to do.
    """
    path = Path(path)
    volume = open_volume(path)
    mask, findings = marked_voxels(path, volume.data)
    return MaskImage(
        path=path,
        mask=mask,
        grid=volume.grid,
        source=volume.source,
        findings=(*_without_orientation(volume.findings), *findings),
    )


def marked_voxels(path: Path, data: np.ndarray) -> tuple[np.ndarray, list[Finding]]:
    """Which voxels the values of a mask mark.

    Parameters
    ----------
    path : Path
        For messages.
    data : ndarray of numbers, shape (x, y, z)

    Returns
    -------
    mask : ndarray of bool, shape (x, y, z)
    findings : list of Finding

    Raises
    ------
    ImageError
        If the values are not those of a mask.
    """
    values, findings = _without_nan(path, data)
    # the values, each once, with their background left out: of most masks, few voxels are not 0
    levels = np.unique(values[values != 0]).astype(np.float64)
    is_noise = len(levels) > 1 and np.abs(levels).max() <= ROUNDING
    if not len(levels) or is_noise:
        return np.zeros(values.shape, bool), findings
    low, high = float(levels[0]), float(levels[-1])
    if low < -_rounding(high) or high <= 0:
        raise masks.NEGATIVE.error(path, low=low)
    if len(levels) == 1:
        mask = values != 0
    else:
        mask, found = _cut(path, values, levels, high)
        findings += found
    marked = float(mask.mean())
    if marked > MAX_MARKED_FRACTION:
        raise masks.NO_BACKGROUND.error(path, percent=100 * marked)
    return mask, findings


def _cut(path: Path, values: np.ndarray, levels: np.ndarray, high: float) -> tuple[np.ndarray, list[Finding]]:
    """Mask of values of which more than one is not 0; `levels` are these, and `high` is the largest."""
    rounding = _rounding(high)
    levels = levels[levels > rounding]
    if levels[0] >= high - rounding:
        return values > high / 2, []
    if high > 1 + rounding:
        raise _several_labels(path, levels)
    if high <= CUT:
        raise masks.BELOW_HALF.error(path, high=high)
    return values > CUT, [masks.SOFT.finding(path)]


def _rounding(high: float) -> float:
    """Difference of two values that counts as rounding in an image whose largest value is `high`."""
    return max(ROUNDING * min(abs(high), 1.0), RELATIVE_ROUNDING * abs(high))


def _several_labels(path: Path, levels: np.ndarray) -> Exception:
    """The error for an image with these values besides 0, and beyond 1."""
    labels = np.unique(np.rint(levels))
    if len(labels) <= MAX_LABELS and np.abs(levels - np.rint(levels)).max() <= ROUNDING:
        return masks.LABELS.error(path, count=len(labels), labels=', '.join(f'{label:g}' for label in labels))
    return masks.LEVELS.error(path, count=len(levels), high=float(levels[-1]))


def _without_nan(path: Path, data: np.ndarray) -> tuple[np.ndarray, list[Finding]]:
    """The values with 0 in place of NaN and infinity.

    Many of them are accepted if they are the background: the whole border of the image.
    """
    if not np.issubdtype(data.dtype, np.floating):
        return data, []
    bad = ~np.isfinite(data)
    count = int(bad.sum())
    if not count:
        return data, []
    values = np.where(bad, 0, data)
    fraction = count / data.size
    is_few = fraction <= MAX_NAN_FRACTION and count <= np.count_nonzero(values)
    if not is_few and not _is_border(np.isnan(data)):
        raise masks.MANY_NAN.error(path, count=count, percent=100 * fraction)
    return values, [masks.NAN_AS_ZERO.finding(path, count=count)]


def _is_border(where: np.ndarray) -> bool:
    """Whether all outer faces of an array are True."""
    return all(bool(where.take(end, axis).all()) for axis in range(where.ndim) for end in (0, -1))


def _without_orientation(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings but the one about orientation: that is decided when a mask comes to its partner's grid."""
    return tuple(f for f in findings if f.code != scans.NO_ORIENTATION.code)


def read_label_map(path: Path) -> Volume:
    """Read a map of whole numbers: tissue classes, regions, FreeSurfer's codes.

    Parameters
    ----------
    path : Path

    Returns
    -------
    labels : Volume
        Its data are int32; NaN, if few, are 0.

    Raises
    ------
    ImageError
        If the file cannot be read, or holds other values.
    """
    path = Path(path)
    volume = open_volume(path)
    values, findings = _without_nan(path, volume.data)
    labels = np.rint(values)
    off = np.abs(values - labels) > ROUNDING if values.dtype.kind == 'f' else np.zeros(1, bool)
    if off.any():
        raise masks.NOT_LABELS.error(path, value=float(values[off][0]))
    low, high = float(labels.min()), float(labels.max())
    if low < 0 or high >= 2**31:
        raise masks.NOT_LABELS.error(path, value=low if low < 0 else high)
    return Volume(
        data=labels.astype(np.int32),
        grid=volume.grid,
        source=volume.source,
        findings=(*_without_orientation(volume.findings), *findings),
    )


def read_probabilities(path: Path) -> Volume:
    """Read a map of probabilities.

    Parameters
    ----------
    path : Path

    Returns
    -------
    probabilities : Volume
        Its data are float32, in [0, 1]; NaN, if few, are 0.

    Raises
    ------
    ImageError
        If the file cannot be read, or its values are not in [0, 1].
    """
    path = Path(path)
    volume = open_volume(path)
    values, findings = _without_nan(path, volume.data)
    low, high = float(values.min()), float(values.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise masks.NOT_PROBABILITIES.error(path, low=low, high=high)
    return Volume(
        data=np.clip(values.astype(np.float32), 0, 1),
        grid=volume.grid,
        source=volume.source,
        findings=(*_without_orientation(volume.findings), *findings),
    )


def mask_on_grid(mask: MaskImage, partner: Partner) -> tuple[np.ndarray, list[Finding]]:
    """Bring a mask to the grid of the image that it belongs to.

    If its header has no orientation, or that of the image has none, it is laid on the image voxel by voxel,
    provided that both files have the same shape and voxel size. On another grid, it is resampled.

    Parameters
    ----------
    mask : MaskImage
    partner : Partner

    Returns
    -------
    mask : ndarray of bool
        On ``partner.grid``.
    findings : list of Finding
        How it was done, if it was not plain.

    Raises
    ------
    ImageError
        If its place is not known, or more than half of its volume would be lost.
    """
    data, grid, findings = _placed(mask.path, mask.mask, mask.source, partner)
    if is_same_grid(grid, partner.grid):
        return data, findings
    resampled = resample(data, grid.affine, partner.grid, order=1) > CUT
    check_volume_left(mask.path, partner.path, (data, grid), (resampled, partner.grid))
    return resampled, [*findings, masks.RESAMPLED.finding(mask.path, other=partner.path)]


def check_volume_left(
    path: Path, other: Path, before: tuple[np.ndarray, Grid], after: tuple[np.ndarray, Grid]
) -> None:
    """Check that a mask lies where the image to which it was brought is.

    Parameters
    ----------
    path, other : Path
        Of the mask and the image, for the message.
    before, after : tuple of ndarray of bool and Grid
        The mask on its own grid, and on that of the image.

    Raises
    ------
    ImageError
        If more than half of its volume is lost.
    """
    own, left = volume_of(*before), volume_of(*after)
    if own and left < MIN_VOLUME_LEFT * own:
        raise masks.ELSEWHERE.error(path, other=other, percent=100 * left / own)


def map_on_grid(path: Path, volume: Volume, partner: Partner, *, order: int) -> np.ndarray:
    """Bring a map that accompanies a mask to the grid of another image, in the way of `mask_on_grid`.

    Parameters
    ----------
    path : Path
        Of the map, for messages.
    volume : Volume
        As `read_label_map` or `read_probabilities` returns it.
    partner : Partner
    order : int
        0 for labels, 1 for probabilities.

    Returns
    -------
    values : ndarray of float32
        On ``partner.grid``; 0 outside the map.

    Raises
    ------
    ImageError
        If its place is not known.
    """
    data, grid, _ = _placed(path, volume.data, volume.source, partner)
    if is_same_grid(grid, partner.grid):
        return data.astype(np.float32)
    return resample(data, grid.affine, partner.grid, order=order)


def ready_made_mask(path: Path, scan: Path) -> tuple[tuple[np.ndarray, np.ndarray], list[Finding]]:
    """Read a mask that comes with a scan, on any grid.

    Parameters
    ----------
    path, scan : Path
        The mask; the scan, on which a mask without orientation is laid.

    Returns
    -------
    mask : tuple of ndarray
        The mask, of bool, and its affine.
    findings : list of Finding

    Raises
    ------
    ImageError
        If it cannot be used.
    """
    mask, partner = read_mask(path), Partner.of(scan)
    if mask.source.has_orientation and partner.source.has_orientation:
        return (mask.mask, mask.affine), list(mask.findings)
    data, findings = mask_on_grid(mask, partner)
    return (data, partner.grid.affine), [*mask.findings, *findings]


def ready_made_labels(path: Path, scan: Path) -> tuple[tuple[np.ndarray, np.ndarray], list[Finding]]:
    """Read a map of labels that comes with a scan; as `ready_made_mask`, but of int32."""
    labels, partner = read_label_map(path), Partner.of(scan)
    if labels.source.has_orientation and partner.source.has_orientation:
        return (labels.data, labels.affine), list(labels.findings)
    data = map_on_grid(path, labels, partner, order=0)
    return (np.rint(data).astype(np.int32), partner.grid.affine), list(labels.findings)


def volume_of(mask: np.ndarray, grid: Grid) -> float:
    """Volume of a mask in mm³; `grid` is its grid."""
    return float(mask.sum()) * abs(float(np.linalg.det(grid.affine[:3, :3])))


def is_same_grid(first: Grid, second: Grid) -> bool:
    """Whether two grids have the same voxels, in the same order, within a fraction of a voxel."""
    if tuple(first.shape) != tuple(second.shape):
        return False
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in first.shape])).reshape(3, -1).T
    shift = apply_affine(first.affine, corners) - apply_affine(second.affine, corners)
    return bool(np.abs(shift).max() <= SAME_GRID * voxel_sizes(second.affine).min())


def _placed(
    path: Path, data: np.ndarray, source: SourceGrid, partner: Partner
) -> tuple[np.ndarray, Grid, list[Finding]]:
    """An array and its grid; that of the partner, voxel by voxel, if either has no orientation."""
    own, other = source, partner.source
    if own.has_orientation and other.has_orientation:
        return data, own.grid, []
    which = 'its header' if not own.has_orientation else f'the header of {partner.path}'
    sizes = (voxel_sizes(own.affine), voxel_sizes(other.affine))
    if own.shape != other.shape or not np.allclose(*sizes, rtol=SAME_SIZE):
        own_voxels, other_voxels = (
            f'{" x ".join(map(str, s.shape))} of {format_mm(size)} mm'
            for s, size in zip((own, other), sizes, strict=True)
        )
        raise masks.NO_PLACE.error(path, which=which, own=own_voxels, other=partner.path, others=other_voxels)
    stored = own.from_canonical(data)
    finding = masks.PLACED.finding(path, which=which, other=partner.path)
    return other.to_canonical(stored), partner.grid, [finding]
