"""Between nibabel (RAS+, affine) and ANTs (LPS+, origin, spacing, direction)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import voxel_sizes

if TYPE_CHECKING:
    import ants

_FLIP = np.diag([-1.0, -1.0, 1.0])


def array_to_ants(array: np.ndarray, affine: np.ndarray) -> ants.ANTsImage:
    """An array with its affine for ANTs, on the same grid; float32."""
    import ants

    spacing = voxel_sizes(affine)
    direction = _orthonormal(_FLIP @ affine[:3, :3] / spacing)
    return ants.from_numpy(
        np.ascontiguousarray(array, np.float32),
        origin=list(_FLIP @ affine[:3, 3]),
        spacing=[float(s) for s in spacing],
        direction=direction,
    )


def _orthonormal(matrix: np.ndarray) -> np.ndarray:
    """The nearest rotation or reflection: ITK refuses direction cosines that are off by 1e-6."""
    u, _, vt = np.linalg.svd(matrix)
    return u @ vt
