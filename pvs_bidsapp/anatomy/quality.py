"""Quality of a scan and of the steps that find its anatomy, in numbers like those of MRIQC.

MRIQC (Esteban et al. 2017, doi:10.1371/journal.pone.0184661) gives the definitions of ``cjv``, ``cnr`` and
``snr``. Ranges hold what scans of 0.7 to 1.4 mm on scanners of 1.5 and 3 T have that a reader calls good;
scans of moving heads and wrong masks lie outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import edt
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from . import template, tissues
from .morphology import bounding_box
from .registration import Transform, apply_points
from .resampling import are_inside


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a measure of quality is, and which values are expected.

    Attributes
    ----------
    description : str
    unit : str or None
    low, high : float or None
        Smallest and largest value of a good scan.
    """

    description: str
    unit: str | None = None
    low: float | None = None
    high: float | None = None

    def is_expected(self, value: float) -> bool:
        """Whether a value lies within the range; a missing one does."""
        above = self.low is None or not value < self.low
        below = self.high is None or not value > self.high
        return above and below

    @property
    def range(self) -> str:
        """The range in words."""
        if self.low is not None and self.high is not None:
            return f'{self.low:g} to {self.high:g}'
        return f'at most {self.high:g}' if self.high is not None else f'at least {self.low:g}'


#: Of the template's voxels of white matter, every so many are looked up.
_EVERY = 50

#: All measures, in the order of the tables.
METRICS = {
    'snr': Metric(
        description='mean of white matter by its standard deviation; low with noise, bias and motion', low=7
    ),
    'cnr': Metric(
        description='difference of the means of white and grey matter, by the root of their summed variances',
        low=1.7,
    ),
    'cjv': Metric(
        description='sum of the standard deviations of white and grey matter, by the difference of their '
        'means; rises with motion, noise and bias',
        high=0.75,
    ),
    'ringing_index': Metric(
        description='ripples in white matter: the part of its deviations that is alike two voxels apart, by '
        'the contrast of white to grey matter; rises with motion and ringing',
        high=0.07,
    ),
    'noise': Metric(
        description='standard deviation of the noise by the contrast of white to grey matter', high=0.3
    ),
    'noise_to_csf': Metric(
        description='standard deviation of the noise by the contrast of white matter to CSF, which spaces '
        'have at most'
    ),
    'voxel_mm': Metric(description='longest side of a voxel', unit='mm', high=1.5),
    'voxel_mm3': Metric(description='volume of a voxel', unit='mm3', high=2.5),
    'brain_ml': Metric(
        description='volume of the brain mask, with ventricles', unit='ml', low=850, high=2100
    ),
    'bright_border': Metric(
        description='share of the outermost 2 mm of the brain mask that is brighter than white matter: '
        'skull, fat, vessels',
        high=0.05,
    ),
    'hemisphere_ratio': Metric(
        description='volume of the brain mask on the left by that on the right', low=0.85, high=1.18
    ),
    'template_fit': Metric(
        description="correlation of the scan with the template's T1w (of a T2w alone, with its T2w)", low=0.62
    ),
    'template_coverage': Metric(
        description="share of the template's white matter that lies in the brain mask", low=0.97
    ),
    'template_overlap': Metric(
        description="Dice coefficient of white matter with the template's", low=0.6
    ),
    't2w_contrast': Metric(
        description='correlation of the local contrasts of T1w and T2w: negative where they are aligned',
        high=-0.25,
    ),
    't2w_moved_mm': Metric(
        description='how far the T2w had to be moved to lie on the T1w, at the middle of the brain',
        unit='mm', high=4,
    ),
    'expected_dice': Metric(
        description='Dice coefficient that the probabilities expect of the mask with the spaces that are '
        'there; low where noise hides them, and where what is marked is in doubt',
        low=0.4,
    ),
}  # fmt: skip


