"""The one place where an image file of somebody else is opened: scans, masks and label maps.

Whatever order its voxels have in the file, a volume is worked on in the order nearest to RAS, so that two
files of the same image, however they are stored, give the same results.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations
from nibabel.affines import voxel_sizes
from nibabel.openers import ImageOpener
from nibabel.spatialimages import SpatialImage

from ..errors import ImageError
from ..messages import scans
from ..messages.message import Finding, error_of
from ..runtime.input_files import check_file
from .ants_images import nearest_orthonormal
from .geometry import canonical_order, read_geometry
from .resampling import Grid, canonical_affine

#: Types of files that are read.
EXTENSIONS = ('.nii', '.nii.gz', '.mgz', '.mgh')
#: Largest number of voxels; what is larger would not fit into memory several times over.
MAX_VOXELS = 512**3
#: Largest size of the header with its extensions, in bytes.
MAX_HEADER = 2**24
#: gzip makes nothing smaller than by this factor.
MAX_COMPRESSION = 1100
#: Steps to which affines are rounded: voxel sizes in mm, cosines, and the origin in mm. Forms are stored as
#: float32 or quaternions, whose last digits differ between two files of one image. The steps are powers of
#: two, since voxel sizes such as 220 / 256 lie half-way between two decimals.
SIZE_STEP, DIRECTION_STEP, ORIGIN_STEP = 2.0**-17, 2.0**-16, 2.0**-10
#: By how much rounding may move the centre of an image without shear, in mm.
SHEARED = 0.05
#: Voxel sizes this near (mm) to one of three decimals are that one.
NEAR_DECIMAL = 2e-6


@dataclass(frozen=True, kw_only=True)
class SourceGrid:
    """The grid of a file, as it is stored.

    Attributes
    ----------
    shape : tuple of int
        (x, y, z) in the file's order.
    affine : ndarray, shape (4, 4)
        From the file's voxels to scanner RAS+ mm.
    has_orientation : bool
        Whether the header says where left and right are.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    has_orientation: bool = True

    @property
    def grid(self) -> Grid:
        """The same grid with its voxels in the order nearest to RAS; its affine is rounded."""
        order = canonical_order(self.affine)
        shape = tuple(int(n) for n in np.array(self.shape)[np.argsort(order[:, 0])])
        return Grid(shape, rounded(canonical_affine(self.affine, self.shape), shape))

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """An array in the file's order, in the order nearest to RAS."""
        return orientations.apply_orientation(array, canonical_order(self.affine))

    def from_canonical(self, array: np.ndarray) -> np.ndarray:
        """An array in the order nearest to RAS, in the file's order."""
        back = orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), canonical_order(self.affine))
        return orientations.apply_orientation(array, back)


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A 3D image as it is in its file, but for the order of its voxels.

    Attributes
    ----------
    data : ndarray, shape (x, y, z)
        In the order nearest to RAS, of the stored type; float64 if the file scales its values.
    grid : Grid
        Of `data`.
    source : SourceGrid
    findings : tuple of Finding
        What is unclear about the file; no refusals.
    """

    data: np.ndarray
    grid: Grid
    source: SourceGrid
    findings: tuple[Finding, ...]

    @property
    def affine(self) -> np.ndarray:
        """Affine of `data`, shape (4, 4)."""
        return self.grid.affine


@dataclass(frozen=True, kw_only=True)
class OpenImage:
    """A file whose header has been read and checked, but not its values.

    Attributes
    ----------
    image : SpatialImage
    source : SourceGrid
    findings : tuple of Finding
        With refusals, which `open_volume` raises.
    """

    image: SpatialImage
    source: SourceGrid
    findings: tuple[Finding, ...]


def rounded(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An affine without the digits in which two files of the same image may differ.

    Voxel sizes, directions and origin are rounded, and the axes made orthonormal, so that the volume of a
    voxel is the product of its sizes. A voxel moves by a few thousandths of a millimetre; if the axes were
    sheared, that at the centre stays where it is, and those at the corners move.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
    shape : sequence of int
        Of the image, in voxels.

    Returns
    -------
    affine : ndarray, shape (4, 4)
    """
    zooms = voxel_sizes(affine)
    axes = np.rint(affine[:3, :3] / zooms / DIRECTION_STEP) * DIRECTION_STEP
    out = np.eye(4)
    decimal = np.round(zooms, 3)  # 0.8 mm, as it was meant
    on_grid = np.rint(zooms / SIZE_STEP) * SIZE_STEP
    sizes = np.where(np.abs(zooms - decimal) < NEAR_DECIMAL, decimal, on_grid)
    out[:3, :3] = nearest_orthonormal(axes) * sizes
    moved = (affine[:3, :3] - out[:3, :3]) @ ((np.array(shape[:3]) - 1) / 2)  # the centre, by the rounding
    origin = affine[:3, 3] + (moved if np.abs(moved).max() > SHEARED else 0)
    out[:3, 3] = np.rint(origin / ORIGIN_STEP) * ORIGIN_STEP
    return out + 0.0  # no negative zero


