"""Small image files in all the forms that are read, and changes to the fields of their headers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import nibabel as nib
import numpy as np
from hypothesis import strategies as st
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.nifti1 import Nifti1Extension

from .mutations import Draw, compressed, mutated_bytes

#: Smallest volume that is accepted as a scan.
SHAPE, SIZE = (12, 12, 12), 5.5


@dataclass(frozen=True)
class Seed:
    """A valid image file.

    Attributes
    ----------
    name : str
        Of the form, for reports.
    data : bytes
    header : dtype
        Fields of its header, in the file's byte order.
    extension : str
        ``.nii`` or ``.mgh``.
    """

    name: str
    data: bytes
    header: np.dtype
    extension: str


@lru_cache(maxsize=1)
def seeds() -> tuple[Seed, ...]:
    """Valid files: NIfTI-1 and NIfTI-2 in both byte orders, with and without extensions, and MGH."""
    rng = np.random.default_rng(0)
    grid = np.indices(SHAPE) - 5.5
    ball = (grid**2).sum(0) < 20
    scan = np.where(ball, 100, 10) + rng.normal(0, 2, SHAPE)
    affine = np.diag([SIZE, SIZE, SIZE, 1.0])
    affine[:3, 3] = -30
    made = []
    for version, kind in ((1, nib.Nifti1Image), (2, nib.Nifti2Image)):
        for order in '<>':
            for dtype in (np.float32, np.int16, np.uint8, np.float64):
                header = kind.header_class(endianness=order)
                header.set_data_dtype(dtype)
                header.set_xyzt_units('mm')
                image = kind(ball if dtype == np.uint8 else scan, affine, header)
                image.set_qform(affine, 1)
                image.set_sform(affine, 1)
                if order == '<' and dtype == np.int16:
                    image.header.extensions.append(Nifti1Extension('comment', b'a note of the scanner'))
                name = f'nifti{version}{order}{np.dtype(dtype).name}'
                made.append(Seed(name, image.to_bytes(), image.header.structarr.dtype, '.nii'))
    for dtype in (np.float32, np.int16, np.uint8, np.int32):
        values = (ball if dtype == np.uint8 else scan).astype(dtype)
        stream = BytesIO()
        nib.MGHImage(values, affine).to_file_map({'image': nib.FileHolder(fileobj=stream)})
        made.append(
            Seed(f'mgh{np.dtype(dtype).name}', stream.getvalue(), MGHHeader().structarr.dtype, '.mgh')
        )
    return tuple(made)


_FLOATS = (
    np.nan, np.inf, -np.inf, 1e200, -1e300, 0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-9, 1e9, 3e38, -3e38, 0.001,
    348.0, 351.5, 352.0, 352.1, 544.0, 1e6, 2**24, 2**24 + 2, 1000.0,
)  # fmt: skip
_INTEGERS = (
    0, 1, -1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 16, 32, 64, 100, 127, 128, 256, 348, 352, 511, 512, 513, 540,
    544, 768, 1024, 1280, 1536, 1792, 2048, 2304, 32767, 65535, 2**24, 2**30, 2**31 - 1, 2**32, 2**62,
    2**63 - 1,
)  # fmt: skip


def mutated_image(draw: Draw) -> tuple[str, bytes]:
    """An image file with changes; returns the extension of its name, and its bytes."""
    seed = draw(st.sampled_from(seeds()))
    data = bytearray(seed.data)
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.integers(0, 9))
        if kind <= 6:
            _change_field(draw, data, seed)
        elif kind == 7:
            _change_values(draw, data)
        elif kind == 8:
            _change_extension(draw, data)
        else:
            data = bytearray(mutated_bytes(draw, bytes(data), 1))
    is_zipped = draw(st.booleans())
    if is_zipped:
        return '.nii.gz' if seed.extension == '.nii' else '.mgz', compressed(draw, bytes(data))
    return draw(st.sampled_from((seed.extension,) * 9 + ('.nii.gz', '.mgz', '.nii', '.mgh'))), bytes(data)


def _change_field(draw: Draw, data: bytearray, seed: Seed) -> None:
    """Give an item of a header's field a special value, or turn its bytes round."""
    name = draw(st.sampled_from(seed.header.names))
    dtype, offset = seed.header.fields[name][:2]
    item = dtype.base
    count = max(1, dtype.itemsize // item.itemsize)
    place = offset + item.itemsize * draw(st.integers(0, count - 1))
    if place + item.itemsize > len(data):
        return
    if draw(st.integers(0, 9)) == 0:
        data[place : place + item.itemsize] = data[place : place + item.itemsize][::-1]
    elif item.kind == 'f':
        value = draw(st.sampled_from(_FLOATS))
        with np.errstate(all='ignore'):
            data[place : place + item.itemsize] = np.array(value, item).tobytes()
    elif item.kind in 'iu':
        value = draw(st.sampled_from(_INTEGERS)) * draw(st.sampled_from((1, 1, 1, -1)))
        data[place : place + item.itemsize] = np.array(value).astype(item, casting='unsafe').tobytes()
    else:
        texts = (b'n+1', b'ni1', b'n+2', b'n+2\0\r\n\x1a\n', b'', b'\x1b[31m', b'x', b'PATIENT^NAME')
        data[place : place + item.itemsize] = draw(st.sampled_from(texts)).ljust(item.itemsize, b'\0')[
            : item.itemsize
        ]


def _change_values(draw: Draw, data: bytearray) -> None:
    """Give a run of voxels another value."""
    size = 4 * draw(st.sampled_from((1, 3, 100, 1728, 4000)))
    start = draw(st.integers(min(352, len(data)), len(data)))
    value = draw(st.sampled_from(_FLOATS))
    with np.errstate(all='ignore'):
        pattern = np.array(value).astype(draw(st.sampled_from(('<f4', '>f4', '<f8', '<i2', '>i2'))))
    replaced = (pattern.tobytes() * size)[: max(0, min(size, len(data) - start))]
    data[start : start + len(replaced)] = replaced


def _change_extension(draw: Draw, data: bytearray) -> None:
    """Claim that there is a header extension of this size and kind, behind a NIfTI-1 or NIfTI-2 header."""
    place = draw(st.sampled_from((348, 540)))
    size, code = draw(st.sampled_from(_INTEGERS)), draw(st.integers(0, 50))
    order = draw(st.sampled_from('<>'))
    size = min(size, 2**31 - 1) * draw(st.sampled_from((1, 1, -1)))
    data[place : place + 12] = b'\1\0\0\0' + struct.pack(f'{order}ii', size, code)
