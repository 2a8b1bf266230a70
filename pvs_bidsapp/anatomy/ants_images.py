"""From nibabel's conventions (RAS+, affine) to those of ANTs (LPS+, origin, spacing, direction)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import voxel_sizes

if TYPE_CHECKING:
    import ants

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def array_to_ants(array: np.ndarray, affine: np.ndarray) -> ants.ANTsImage:
    """Convert an array with an affine to an ANTs image on the same grid.

    Parameters
    ----------
    array : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.

    Returns
    -------
    image : ANTsImage
        Of type float32.
    """
    import ants

    spacing = voxel_sizes(affine)
    direction = nearest_orthonormal(_RAS_TO_LPS @ affine[:3, :3] / spacing)
    return ants.from_numpy(
        np.ascontiguousarray(array, np.float32),
        origin=list(_RAS_TO_LPS @ affine[:3, 3]),
        spacing=[float(s) for s in spacing],
        direction=direction,
    )


def nearest_orthonormal(matrix: np.ndarray) -> np.ndarray:
    """The nearest rotation or reflection: ITK refuses direction cosines that are off by 1e-6."""
    u, _, vt = np.linalg.svd(matrix)
    return u @ vt
