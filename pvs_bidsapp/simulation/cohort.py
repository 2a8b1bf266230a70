"""Tables of a simulated cohort with known effects, without images, to test the group level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..anatomy.regions import REGIONS, TOTALS
from ..clusters.tables import CLUSTER_COLUMNS, region_table

#: Relative frequency of clusters in each region of a total.
FREQUENCIES = {
    'deep white matter': 0.08, 'basal ganglia': 0.016, 'ventral diencephalon': 0.01, 'midbrain': 0.01,
    'pons': 0.01, 'hippocampus': 0.015, 'cerebellum': 0.01,
}  # fmt: skip
#: Volume of each region, in mm3.
REGION_VOLUME = 30_000.0


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Effects on the number of clusters, exp(level + age_slope (age - 55) + site_shift + noise).

    Attributes
    ----------
    level : float
        Natural logarithm of the number at 55 years.
    age_slope : float
        Change of the logarithm per year.
    site_shift : float
        Change of the logarithm at every second site.
    spread : float
        Standard deviation of the logarithm between subjects.
    """

    level: float = 4.5
    age_slope: float = 0.01
    site_shift: float = 0.0
    spread: float = 0.5


def draw_tables(
    rng: np.random.Generator, age: float, site: int, effects: Effects
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the cluster table and region statistics of one scan, in the format that `pvs participant` writes.

    Parameters
    ----------
    rng : numpy.random.Generator
    age : float
        In years.
    site : int
        Number of the site.
    effects : Effects

    Returns
    -------
    clusters, regions : DataFrame
        As `pvs_bidsapp.clusters.tables` makes them.
    """
    shift = effects.site_shift * (site % 2)
    mean = effects.level + effects.age_slope * (age - 55) + shift
    number = int(rng.poisson(np.exp(mean + rng.normal(0, effects.spread))))
    weights = np.array([f for r in REGIONS for total, f in FREQUENCIES.items() if r.name in TOTALS[total]])
    chosen = rng.choice(len(REGIONS), number, p=weights / weights.sum())
    direction = rng.normal(size=(number, 3))
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    volume = np.sort(rng.lognormal(1.6, 0.8, number))[::-1].round()
    values = {
        'index': np.arange(1, number + 1),
        'name': [f'PVS{k + 1}' for k in range(number)],
        'region': [REGIONS[k].name for k in chosen],
        'hemisphere': [REGIONS[k].hemisphere for k in chosen],
        'volume_mm3': np.maximum(volume, 1),
        'n_voxels': np.maximum(volume, 1).astype(int),
        'mean_probability': rng.uniform(0.6, 0.9, number).round(3),
        'max_probability': rng.uniform(0.65, 1.0, number).round(3),
        'length_mm': rng.lognormal(1.4, 0.5, number).round(2),
        'width_mm': rng.lognormal(0.3, 0.3, number).round(2),
        'linearity': rng.uniform(0, 1, number).round(3),
        'max_width_mm': rng.lognormal(0.5, 0.3, number).round(2),
        'n_spaces': np.ones(number, int),
        'weighted_volume_mm3': (0.8 * np.maximum(volume, 1)).round(1),
        'contrast_to_noise': rng.uniform(2, 12, number).round(2),
        'ventricle_distance_mm': rng.uniform(2, 30, number).round(1),
        'cortex_distance_mm': rng.uniform(2, 20, number).round(1),
        'wmh_fraction': np.full(number, np.nan),
        'flag': np.full(number, np.nan),
        **dict(zip(('direction_x', 'direction_y', 'direction_z'), direction.T.round(4), strict=True)),
    }
    centre = rng.normal((0, -20, 15), (25, 30, 20), (number, 3)).round(1)
    for axis, name in enumerate('xyz'):
        values[f'{name}_mm'] = values[f'mni_{name}_mm'] = centre[:, axis]
    clusters = pd.DataFrame(values)[list(CLUSTER_COLUMNS)]
    region_map = np.repeat([r.index for r in REGIONS], 3)
    return clusters, region_table(clusters, region_map, REGION_VOLUME / 3)
