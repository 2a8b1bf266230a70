"""Labels that a reader gives: a mask, or the marks on clusters that a subject's page gives as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..anatomy.mask_image import MaskImage, Partner, map_on_grid, read_label_map, read_mask
from ..anatomy.volume import Volume, open_volume
from ..bids.label_layouts import find_traced_regions
from ..bids.labels import EXTENSIONS, MARKS_SUFFIX
from ..bids.naming import Naming, parse_entities
from ..errors import InputError
from ..messages import masks
from .result_tables import read_rows

#: What a reader can think of a cluster.
RIGHT, WRONG, UNSURE = MARKS = ('right', 'wrong', 'unsure')
#: Largest distance in mm between the centres of a cluster in two tables, which are rounded.
SAME_PLACE = 0.5
_CENTRE = ('x_mm', 'y_mm', 'z_mm')


@dataclass(frozen=True, kw_only=True)
class Label:
    """Which voxels are perivascular space, as far as it is known.

    Attributes
    ----------
    image : MaskImage
        Perivascular spaces.
    unknown : ndarray of bool, shape (x, y, z), or None
        On the image's grid: clusters that are marked as unsure or not at all, or what lies outside of the
        regions that were traced; None if all is known.
    is_of_marks : bool
        Whether it comes from marks on clusters, so that it knows no space that the program missed.
    n_unsure, n_unmarked : int
        Numbers of clusters that are marked as unsure, or not at all.
    """

    image: MaskImage
    unknown: np.ndarray | None = None
    is_of_marks: bool = False
    n_unsure: int = 0
    n_unmarked: int = 0

    @property
    def traced(self) -> np.ndarray | None:
        """Where spaces were traced, on the image's grid; None if that is everywhere."""
        return None if self.unknown is None or self.is_of_marks else ~self.unknown


def read_label(path: Path, beside: Sequence[Path] = ()) -> Label:
    """Read a label.

    The clusters that marks belong to, an image and a table, stand beside the marks, or in the place of a
    scan's outputs in a folder above the marks.

    Parameters
    ----------
    path : Path
        A mask, or a table ``*_desc-pvs_marks.tsv``.
    beside : sequence of Path
        Further folders in which the clusters may stand.

    Raises
    ------
    ImageError
        If a file cannot be used, or the marks belong to other clusters.
    """
    if not path.name.endswith(MARKS_SUFFIX):
        return _read_traced(path)
    image_path, table_path = _find_clusters(path, beside)
    marks = _read_marks(path, table_path)
    volume = open_volume(image_path)
    return _label_of(path, volume, marks)


def files_of_label(path: Path) -> tuple[Path, ...]:
    """The files that `read_label` reads.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ImageError
        If the clusters of a table of marks are missing.
    """
    if path.name.endswith(MARKS_SUFFIX):
        return path, *_find_clusters(path, ())
    regions = find_traced_regions(path)
    return (path,) if regions is None else (path, regions)


def _read_traced(path: Path) -> Label:
    """A mask, and where it says something if only parts of the scan were traced."""
    image = read_mask(path)
    if (regions_path := find_traced_regions(path)) is None:
        return Label(image=image)
    regions = read_label_map(regions_path)
    traced = map_on_grid(regions_path, regions, Partner(path=path, source=image.source), order=0) > 0
    finding = masks.TRACED_IN_PART.finding(path, regions=regions_path.name)
    return Label(image=replace(image, findings=(*image.findings, finding)), unknown=~traced)


def _label_of(path: Path, volume: Volume, marks: dict[int, str]) -> Label:
    """The clusters that are right as a mask, and those of which nothing is known."""
    numbers = np.unique(volume.data[volume.data > 0]).astype(int)
    right, wrong = ([k for k, mark in marks.items() if mark == wanted] for wanted in (RIGHT, WRONG))
    image = MaskImage(
        path=path,
        mask=np.isin(volume.data, right),
        grid=volume.grid,
        source=volume.source,
        findings=volume.findings,
    )
    return Label(
        image=image,
        unknown=(volume.data > 0) & ~image.mask & ~np.isin(volume.data, wrong),
        is_of_marks=True,
        n_unsure=sum(mark == UNSURE for mark in marks.values()),
        n_unmarked=sum(int(number) not in marks for number in numbers),
    )


def _find_clusters(path: Path, beside: Sequence[Path]) -> tuple[Path, Path]:
    """Image and table of the clusters that marks belong to."""
    stem = path.name.removesuffix(MARKS_SUFFIX)
    entities = tuple(pair for pair in parse_entities(path.name) if pair[0] != 'desc')
    places = [path.parent, *beside]
    places += [Naming(root, entities).anat('dseg', desc='pvs').parent for root in path.parents]
    for place in places:
        table = place / f'{stem}_desc-pvs_dseg.tsv'
        for extension in EXTENSIONS:
            image = place / f'{stem}_desc-pvs_dseg{extension}'
            if image.exists() and table.exists():
                return image, table
    raise masks.MARKS_WITHOUT_CLUSTERS.error(path, clusters=f'{stem}_desc-pvs_dseg')


def _read_marks(path: Path, table: Path) -> dict[int, str]:
    """Marks by cluster, each of which is in the table, at the same place."""
    try:
        rows, clusters = (
            read_rows(p, ('index', *columns, *_CENTRE)) for p, columns in ((path, ('mark',)), (table, ()))
        )
    except InputError as error:
        raise masks.MARKS_DAMAGED.error(path, reason=str(error)) from error
    centres = {row['index']: [row[name] for name in _CENTRE] for row in clusters}
    marks: dict[int, str] = {}
    for row in rows:
        index, mark = row['index'], row['mark']
        if mark not in MARKS:
            raise masks.MARKS_DAMAGED.error(path, reason=f'it marks cluster {index} as {mark!r}')
        own = [row[name] for name in _CENTRE]
        if index not in centres or not _is_near(own, centres[index]):
            raise masks.MARKS_OF_OTHERS.error(path, index=index, table=table.name)
        marks[int(index)] = mark
    return marks


def _is_near(one: Sequence[str], two: Sequence[str]) -> bool:
    """Whether two points are the same; what is no number is no point."""
    try:
        return all(abs(float(a) - float(b)) <= SAME_PLACE for a, b in zip(one, two, strict=True))
    except ValueError:
        return False
