"""What years do to a brain: wider ventricles, wider sulci.

Lateral ventricles double in volume between 20 and 80 years and grey matter loses about a fifth
(Scahill et al. 2003, doi:10.1001/archneur.60.7.989; Walhovd et al. 2011); by how many
millimetres the borders move here is a choice of ours.
"""

from __future__ import annotations

import numpy as np

from .fields import control_points, smooth_field
from .label_maps import CORTEX, LATERAL_VENTRICLES, VESSEL_SPACES, WHITE_MATTER, Anatomy, distance

#: Millimetres by which ventricle walls have moved, and sulci have opened, at 90 years.
VENTRICLE_GROWTH, SULCAL_WIDENING = 1.8, 1.1
ONSET = 35.0


def grow_old(anatomy: Anatomy, rng: np.random.Generator, age: float) -> Anatomy:
    """Enlarge the lateral ventricles into white matter and open the sulci.

    Parameters
    ----------
    anatomy : Anatomy
    rng : numpy.random.Generator
    age : float
        Years; nothing happens up to 35, people of one age differ.
    """
    years = max(0.0, age - ONSET) / (90 - ONSET)
    growth = VENTRICLE_GROWTH * years * rng.lognormal(0, 0.5) + abs(rng.normal(0, 0.25))
    opening = SULCAL_WIDENING * years * rng.lognormal(0, 0.4)
    shape = anatomy.labels.shape
    uneven = smooth_field(shape, control_points(shape, anatomy.spacing, 30.0), rng)
    labels = anatomy.labels.copy()
    yielding = anatomy.select(*WHITE_MATTER, *VESSEL_SPACES)
    for code in LATERAL_VENTRICLES[:2]:
        near = distance(anatomy.labels == code, anatomy.spacing) < growth * np.exp(0.3 * uneven)
        labels[near & yielding] = code
    outside = distance(anatomy.select(24), anatomy.spacing)
    labels[anatomy.select(*CORTEX) & (outside < opening + 0.35 * uneven)] = 24
    return Anatomy(labels, anatomy.affine, anatomy.name)
