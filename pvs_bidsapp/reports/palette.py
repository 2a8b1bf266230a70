"""Colours of the pages and figures, which people with any kind of colour vision can tell apart.

The colours are those of Okabe and Ito 2008 (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

from dataclasses import dataclass

#: Colours for series whose members have no meaning of their own, such as cohorts.
SERIES = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8c8c8c')


@dataclass(frozen=True)
class RegionGroup:
    """Regions that have a colour in common.

    Attributes
    ----------
    name : str
        As a legend says it.
    colour : str
        ``#rrggbb``.
    prefixes : tuple of str
        Beginnings of the names of its regions.
    """

    name: str
    colour: str
    prefixes: tuple[str, ...]

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        red, green, blue = bytes.fromhex(self.colour[1:])
        return red, green, blue


GROUPS = (
    RegionGroup('deep white matter', '#56b4e9', ('deep white matter',)),
    RegionGroup(
        'basal ganglia',
        '#e69f00',
        ('basal ganglia', 'caudate', 'lentiform', 'thalamus', 'internal capsule', 'external capsule'),
    ),
    RegionGroup('brainstem', '#cc79a7', ('midbrain', 'pons')),
    RegionGroup('ventral diencephalon', '#d55e00', ('ventral diencephalon',)),
    RegionGroup('hippocampus', '#009e73', ('hippocampus',)),
    RegionGroup('cerebellum', '#f0e442', ('cerebellum',)),
)
#: Of regions that belong to no group.
OTHER = RegionGroup('other regions', '#999999', ())


def group_of(region: str) -> RegionGroup:
    """The group of a region.

    Parameters
    ----------
    region : str
        Name of a region, as in the tables.
    """
    return next((group for group in GROUPS if region.startswith(group.prefixes)), OTHER)
