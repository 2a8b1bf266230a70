"""Simple shapes and images that tests of several modules use."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from pvs_bidsapp.anatomy import template
from pvs_bidsapp.anatomy.bias import FIELD_SPACING, BiasField
from pvs_bidsapp.anatomy.resampling import isotropic_grid
from pvs_bidsapp.simulation.label_maps import Anatomy, template_anatomy


def ball(shape, centre, radius):
    """Mask of a ball; all lengths in voxels."""
    grid = np.indices(shape) - np.array(centre)[:, None, None, None]
    return (grid**2).sum(0) <= radius**2


def uneven_brain(rng, slope):
    """White matter in grey matter in CSF at 2 mm, with an uncorrected field: image, masks, affine."""
    shape, affine = (60, 70, 60), np.diag([2.0, 2, 2, 1])
    mask, grey, white = (ball(shape, (30, 35, 30), radius) for radius in (27, 25, 20))
    field = np.exp(slope * (np.arange(60) - 30) / 20)[:, None, None]
    image = (np.select([white, grey], [100.0, 78.0], 35.0) * field + rng.normal(0, 1, shape)) * mask
    return image.astype(np.float32), white, grey, mask, affine


def no_field(shape, affine):
    """A bias field of 1 everywhere."""
    grid = isotropic_grid(affine, shape, FIELD_SPACING)
    return BiasField(np.zeros(grid.shape, np.float32), grid)


def coarse_template() -> template.Template:
    """The template at 2 mm, which takes an eighth of the time."""
    atlas = template.load()
    names = (field.name for field in fields(atlas) if field.name != 'affine')
    images = {name: np.ascontiguousarray(getattr(atlas, name)[::2, ::2, ::2]) for name in names}
    return replace(atlas, **images, affine=atlas.affine @ np.diag([2, 2, 2, 1]))


def small_anatomy(*, scale: float, step: int) -> Anatomy:
    """The template's label map as that of a smaller head, which takes less time.

    Parameters
    ----------
    scale : float
        Size of the head beside the template's.
    step : int
        Of how many voxels along each axis one is kept.
    """
    anatomy = template_anatomy()
    labels = np.ascontiguousarray(anatomy.labels[::step, ::step, ::step])
    affine = np.diag([scale, scale, scale, 1]) @ anatomy.affine @ np.diag([step, step, step, 1])
    return Anatomy(labels, affine, 'small')


def write_label_map(folder: Path, *, scale: float, step: int = 1) -> Path:
    """Write the map of `small_anatomy` to a new folder, for ``--label-maps``."""
    anatomy = small_anatomy(scale=scale, step=step)
    folder.mkdir()
    nib.save(nib.Nifti1Image(anatomy.labels, anatomy.affine), folder / 'small.nii.gz')
    return folder
