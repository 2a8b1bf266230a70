"""Which contrast a scan has, T1w or T2w, by the image alone."""

from __future__ import annotations

import edt
import numpy as np

from .brain import COARSE_SPACING, foreground, head_slices
from .conform import ScanImage
from .resampling import isotropic_grid, resample

#: Smallest depth below the surface of the head, as a fraction of the largest: what lies deeper is brain.
INNER = 0.5
#: Percentiles between which the values of the inner brain are taken to lie.
LOW, HIGH = 2, 98


def tell_contrast(scan: ScanImage) -> str:
    """Tell whether a scan is a T1w or a T2w, by the brightness of CSF against the brain.

    The inner half of a head, with its skull or without, is brain with the ventricles. CSF is the smaller part
    of it, and the only one whose brightness differs much from the median: on a T2w it is the long tail above
    the median, on a T1w that below. The ratio of both tails is 0.2 to 0.7 on T1w and above 4 on T2w scans. A
    FLAIR, whose CSF is dark, counts as a T1w.

    Parameters
    ----------
    scan : ScanImage

    Returns
    -------
    contrast : str
        ``T1w`` or ``T2w``.

    Raises
    ------
    ImageError
        If there is no head in the image.
    """
    grid = isotropic_grid(scan.grid.affine, scan.grid.shape, COARSE_SPACING)
    image = np.maximum(resample(scan.image, scan.grid.affine, grid, order=1), 0)
    image = image[:, :, head_slices(image, COARSE_SPACING)]
    depth = edt.edt(foreground(image, COARSE_SPACING), black_border=True)
    low, middle, high = np.percentile(image[depth >= INNER * depth.max()], (LOW, 50, HIGH))
    return 'T2w' if high - middle > middle - low else 'T1w'
