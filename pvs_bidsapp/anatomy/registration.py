"""Registration by ANTs, in memory, bit-identical from run to run.

``random_seed=`` of ``ants.registration`` alone has no effect: the package's deterministic mode
is switched on here, which fixes the seed and one ITK thread. Parallel work is done by
registering several subjects at a time.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .ants_images import array_to_ants
from .resampling import Grid

if TYPE_CHECKING:
    import ants


@dataclass(frozen=True)
class Transform:
    """A chain of transforms that takes a moving image to the fixed one's space.

    Attributes
    ----------
    files : tuple of Path
        In the order of ``ants.apply_transforms``.
    inverted : tuple of bool
        Which of them are applied inversely.
    """

    files: tuple[Path, ...]
    inverted: tuple[bool, ...] = ()


def deterministic(seed: int) -> None:
    """Make ANTs repeat itself in this process: one thread, this seed."""
    import ants

    ants.config.set_ants_deterministic(True, seed)


def register(
    fixed: ants.ANTsImage,
    moving: ants.ANTsImage,
    kind: str,
    folder: Path,
    name: str,
    **options: object,
) -> tuple[Transform, Transform]:
    """Register `moving` to `fixed`.

    Parameters
    ----------
    fixed, moving : ANTsImage
    kind : str
        As ``type_of_transform`` of ``ants.registration``.
    folder : Path
        Where the transforms are kept.
    name : str
        Beginning of their file names.
    **options
        Passed on to ``ants.registration``.

    Returns
    -------
    forward, inverse : Transform
        From moving to fixed space, and back.
    """
    import ants

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        result = ants.registration(
            fixed, moving, type_of_transform=kind, outprefix=f'{scratch}/', random_seed=1, **options
        )
        kept: dict[str, Path] = {}
        for path in (*result['fwdtransforms'], *result['invtransforms']):
            if path not in kept:
                kept[path] = folder / f'{name}_{Path(path).name}'
                shutil.copyfile(path, kept[path])
    forward = tuple(kept[p] for p in result['fwdtransforms'])
    inverse = tuple(kept[p] for p in result['invtransforms'])
    return (
        Transform(forward, tuple(False for _ in forward)),
        Transform(inverse, tuple(p.suffix == '.mat' for p in inverse)),
    )


def apply(
    image: np.ndarray,
    affine: np.ndarray,
    grid: Grid,
    transform: Transform,
    *,
    interpolation: str = 'linear',
) -> np.ndarray:
    """Bring an array to a grid through a transform.

    Parameters
    ----------
    image, affine : ndarray
    grid : Grid
    transform : Transform
    interpolation : str
        As in ``ants.apply_transforms``: ``linear``, ``genericLabel``, ``bSpline``, ...
    """
    import ants

    reference = array_to_ants(np.zeros(grid.shape, np.float32), grid.affine)
    moved = ants.apply_transforms(
        reference,
        array_to_ants(image, affine),
        [str(p) for p in transform.files],
        interpolator=interpolation,
        whichtoinvert=list(transform.inverted),
    )
    return moved.numpy()


def apply_points(points: np.ndarray, transform: Transform) -> np.ndarray:
    """Bring points from the fixed to the moving space of a transform.

    ITK's transforms take points the other way than images: the transform that brings the
    template's image to the subject brings the subject's points to the template.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        Scanner RAS+ mm.

    Returns
    -------
    moved : ndarray, shape (n, 3)
        RAS+ mm of the moving space.
    """
    import ants
    import pandas as pd

    if not len(points):
        return np.empty((0, 3))
    flip = np.array([-1.0, -1.0, 1.0])
    table = pd.DataFrame(points * flip, columns=['x', 'y', 'z'])
    moved = ants.apply_transforms_to_points(
        3, table, [str(p) for p in transform.files], whichtoinvert=list(transform.inverted)
    )
    return moved[['x', 'y', 'z']].to_numpy() * flip