def assess(
    image: np.ndarray, brain: np.ndarray, classes: np.ndarray, spacing: np.ndarray, suffix: str = 'T1w'
) -> dict[str, float]:
    """Measures of a scan and of its masks.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        Bias corrected.
    brain : ndarray of bool, shape (x, y, z)
    classes : ndarray of uint8, shape (x, y, z)
        Tissue classes of `pvs_bidsapp.anatomy.tissues`.
    spacing : ndarray, shape (3,)
        Voxel size in mm.
    suffix : str
        What the scan is: ``T1w`` or ``T2w``.

    Returns
    -------
    values : dict of str to float
        Some of `METRICS`; NaN where there is too little of a tissue.
    """
    box = bounding_box(brain, 1)
    image, brain, classes = image[box], brain[box], classes[box] * brain[box]
    white, grey = classes == tissues.WM, classes == tissues.GM
    volume = float(np.prod(spacing))
    values = {'voxel_mm': float(spacing.max()), 'voxel_mm3': volume, 'brain_ml': brain.sum() * volume / 1000}
    if white.sum() < 1000 or grey.sum() < 1000:
        return values
    means, deviations = zip(
        *((float(image[t].mean()), float(image[t].std())) for t in (white, grey)), strict=True
    )
    contrast = abs(means[0] - means[1]) or float('nan')
    noise, ripples = _residuals(image, white, spacing)
    values |= {'ringing_index': ripples / contrast, 'noise': noise / contrast}
    if (fluid := image[classes == tissues.CSF]).size:
        csf = tissues.fluid_level(fluid, means[0])
        values['noise_to_csf'] = noise / (abs(means[0] - csf) or float('nan'))
    if suffix == 'T1w':  # in a T2w tissues differ less, and the CSF about the brain is brighter than they are
        values |= {
            'snr': means[0] / deviations[0],
            'cnr': contrast / np.hypot(*deviations),
            'cjv': sum(deviations) / contrast,
            'bright_border': _bright_border(image, brain, means[0] + 2 * deviations[0], spacing),
        }
    return {key: float(value) for key, value in values.items()}


def _residuals(image: np.ndarray, white: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    """Deviations of white matter from its smooth part: their spread, and the spread that is not noise.

    Noise of neighbouring voxels is alike after interpolation; two apart, it hardly is.
    """
    sides = tuple(map(float, spacing))
    core = edt.edt(white, anisotropy=sides) > 2
    if core.sum() < 1000:
        return float('nan'), float('nan')
    sigma = 3 / spacing
    weight = ndimage.gaussian_filter(core.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(np.where(core, image, 0).astype(np.float32), sigma)
    rest: np.ndarray = np.where(core, image - smooth / np.maximum(weight, 1e-3), 0)
    spread = 1.4826 * float(np.median(np.abs(rest[core])))
    rest = np.clip(rest, -3 * spread, 3 * spread)  # PVS and vessels are no ripples
    shared = []
    for axis in range(3):
        values, inside = np.moveaxis(rest, axis, 0), np.moveaxis(core, axis, 0)
        both = inside[2:] & inside[:-2]
        shared.append(float((values[2:] * values[:-2])[both].mean()))
    return spread, max(sum(shared) / len(shared), 0.0) ** 0.5


def _bright_border(image: np.ndarray, brain: np.ndarray, limit: float, spacing: np.ndarray) -> float:
    """Share of the outermost 2 mm of a mask that is brighter than `limit`."""
    depth = edt.edt(brain, anisotropy=tuple(map(float, spacing)), black_border=True)
    border = brain & (depth <= 2)
    return float((image[border] > limit).mean()) if border.any() else float('nan')


def masks_against_template(brain: np.ndarray, affine: np.ndarray, to_template: Transform) -> dict[str, float]:
    """Whether a brain mask holds the brain, and both halves of it.

    Parameters
    ----------
    brain : ndarray of bool, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    to_template : Transform
        From the scan to the template.

    Returns
    -------
    values : dict of str to float
        ``template_coverage`` and ``hemisphere_ratio``.
    """
    atlas = template.load()
    chosen = np.argwhere(atlas.wm > 0.5)[::_EVERY]
    points = apply_points(apply_affine(atlas.affine, chosen), to_template)
    places = np.rint(apply_affine(np.linalg.inv(affine), points)).astype(int)
    inside = are_inside(places, brain.shape)
    inside[inside] = brain[tuple(places[inside].T)]
    middle, right = apply_points(np.array([[0.0, -15, 10], [40, -15, 10]]), to_template)
    sides = (apply_affine(affine, np.argwhere(brain)) - middle) @ (right - middle)
    return {
        'template_coverage': float(inside.mean()),
        'hemisphere_ratio': float((sides < 0).sum() / max((sides > 0).sum(), 1)),
    }


def unexpected(values: Mapping[str, float]) -> list[str]:
    """Names of the measures that lie outside their ranges.

    Parameters
    ----------
    values : mapping of str to float
        Some of `METRICS`.
    """
    return [
        name for name, metric in METRICS.items() if name in values and not metric.is_expected(values[name])
    ]
