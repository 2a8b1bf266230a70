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


def shown_columns(columns: dict[str, Column], header: list[str]) -> dict[str, Column]:
    """Those of the columns that a table has.

    Parameters
    ----------
    columns : dict of str to Column
    header : list of str
        Columns of the table.
    """
    return {name: column for name, column in columns.items() if name in header}
