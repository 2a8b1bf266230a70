"""The contract of the field's challenge container: a folder with one scan in, posterior and mask out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..anatomy.conform import load_scan
from ..anatomy.contrast import tell_contrast
from ..anatomy.volume import open_image
from ..bids.naming import Naming
from ..messages import datasets
from ..runtime.files import read_image, save_image
from ..settings import DEFAULT_MODELS
from .predict import extension_of

#: Types of images that the challenge hands out.
EXTENSIONS = ('.nii', '.nii.gz')


def find_input(folder: Path) -> Path:
    """The only NIfTI image of a folder; hidden files do not count.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    images = sorted(
        p for p in folder.iterdir() if extension_of(p) in EXTENSIONS and not p.name.startswith('.')
    )
    if len(images) != 1:
        raise datasets.ONE_IMAGE.error(folder, count=len(images))
    return images[0]


def options_for(scan: Path, contrast: str | None = None) -> tuple[str, ...]:
    """The options with which ``pvs predict`` takes a scan.

    Parameters
    ----------
    scan : Path
    contrast : str, optional
        ``T1w`` or ``T2w``; told by the image if it is not given.

    Raises
    ------
    ImageError
        If the scan cannot be used.
    """
    contrast = contrast or tell_contrast(load_scan(scan))
    return '--model', DEFAULT_MODELS[contrast], '--modality', contrast


def write_answer(names: Naming, scan: Path, folder: Path) -> tuple[Path, Path]:
    """Write posterior and mask of a scan on its own grid.

    Parameters
    ----------
    names : Naming
        Names of the outputs of the scan.
    scan : Path
        The input, from whose name those of the files are made.
    folder : Path

    Returns
    -------
    posterior, mask : Path
        ``<name>_pvs_posterior.nii.gz``, float64 in [0, 1], and ``<name>_pvs_mask.nii.gz``, uint8.
    """
    affine = open_image(scan).source.affine
    stem = scan.name[: -len(extension_of(scan) or '')]
    posterior, mask = (folder / f'{stem}_pvs_{what}.nii.gz' for what in ('posterior', 'mask'))
    probability, _ = read_image(names.anat('probseg', label='PVS'))
    save_image(posterior, np.clip(probability, 0, 1), affine, np.float64)
    save_image(mask, read_image(names.anat('mask', label='PVS'))[0], affine, np.uint8)
    return posterior, mask