def open_image(path: Path) -> OpenImage:
    """Read and check the header of an image file.

    Parameters
    ----------
    path : Path
        NIfTI-1, NIfTI-2 or MGH, compressed or not.

    Raises
    ------
    ImageError
        If it cannot be opened, or is not one 3D volume of numbers. Faults of its geometry are in the
        findings.
    """
    path = Path(path)
    if not path.name.lower().endswith(EXTENSIONS):
        raise scans.UNKNOWN_TYPE.error(path)
    if (finding := check_file(path)) is not None:
        raise error_of(finding)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            _check_size_of_header(path)
            image = nib.load(path)
            shape = _volume_shape(path, image)
            _check_type_and_size(path, image, shape)
            geometry = read_geometry(path, image, shape)
    except ImageError:
        raise
    except Exception as error:  # a damaged file raises exceptions of nibabel, zlib and the system
        raise _damaged(path, error) from error
    has_orientation = all(f.code != scans.NO_ORIENTATION.code for f in geometry.findings)
    source = SourceGrid(shape=shape, affine=geometry.affine, has_orientation=has_orientation)
    return OpenImage(image=image, source=source, findings=geometry.findings)


def open_volume(path: Path) -> Volume:
    """Read one 3D image with its values.

    Trailing axes of length 1 are dropped.

    Parameters
    ----------
    path : Path
        NIfTI-1, NIfTI-2 or MGH, compressed or not.

    Raises
    ------
    ImageError
        If the file is damaged, not 3D, or its geometry cannot be trusted. The message names the file and says
        what to do.
    """
    path = Path(path)
    opened = open_image(path)
    for finding in opened.findings:
        if finding.is_refused:
            raise error_of(finding)
    try:
        with np.errstate(all='ignore'):
            data = np.asanyarray(opened.image.dataobj).reshape(opened.source.shape)
    except Exception as error:
        raise _damaged(path, error) from error
    return Volume(
        data=np.ascontiguousarray(opened.source.to_canonical(data)),
        grid=opened.source.grid,
        source=opened.source,
        findings=opened.findings,
    )


def _damaged(path: Path, error: Exception) -> Exception:
    reason = ' '.join(str(error).replace(str(path), 'the file').split())[:120] or type(error).__name__
    return scans.DAMAGED.error(path, reason=reason)


def _volume_shape(path: Path, image: SpatialImage) -> tuple[int, ...]:
    shape = tuple(int(n) for k, n in enumerate(image.shape) if k < 3 or n != 1)
    if len(shape) != 3:
        raise scans.NOT_3D.error(path, dimensions=len(image.shape), shape=image.shape)
    if min(shape) < 1:
        raise scans.DAMAGED.error(path, reason=f'its shape is {shape}')
    return shape


def _check_type_and_size(path: Path, image: SpatialImage, shape: tuple[int, ...]) -> None:
    dtype = image.get_data_dtype()
    if dtype.fields is not None:
        raise scans.COLOUR.error(path)
    if np.issubdtype(dtype, np.complexfloating):
        raise scans.COMPLEX.error(path)
    number = 1
    for n in shape:
        number *= n
    if number > MAX_VOXELS:
        raise scans.HUGE.error(path, shape=' x '.join(map(str, shape)), limit=f'{MAX_VOXELS:,}')
    needed, there = number * dtype.itemsize, path.stat().st_size
    factor = MAX_COMPRESSION if path.name.lower().endswith(('gz', 'mgz')) else 1
    if needed > there * factor:
        raise scans.DAMAGED.error(path, reason=f'its header promises {needed} bytes, the file has {there}')


def _check_size_of_header(path: Path) -> None:
    """Refuse a header whose extensions would fill the memory, before nibabel reads them."""
    if not path.name.lower().endswith(('.nii', '.nii.gz')):
        return
    with ImageOpener(path) as stream:
        head = stream.read(540)
        size = next(
            (e for e in '<>' if head[:4] in (struct.pack(f'{e}i', 348), struct.pack(f'{e}i', 540))), None
        )
        if size is None or len(head) < 348:
            raise scans.DAMAGED.error(path, reason='not a NIfTI header')
        is_first = struct.unpack(f'{size}i', head[:4])[0] == 348
        place = (
            struct.unpack(f'{size}f', head[108:112]) if is_first else struct.unpack(f'{size}q', head[168:176])
        )
        offset, position = place[0], 348 if is_first else 540
        if not position <= offset <= MAX_HEADER:
            raise scans.DAMAGED.error(path, reason=f'its data would begin at byte {offset:.6g}')
        stream.seek(position)
        _check_extensions(path, stream.read(int(offset) - position), size)


def _check_extensions(path: Path, content: bytes, order: str) -> None:
    """Walk through the extensions as nibabel does, which trusts the size that each of them gives."""
    place = 4
    if len(content) < 4 or content[0] == 0:
        return
    while len(content) - place >= 16:
        (size,) = struct.unpack(f'{order}i', content[place : place + 4])
        if not 16 <= size <= len(content) - place:
            raise scans.DAMAGED.error(path, reason='an extension of its header has a wrong size')
        place += size
