"""How the columns of the tables are headed and rounded on the pages. The tables keep all digits."""

from __future__ import annotations

import math
from dataclasses import dataclass

MISSING = 'n/a'
DASH = '–'


@dataclass(frozen=True)
class Column:
    """A column of a table as a page shows it.

    Attributes
    ----------
    heading : str
        In words, with the unit.
    decimals : int or None
        None for text.
    scale : float
        By which numbers are multiplied: 100 for fractions that are shown in percent.
    """

    heading: str
    decimals: int | None = None
    scale: float = 1.0

    def show(self, text: str) -> str:
        """A cell of the table with fixed decimals; a dash where there is no value."""
        if text in (MISSING, ''):
            return DASH
        return text if self.decimals is None else fixed(text, self.decimals, self.scale)


def fixed(value: object, decimals: int, scale: float = 1.0) -> str:
    """A number with fixed decimals; whatever is none, as it is.

    Parameters
    ----------
    value : object
        A number or a text.
    decimals : int
    scale : float
        By which it is multiplied.
    """
    try:
        number = float(str(value)) * scale
    except ValueError:
        return str(value)
    if not math.isfinite(number):
        return DASH
    shown = f'{number:.{decimals}f}'
    return shown.lstrip('-') if float(shown) == 0 else shown


#: Columns of the cluster table that the page shows, in its order.
CLUSTERS = {
    'region': Column('region'),
    'hemisphere': Column('side'),
    'volume_mm3': Column('volume (mm³)', 1),
    'weighted_volume_mm3': Column('weighted volume (mm³)', 1),
    'length_mm': Column('length (mm)', 1),
    'width_mm': Column('width (mm)', 1),
    'max_width_mm': Column('largest width (mm)', 1),
    'linearity': Column('linearity', 2),
    'mean_probability': Column('probability', 2),
    'contrast_to_noise': Column('contrast to noise', 1),
    'ventricle_distance_mm': Column('to ventricle (mm)', 1),
    'cortex_distance_mm': Column('to cortex (mm)', 1),
    'n_spaces': Column('spaces', 0),
    'wmh_fraction': Column('in WMH (%)', 0, 100),
    'flag': Column('remark'),
    'mni_x_mm': Column('MNI x (mm)', 0),
    'mni_y_mm': Column('MNI y (mm)', 0),
    'mni_z_mm': Column('MNI z (mm)', 0),
}
#: Columns of the region statistics that the page shows.
REGIONS = {
    'region': Column('region'),
    'hemisphere': Column('side'),
    'count': Column('number', 0),
    'count_5mm3': Column('of 5 mm³ and more', 0),
    'volume_mm3': Column('volume (mm³)', 1),
    'volume_fraction': Column('share of the region (%)', 3, 100),
    'mean_length_mm': Column('mean length (mm)', 1),
    'mean_width_mm': Column('mean width (mm)', 1),
}
#: Measures of a cohort's scans in words.
MEASURES = {
    'count': 'number', 'volume_mm3': 'volume (mm³)', 'volume_fraction': 'share of the region',
    'standard_count': 'number, standardised', 'standard_volume_mm3': 'volume, standardised (mm³)',
    'dwm_count': 'number, deep white matter', 'dwm_volume_mm3': 'volume, deep white matter (mm³)',
}  # fmt: skip
#: Headings of the other columns of a cohort's tables.
STATISTICS = {
    'hemisphere': 'side', 'qc_out_of_range': 'quality measures out of range', 'cohort_1': 'first cohort',
    'cohort_2': 'second cohort', 'adjusted_for': 'confounders held', 'n': 'N', 'n_1': 'N, first',
    'n_2': 'N, second', 'n_people': 'people', 'n_scans': 'scans', 'median_1': 'median, first',
    'median_2': 'median, second', 'hedges_g': "Hedges' g", 'standard_error': 'standard error',
    'ci_low': '95 % interval from', 'ci_high': '95 % interval to', 'beta_low': 'beta: 95 % interval from',
    'beta_high': 'beta: 95 % interval to', 'p_permutation': 'p (permutation)',
    'q_permutation': 'q (permutation)', 'p_holm': 'p (Holm)', 'p_heteroscedastic': 'p (unequal variance)',
    'p_proportional': 'p (proportional odds)', 'd': 'KS statistic', 'size_filter_mm3': 'clusters from (mm³)',
    'mean_years': 'years between scans', 'change_per_year': 'change per year',
    'percent_per_year': 'percent per year', 'percent': 'percent by unit', 'icc': 'ICC',
    'icc_low': 'ICC: 95 % interval from', 'icc_high': 'ICC: 95 % interval to',
    'limit_low': 'lower limit of agreement', 'limit_high': 'upper limit of agreement', 'i2': 'I²',
    'r2_nagelkerke': 'R² (Nagelkerke)', 'r2_mcfadden': 'R² (McFadden)', 'r2_cox_snell': 'R² (Cox and Snell)',
}  # fmt: skip


def group_heading(name: str) -> str:
    """The heading of a column of a cohort's table; of one that is not known, its name.

    Parameters
    ----------
    name : str
        As in the TSV.
    """
    return STATISTICS.get(name) or measure_in_words(name)


def measure_in_words(name: str) -> str:
    """A measure of a cohort's scans in words; one that is not known, as it is.

    Parameters
    ----------
    name : str
        As in the TSV.
    """
    return MEASURES.get(name, name)


def shown_columns(columns: dict[str, Column], header: list[str]) -> dict[str, Column]:
    """Those of the columns that a table has.

    Parameters
    ----------
    columns : dict of str to Column
    header : list of str
        Columns of the table.
    """
    return {name: column for name, column in columns.items() if name in header}
