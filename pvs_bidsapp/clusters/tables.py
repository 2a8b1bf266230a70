"""The cluster table and the region statistics, with descriptions of their columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..anatomy.regions import REGIONS, TOTALS, indices_of
from .burden import UNITS, Burden
from .label import reaches
from .shape import Shape
from .surroundings import LIKE_LESION, Surroundings, is_like_lesion, lesion_fractions

#: From this volume (mm3) on, counts of different scanners can be compared (Joliot et al. 2021).
COMPARABLE = 5.0

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
    'length_mm': ('length of the centre line', 'mm'),
    'width_mm': ('diameter of a circle as large as the cross-section halfway', 'mm'),
    'linearity': ('(l1 - l2) / l1 of the eigenvalues of its covariance: 0 round, 1 a line', None),
    'direction_x': ('main axis, unit vector in scanner coordinates', None),
    'direction_y': ('main axis, unit vector in scanner coordinates', None),
    'direction_z': ('main axis, unit vector in scanner coordinates; not negative', None),
    'max_width_mm': ('the same as width_mm, at the widest place', 'mm'),
    'n_spaces': ('spaces of which it seems to consist: one, and side branches of 3 mm and more', None),
    'weighted_volume_mm3': (
        'volume with each voxel weighted by its intensity, from its surroundings (0) to CSF (1)',
        'mm3',
    ),
    'contrast_to_noise': (
        'mean difference to its surroundings in the T1w (of a T2w alone, in the T2w), by the noise',
        None,
    ),
    'ventricle_distance_mm': ('distance of its centre from the ventricles', 'mm'),
    'cortex_distance_mm': ('distance of its centre from the cortex', 'mm'),
    'wmh_fraction': (
        'share of it that lies in white matter hyperintensities; n/a without a mask of them',
        None,
    ),
    'flag': ('"like a lesion" if it is wide, round, faint and near a ventricle; else n/a', None),
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
    'count_5mm3': ('number of clusters of 5 mm3 and more', None),
    'volume_5mm3': ('volume of the clusters of 5 mm3 and more', 'mm3'),
    'expected_count': (
        'number of spaces by the probabilities, the faint ones included; n/a without a calibration',
        None,
    ),
    'expected_count_low': ('lower end of its 90 % interval', None),
    'expected_count_high': ('upper end of its 90 % interval', None),
    'expected_volume_mm3': ('volume of the spaces by the probabilities, as expected_count', 'mm3'),
    'expected_volume_low_mm3': ('lower end of its 90 % interval', 'mm3'),
    'expected_volume_high_mm3': ('upper end of its 90 % interval', 'mm3'),
}
#: Columns of what is expected and of the ends of its interval, by quantity.
EXPECTED_COLUMNS = {
    'count': ('expected_count', 'expected_count_low', 'expected_count_high'),
    'volume': ('expected_volume_mm3', 'expected_volume_low_mm3', 'expected_volume_high_mm3'),
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
    shapes: Sequence[Shape],
    probability: np.ndarray,
    regions: np.ndarray,
    mni: np.ndarray,
    *,
    surroundings: Sequence[Surroundings],
    lesions: np.ndarray | None = None,
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
    surroundings : sequence of Surroundings
        Of each cluster.
    lesions : ndarray of bool, shape (x, y, z), or None
        White matter hyperintensities.
    """
    by_index = {r.index: r for r in REGIONS}
    fractions = np.full(len(shapes), np.nan) if lesions is None else lesion_fractions(shapes, lesions)
    rows = []
    for shape, point, around, fraction in zip(shapes, mni, surroundings, fractions, strict=True):
        voxels = tuple(shape.voxels.T)
        region = by_index[int(np.bincount(regions[voxels]).argmax())]
        values = probability[voxels]
        rows.append([
            shape.index, f'PVS{shape.index}', region.name, region.hemisphere, shape.volume,
            len(shape.voxels), *shape.centre, *point, float(values.mean()), float(values.max()),
            shape.length, shape.width, shape.linearity, *shape.direction,
            shape.max_width, shape.n_spaces,
            # beyond two decimals, they depend on how the scan's values are scaled
            round(around.weighted_volume, 2), round(around.contrast_to_noise, 2),
            around.ventricle_distance, around.cortex_distance, fraction,
            LIKE_LESION if is_like_lesion(shape, around, region.name) else np.nan,
        ])  # fmt: skip
    return pd.DataFrame(rows, columns=list(CLUSTER_COLUMNS))


def region_table(
    clusters: pd.DataFrame,
    regions: np.ndarray,
    voxel_volume: float,
    *,
    burden: Burden | None = None,
    sums: dict[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Table with one row per region, and totals; columns as `REGION_COLUMNS`.

    Parameters
    ----------
    clusters : DataFrame
        From `cluster_table`.
    regions : ndarray of int, shape (x, y, z)
        Region map.
    voxel_volume : float
        In mm3.
    burden : Burden, optional
        Calibration of the model; without it, nothing is expected.
    sums : dict of str to ndarray of float, shape (256,), optional
        From `pvs_bidsapp.clusters.burden.sum_probabilities`; needed with `burden`.
    """
    sizes = np.bincount(regions.ravel(), minlength=256) * voxel_volume
    index_of = {(r.name, r.hemisphere): r.index for r in REGIONS}
    owner = np.array(
        [index_of[pair] for pair in zip(clusters['region'], clusters['hemisphere'], strict=True)], int
    )
    rows = []
    for (name, side), members in row_members().items():
        own = clusters[np.isin(owner, members)]
        volumes = own['volume_mm3'].to_numpy(float)
        large = volumes[reaches(volumes, COMPARABLE)]
        volume, whole = float(volumes.sum()), float(sizes[members].sum())
        rows.append([
            name, side, len(own), volume, whole, volume / whole if whole else np.nan,
            own['length_mm'].mean(), own['width_mm'].mean(), len(large), float(large.sum()),
        ])  # fmt: skip
    table = pd.DataFrame(rows, columns=list(REGION_COLUMNS)[: len(rows[0])])
    for quantity, columns in EXPECTED_COLUMNS.items():
        table[list(columns)] = np.nan
        if burden is not None and sums is not None:
            by_row = np.array([sums[quantity][members].sum() for members in row_members().values()])
            calibration = getattr(burden, quantity)
            table[list(columns)] = np.transpose(calibration.interval(by_row, UNITS[quantity]))
    return table


def row_members() -> dict[tuple[str, str], list[int]]:
    """Name and hemisphere of each row of the region statistics, with the regions that it sums over."""
    rows = {(r.name, r.hemisphere): [r.index] for r in REGIONS}
    for total in TOTALS:
        for side in ('left', 'right', 'both'):
            if members := indices_of(total, side):
                rows.setdefault((total, side), members)
    rows['all', 'both'] = [r.index for r in REGIONS]
    return rows


def to_tsv(table: pd.DataFrame) -> str:
    """Text of a table in the format of BIDS: tabs, ``n/a`` for missing values, 5 significant digits.

    An empty text, such as the note of an estimate that is there, is a missing value, too.
    """
    table = table.where(table != '')
    return table.to_csv(sep='\t', index=False, na_rep='n/a', float_format='%.5g', lineterminator='\n')
