"""Registration, bit-identical from run to run: linear by ANTs, deformable by greedy.

``random_seed=`` of ``ants.registration`` alone has no effect. The package's deterministic mode is switched on
here; it fixes the seed and uses one ITK thread.

greedy [1]_ has the fluid-like model of ANTs' SyN, but registers in one direction. On simulated heads it takes
a sixth of SyN's time, and the Dice of structures with the truth is higher. Its results do not depend on the
number of threads.

References
----------
.. [1] Yushkevich et al., Alzheimer's & Dementia 12 (2016) P126, doi:10.1016/j.jalz.2016.06.205;
   https://greedy.readthedocs.io
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .ants_images import array_to_ants
from .resampling import Grid

if TYPE_CHECKING:
    import ants


#: greedy's options. The window of the correlation is 5 voxels wide. Updates are smoothed by 3 voxels and the
#: field by 0.7: less leaves heads of children, whose proportions differ, at a wrong fold; more leaves large
#: ventricles unmatched. greedy would add noise of its own to the images, and round the fields: both off, for
#: results that can be repeated.
GREEDY = '-m WNCC 2x2x2 -n 60x40x12 -s 3vox 0.7vox -sv -noise 0 -wp 0 -V 0'

#: Search for a start of the affine registration: largest rotation about each axis and steps of the search in
#: degrees, and voxel size in mm.
SEARCHED_TILT, SEARCH_STEP, SEARCH_SPACING = 36.0, 20.0, 4.0


@dataclass(frozen=True)
class Transform:
    """A chain of transforms that takes a moving image to the fixed one's space.

    Attributes
    ----------
    files : tuple of Path
        In the order of ``ants.apply_transforms``.
    inverted : tuple of bool
        For each file, whether its inverse is applied.
    """

    files: tuple[Path, ...]
    inverted: tuple[bool, ...] = ()


def deterministic(seed: int) -> None:
    """Make the results of ANTs in this process repeatable: one thread, a fixed seed."""
    import ants

    ants.config.set_ants_deterministic(True, seed)


def register(
    fixed: ants.ANTsImage,
    moving: ants.ANTsImage,
    type_of_transform: str,
    folder: Path,
    name: str,
    **options: object,
) -> tuple[Transform, Transform]:
    """Register a moving to a fixed image.

    Parameters
    ----------
    fixed, moving : ANTsImage
    type_of_transform : str
        As for ``ants.registration``: ``Rigid``, ``Affine``, ``SyNOnly``, ...
    folder : Path
        Folder in which the transforms are kept.
    name : str
        Prefix of their file names.
    **options
        Passed on to ``ants.registration``; ``initial_transform`` may be a list of files.

    Returns
    -------
    forward, inverse : Transform
        From moving to fixed space, and from fixed to moving space.
    """
    import ants

    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    start = options.get('initial_transform')
    # in its folder, since ANTs has a meaning of its own for brackets and commas, which a path may have
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(start, list):
            (Path(scratch) / 'start').mkdir()  # apart, since all beside the results is taken for one of them
            names = [f'start/{number}.mat' for number in range(len(start))]
            for file, copy in zip(start, names, strict=True):
                shutil.copyfile(file, Path(scratch) / copy)
            options['initial_transform'] = names
        with contextlib.chdir(scratch):
            result = ants.registration(
                fixed,
                moving,
                type_of_transform=type_of_transform,
                outprefix='./',
                random_seed=1,
                **options,
            )
        kept: dict[str, Path] = {}
        for path in (*result['fwdtransforms'], *result['invtransforms']):
            if path not in kept:
                kept[path] = folder / f'{name}_{Path(path).name}'
                shutil.copyfile(Path(scratch) / path, kept[path])
    forward = tuple(kept[p] for p in result['fwdtransforms'])
    inverse = tuple(kept[p] for p in result['invtransforms'])
    return (
        Transform(forward, tuple(False for _ in forward)),
        Transform(inverse, tuple(p.suffix == '.mat' for p in inverse)),
    )


def search_start(fixed: ants.ANTsImage, moving: ants.ANTsImage, folder: Path) -> Transform:
    """Where to begin an affine registration: the best of many rotations about the centre of mass.

    Parameters
    ----------
    fixed, moving : ANTsImage
    folder : Path
        Folder in which the transform is kept.

    Returns
    -------
    start : Transform
        From moving to fixed space; turned by `SEARCHED_TILT` at most.
    """
    import ants

    folder.mkdir(parents=True, exist_ok=True)
    small = [
        ants.resample_image(ants.smooth_image(image, SEARCH_SPACING / 2), (SEARCH_SPACING,) * 3)
        for image in (fixed, moving)
    ]
    with _silenced(), contextlib.chdir(folder):
        ants.affine_initializer(
            *small,
            search_factor=SEARCH_STEP,
            radian_fraction=SEARCHED_TILT / 180,
            local_search_iterations=10,
            txfn='start.mat',
        )
    return Transform((folder / 'start.mat',), (False,))


def register_deformable(
    fixed: ants.ANTsImage,
    moving: ants.ANTsImage,
    mask: ants.ANTsImage,
    linear: Transform,
    folder: Path,
    name: str,
    *,
    threads: int = 1,
) -> tuple[Transform, Transform]:
    """Register a moving to a fixed image by a diffeomorphism after a linear transform.

    Parameters
    ----------
    fixed, moving : ANTsImage
    mask : ANTsImage
        Where the images are compared, on the grid of `fixed`.
    linear : Transform
        One ``.mat`` file, from the moving to the fixed image.
    folder : Path
        Folder in which the transforms are kept.
    name : str
        Prefix of their file names.
    threads : int
        They change the time that it takes, not the result.

    Returns
    -------
    forward, inverse : Transform
        From moving to fixed space, and from fixed to moving space.
    """
    import ants
    from picsl_greedy import Greedy3D

    (matrix,) = linear.files
    warp, inverse = folder / f'{name}_warp.nii', folder / f'{name}_inverse_warp.nii'
    with tempfile.TemporaryDirectory() as scratch, _silenced():
        for image, file in ((fixed, 'fixed'), (moving, 'moving'), (mask, 'mask')):
            ants.image_write(image, f'{scratch}/{file}.nii')
        np.savetxt(f'{scratch}/linear.txt', matrix_of(linear))
        # in its folder, since greedy splits its command at blanks, which a path may have
        with contextlib.chdir(scratch):
            Greedy3D().execute(
                f'-threads {threads} {GREEDY} -i fixed.nii moving.nii -gm mask.nii -it linear.txt '
                '-o warp.nii -oinv inverse.nii'
            )
        shutil.copyfile(f'{scratch}/warp.nii', warp)
        shutil.copyfile(f'{scratch}/inverse.nii', inverse)
    return Transform((warp, matrix), (False, False)), Transform((matrix, inverse), (True, False))


def matrix_of(transform: Transform) -> np.ndarray:
    """The matrix of a linear transform, which takes points of the fixed to the moving space.

    Parameters
    ----------
    transform : Transform
        At most one file, in ITK's format, not inverted.

    Returns
    -------
    matrix : ndarray, shape (4, 4)
        For scanner RAS+ mm.
    """
    import ants

    if not transform.files:
        return np.eye(4)
    (file,) = transform.files
    read = ants.read_transform(str(file))
    centre = np.asarray(read.fixed_parameters)
    linear, shift = np.asarray(read.parameters).reshape(4, 3)[:3], read.parameters[9:]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift + centre - linear @ centre
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return flip @ matrix @ flip


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Drop what compiled code prints: greedy each iteration, ANTs' search each matrix that it rejects."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, 'wb') as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)


@contextlib.contextmanager
def _short_names(transform: Transform) -> Iterator[list[str]]:
    """Names of the files of a transform, in their folder: brackets in a path are syntax to ANTs."""
    files = [path.absolute() for path in transform.files]
    with contextlib.chdir(files[0].parent) if files else contextlib.nullcontext():
        yield [os.path.relpath(path) for path in files]


def apply(
    image: np.ndarray,
    affine: np.ndarray,
    grid: Grid,
    transform: Transform,
    *,
    interpolation: str = 'linear',
) -> np.ndarray:
    """Transform an image and resample it to a grid.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        In the moving space of the transform.
    affine : ndarray, shape (4, 4)
        Affine of the image.
    grid : Grid
        Grid of the result, in the fixed space of the transform.
    transform : Transform
    interpolation : str
        As in ``ants.apply_transforms``: ``linear``, ``nearestNeighbor``, ``bSpline``, ...

    Returns
    -------
    moved : ndarray of float32
        Of the grid's shape.
    """
    import ants

    reference = array_to_ants(np.zeros(grid.shape, np.float32), grid.affine)
    with _short_names(transform) as names:
        moved = ants.apply_transforms(
            reference,
            array_to_ants(image, affine),
            names,
            interpolator=interpolation,
            whichtoinvert=list(transform.inverted),
        )
    return moved.numpy()


def apply_points(points: np.ndarray, transform: Transform) -> np.ndarray:
    """Transform points from the fixed to the moving space of a transform.

    ITK transforms points in the opposite direction of images: the transform that takes the template's image
    to the subject takes points of the subject to the template.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        In the fixed space, scanner RAS+ mm.
    transform : Transform

    Returns
    -------
    moved : ndarray, shape (n, 3)
        In the moving space, RAS+ mm.
    """
    import ants
    import pandas as pd

    if not len(points):
        return np.empty((0, 3))
    flip = np.array([-1.0, -1.0, 1.0])
    table = pd.DataFrame(points * flip, columns=['x', 'y', 'z'])
    with _short_names(transform) as names:
        moved = ants.apply_transforms_to_points(3, table, names, whichtoinvert=list(transform.inverted))
    return moved[['x', 'y', 'z']].to_numpy() * flip


def write_composite(transform: Transform, path: Path) -> None:
    """Write a chain of transforms as one file of ITK, which ANTs, SimpleITK and nitransforms read.

    Parameters
    ----------
    transform : Transform
    path : Path
        Ends in ``.h5``.
    """
    import SimpleITK as sitk

    whole = sitk.CompositeTransform(3)
    # the one that is added last is applied first to points, as the first one in ANTs' order is
    for file, is_inverted in reversed([*zip(transform.files, transform.inverted, strict=True)]):
        if '.nii' in file.name:
            field = sitk.ReadImage(str(file), sitk.sitkVectorFloat64)
            part: sitk.Transform = sitk.DisplacementFieldTransform(field)
        else:
            part = sitk.ReadTransform(str(file))
        whole.AddTransform(part.GetInverse() if is_inverted else part)
    sitk.WriteTransform(whole, str(path))
