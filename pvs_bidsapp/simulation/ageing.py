"""Effects of age on the brain: wider ventricles and sulci.

Lateral ventricles double in volume between 20 and 80 years, and grey matter loses about a fifth (Scahill et
al. 2003, doi:10.1001/archneur.60.7.989; Walhovd et al. 2011). The distances in mm by which the borders move
here are our own choice.
"""

from __future__ import annotations

import numpy as np

from .fields import control_points, smooth_field
from .label_maps import CORTEX, LATERAL_VENTRICLES, VESSEL_SPACES, WHITE_MATTER, Anatomy, distance

#: Distance by which ventricle walls have moved at 90 years, and by which sulci have opened, in mm.
VENTRICLE_GROWTH, SULCAL_WIDENING = 1.8, 1.1
#: Age at which both begin, in years.
ONSET = 35.0


def age_anatomy(anatomy: Anatomy, rng: np.random.Generator, age: float) -> Anatomy:
    """Enlarge the lateral ventricles into white matter and widen the sulci.

    Parameters
    ----------
    anatomy : Anatomy
    rng : numpy.random.Generator
    age : float
        In years; there is no systematic effect up to 35 years. Subjects of the same age differ.
    """
    years = max(0.0, age - ONSET) / (90 - ONSET)
    growth = VENTRICLE_GROWTH * years * rng.lognormal(0, 0.5) + abs(rng.normal(0, 0.25))
    opening = SULCAL_WIDENING * years * rng.lognormal(0, 0.4)
    shape = anatomy.labels.shape
    variation = smooth_field(shape, control_points(shape, anatomy.spacing, 30.0), rng)
    labels = anatomy.labels.copy()
    replaceable = anatomy.select(*WHITE_MATTER, *VESSEL_SPACES)
    for code in LATERAL_VENTRICLES[:2]:
        near = distance(anatomy.labels == code, anatomy.spacing) < growth * np.exp(0.3 * variation)
        labels[near & replaceable] = code
    to_csf = distance(anatomy.select(24), anatomy.spacing)
    labels[anatomy.select(*CORTEX) & (to_csf < opening + 0.35 * variation)] = 24
    return Anatomy(labels, anatomy.affine, anatomy.name)
