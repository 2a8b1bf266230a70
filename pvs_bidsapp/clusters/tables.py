"""The cluster table and the region statistics, with descriptions of their columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..anatomy.regions import REGIONS
from .shape import Shape

#: Description and unit of the columns of the cluster table.
CLUSTER_COLUMNS = {
    'index': ('number of the cluster in the dseg image, by descending volume', None),
    'name': ('name of the cluster', None),
    'region': ('region that holds most of its voxels (the one with the lower index in a tie)', None),
    'hemisphere': ('left, right or both', None),
    'volume_mm3': ('volume', 'mm3'),
    'n_voxels': ('number of voxels', None),
    'x_mm': ('centre of mass, scanner coordinates, rightward', 'mm'),
    'y_mm': ('centre of mass, scanner coordinates, forward', 'mm'),
    'z_mm': ('centre of mass, scanner coordinates, upward', 'mm'),
    'mni_x_mm': ('centre of mass in MNI152NLin2009cSym, rightward', 'mm'),
    'mni_y_mm': ('centre of mass in MNI152NLin2009cSym, forward', 'mm'),
    'mni_z_mm': ('centre of mass in MNI152NLin2009cSym, upward', 'mm'),
    'mean_probability': ('mean of the probability map over the cluster', None),
    'max_probability': ('largest value of the probability map in the cluster', None),
    'length_mm': ('extent along the main axis', 'mm'),
    'width_mm': ('diameter of a cylinder of the same volume and length', 'mm'),
    'linearity': ('(l1 - l2) / l1 of the eigenvalues of its covariance: 0 round, 1 a line', None),
    'direction_x': ('main axis, unit vector in scanner coordinates', None),
    'direction_y': ('main axis, unit vector in scanner coordinates', None),
    'direction_z': ('main axis, unit vector in scanner coordinates; not negative', None),
}

#: Description and unit of the columns of the region statistics.
REGION_COLUMNS = {
    'region': ('name of the region; total rows sum over hemispheres and lobes', None),
    'hemisphere': ('left, right or both', None),
    'count': ('number of clusters', None),
    'volume_mm3': ('volume of the clusters', 'mm3'),
    'region_volume_mm3': ('volume of the region', 'mm3'),
    'volume_fraction': ('volume_mm3 / region_volume_mm3', None),
    'mean_length_mm': ('mean length of the clusters; n/a without clusters', 'mm'),
    'mean_width_mm': ('mean width of the clusters; n/a without clusters', 'mm'),
}


def describe(columns: dict[str, tuple[str, str | None]]) -> dict[str, dict[str, str]]:
    """Descriptions of columns in the format of a BIDS sidecar.

    Parameters
    ----------
    columns : dict
        Description and unit (or None) by name.
    """
    return {
        name: {'Description': text} | ({'Units': unit} if unit else {})
        for name, (text, unit) in columns.items()
    }


def cluster_table(
    shapes: Sequence[Shape], probability: np.ndarray, regions: np.ndarray, mni: np.ndarray
) -> pd.DataFrame:
    """Table with one row per cluster; columns as `CLUSTER_COLUMNS`.

    Parameters
    ----------
    shapes : sequence of Shape
    probability : ndarray of float, shape (x, y, z)
    regions : ndarray of int, shape (x, y, z)
        Region map that holds all clusters.
    mni : ndarray, shape (n, 3)
        Centres of the clusters in the template's space, RAS+ mm.
    """
    by_index = {r.index: r for r in REGIONS}
    rows = []
    for shape, point in zip(shapes, mni, strict=True):
        voxels = tuple(shape.voxels.T)
        region = by_index[int(np.bincount(regions[voxels]).argmax())]
        values = probability[voxels]
        rows.append([
            shape.index, f'PVS{shape.index}', region.name, region.hemisphere, shape.volume,
            len(shape.voxels), *shape.centre, *point, float(values.mean()), float(values.max()),
            shape.length, shape.width, shape.linearity, *shape.direction,
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=list(CLUSTER_COLUMNS))


def region_table(clusters: pd.DataFrame, regions: np.ndarray, voxel_volume: float) -> pd.DataFrame:
    """Table with one row per region, and totals; columns as `REGION_COLUMNS`.

    Parameters
    ----------
    clusters : DataFrame
        From `cluster_table`.
    regions : ndarray of int, shape (x, y, z)
        Region map.
    voxel_volume : float
        In mm3.
    """
    sizes = np.bincount(regions.ravel(), minlength=256) * voxel_volume
    groups: list[tuple[str, str, list[int]]] = [(r.name, r.hemisphere, [r.index]) for r in REGIONS]
    for name in ('deep white matter', 'basal ganglia', 'hippocampus'):
        for side in ('left', 'right', 'both'):
            members = [r.index for r in REGIONS if r.name.startswith(name) and side in (r.hemisphere, 'both')]
            if (name, side) not in {(n, s) for n, s, _ in groups}:
                groups.append((name, side, members))
    groups.append(('all', 'both', [r.index for r in REGIONS]))
    index_of = {(r.name, r.hemisphere): r.index for r in REGIONS}
    owner = np.array(
        [index_of[pair] for pair in zip(clusters['region'], clusters['hemisphere'], strict=True)], int
    )
    rows = []
    for name, side, members in groups:
        own = clusters[np.isin(owner, members)]
        volume, whole = float(own['volume_mm3'].sum()), float(sizes[members].sum())
        rows.append([
            name, side, len(own), volume, whole, volume / whole if whole else np.nan,
            own['length_mm'].mean(), own['width_mm'].mean(),
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=list(REGION_COLUMNS))


def to_tsv(table: pd.DataFrame) -> str:
    """Text of a table in the format of BIDS: tabs, ``n/a`` for missing values, 5 significant digits."""
    return table.to_csv(sep='\t', index=False, na_rep='n/a', float_format='%.5g', lineterminator='\n')
