"""Writing and reading the ground truth of simulated scans: the derivative dataset ``derivatives/labels``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike

from ..anatomy.volume import SourceGrid, open_volume
from ..bids.labelled_scans import LabelledScan
from ..bids.naming import Naming
from ..bids.tsv import read_text_table
from ..errors import InputError
from ..messages import masks, options
from ..runtime.files import save_image, write_json, write_text
from ..simulation import label_maps
from ..simulation.head import MASK_OCCUPANCY, Truth
from ..simulation.mimics import MIMIC_NAMES
from ..simulation.patch_synthesis import HeadGeometry, make_head_geometry
from ..simulation.rendering import Rendering
from ..simulation.tables import VESSEL_COLUMNS, vessel_table


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """Ground truth of one scan, on the scan's grid.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
    rendering : Rendering
        The simulated PVS.
    table : DataFrame
        As `pvs_bidsapp.simulation.tables.vessel_table` makes it.
    brain : ndarray of bool, shape (x, y, z)
        Brain mask.
    tissues : ndarray of uint8, shape (x, y, z)
        Classes of `pvs_bidsapp.anatomy.tissues`.
    labels : ndarray of int16, shape (x, y, z)
        FreeSurfer codes.
    mimics : ndarray of uint8, shape (x, y, z), or None
        Codes of `pvs_bidsapp.simulation.mimics.MIMIC_NAMES`; None: the scan has no simulated mimics.
    notes : dict
        Further keys of the sidecar of the numbered PVS, for example seed and suite.
    stored : SourceGrid or None
        Grid of the scan's file, in whose order the images are written; None: in that of the arrays.
    """

    affine: np.ndarray
    rendering: Rendering
    table: pd.DataFrame
    brain: np.ndarray
    tissues: np.ndarray
    labels: np.ndarray
    mimics: np.ndarray | None
    notes: dict[str, Any]
    stored: SourceGrid | None = None

    @classmethod
    def of(cls, truth: Truth, notes: dict[str, Any]) -> GroundTruth:
        """What is to be written of a simulated head.

        Parameters
        ----------
        truth : Truth
        notes : dict
            ``Load`` and ``WhiteMatterCount`` are added.
        """
        lines = [truth.scanner_points(vessel) for vessel in truth.vessels]
        voxel_volume = float(np.prod(truth.anatomy.spacing))
        table = vessel_table(truth.vessels, lines, truth.rendering, voxel_volume, truth.detectability)
        brain = label_maps.brain_mask(truth.anatomy)
        counted = {
            'Load': truth.burden,
            'WhiteMatterCount': int((table['region'] == 'white-matter').sum()),
        }
        return cls(
            affine=truth.affine,
            rendering=truth.rendering,
            table=table,
            brain=brain,
            tissues=label_maps.tissue_classes(truth.anatomy, brain),
            labels=truth.anatomy.labels,
            mimics=truth.mimics.codes,
            notes=notes | counted,
        )

    def save(self, path: Path, array: np.ndarray, dtype: DTypeLike) -> None:
        """Write one of the images, on the grid of the scan's file."""
        if self.stored is None:
            save_image(path, array, self.affine, dtype)
        else:
            save_image(path, self.stored.from_canonical(array), self.stored.affine, dtype)


def is_complete(names: Naming) -> bool:
    """Whether the ground truth of a scan is complete: the file that is written last is there, and intact.

    Parameters
    ----------
    names : Naming
        Names in the derivative dataset.
    """
    return read_notes(names) is not None


def last_file(names: Naming) -> Path:
    """The file of the ground truth that is written last: the sidecar of the numbered PVS."""
    return names.anat('dseg', '.json', desc='pvs')


def read_notes(names: Naming) -> dict[str, Any] | None:
    """The notes of the ground truth of a scan, as in `GroundTruth`; None if it is not complete.

    Parameters
    ----------
    names : Naming
        Names in the derivative dataset.
    """
    try:
        notes = json.loads(last_file(names).read_text(encoding='utf-8'))
    except (FileNotFoundError, ValueError):
        return None
    return notes if isinstance(notes, dict) else None


def check_same(place: Path, option: str, made: Any, wanted: Any) -> None:
    """Check that what is there was made with the same value of an option as is asked for now.

    Parameters
    ----------
    place : Path
        What is there.
    option : str
        Such as ``--seed``.
    made, wanted : object
        The value then and now.

    Raises
    ------
    InputError
        If it was not.
    """
    if made != wanted:
        raise options.OTHER_SIMULATION.error(place, key=option, made=made, wanted=wanted)


def write_ground_truth(names: Naming, source: str, ground_truth: GroundTruth) -> None:
    """Write maps, tables and sidecars.

    Parameters
    ----------
    names : Naming
        Names in the derivative dataset.
    source : str
        BIDS URI of the T1w.
    ground_truth : GroundTruth
    """
    rendering, save = ground_truth.rendering, ground_truth.save
    mask = rendering.occupancy >= MASK_OCCUPANCY
    save(names.anat('probseg', label='PVS'), rendering.occupancy, np.float32)
    save(names.anat('mask', label='PVS'), mask, np.uint8)
    save(names.anat('mask', desc='brain'), ground_truth.brain, np.uint8)
    save(names.anat('dseg', seg='tissue'), ground_truth.tissues, np.uint8)
    save(names.anat('dseg', seg='aseg'), ground_truth.labels, np.int16)
    save(names.anat('dseg', desc='pvs'), np.where(mask, rendering.index, 0), np.int16)
    write_text(names.anat('dseg', '.tsv', desc='pvs'), ground_truth.table.to_csv(sep='\t', index=False))
    if ground_truth.mimics is not None:
        save(names.anat('dseg', desc='mimics'), ground_truth.mimics, np.uint8)
        rows = '\n'.join(f'{code}\t{name}' for code, name in MIMIC_NAMES.items())
        write_text(names.anat('dseg', '.tsv', desc='mimics'), f'index\tname\n{rows}\n')
    _write_sidecars(names, {'Sources': [source]}, ground_truth)


def _write_sidecars(names: Naming, common: dict[str, Any], ground_truth: GroundTruth) -> None:
    columns = {name: {'Description': text} for name, text in VESSEL_COLUMNS.items()}
    contents: list[tuple[str, dict[str, str], dict[str, Any]]] = [
        ('probseg', {'label': 'PVS'}, {'Description': 'fraction of each voxel inside a perivascular space'}),
        (
            'mask',
            {'label': 'PVS'},
            {
                'Type': 'ROI',
                'Description': f'at least {MASK_OCCUPANCY} of the voxel inside a perivascular space',
            },
        ),
        (
            'mask',
            {'desc': 'brain'},
            {'Type': 'Brain', 'Description': 'brain labels except CSF, closed by 3 mm'},
        ),
        ('dseg', {'seg': 'tissue'}, {'Description': '1 CSF, 2 grey matter, 3 white matter'}),
        ('dseg', {'seg': 'aseg'}, {'Description': 'FreeSurfer codes'}),
    ]
    if ground_truth.mimics is not None:
        text = 'structures that may be mistaken for a perivascular space'
        contents.append(('dseg', {'desc': 'mimics'}, {'Description': text}))
    for suffix, entities, content in contents:
        write_json(names.anat(suffix, '.json', **entities), common | content)
    numbered = {'Description': 'numbered perivascular spaces'}
    write_json(last_file(names), common | numbered | ground_truth.notes | columns)


def read_detectability(path: Path) -> pd.Series | None:
    """Read the detectability of the true spaces of a scan from their table.

    Parameters
    ----------
    path : Path
        Table as `pvs_bidsapp.simulation.tables.vessel_table` makes it.

    Returns
    -------
    detectability : Series or None
        By the number of the space; NaN where it is not known. None if there is no such table, or no such
        column in it.

    Raises
    ------
    ImageError
        If the table is damaged, or its spaces are not numbered.
    """
    try:
        table = read_text_table(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise masks.TRUTH_TABLE.error(path, reason=error.strerror or error) from error
    except InputError as error:
        raise masks.TRUTH_TABLE.error(
            path, reason=error.finding.finding if error.finding else error
        ) from error
    rows = pd.DataFrame(table.rows, columns=table.columns)
    if 'detectability' not in rows:
        return None
    if 'index' not in rows:
        raise masks.TRUTH_TABLE.error(path, reason='it has no column index')
    values = pd.to_numeric(rows['detectability'], errors='coerce')
    values.index = pd.Index(pd.to_numeric(rows['index'], errors='coerce'))
    if values.index.hasnans or not values.index.is_unique:
        raise masks.TRUTH_TABLE.error(path, reason='its index has other values than numbers of spaces')
    return values


def read_head_geometry(scan: LabelledScan, voxel_sizes: tuple[float, float]) -> HeadGeometry:
    """Read the geometry of a simulated head from its ground truth.

    Parameters
    ----------
    scan : LabelledScan
    voxel_sizes : tuple of float
        Smallest and largest voxel size in mm that the head may have.

    Raises
    ------
    InputError
        If the labels are not those of `pvs simulate`, or the head has another voxel size.
    ImageError
        If a file is damaged.
    """
    names = Naming.of(scan.labels_dir, scan.anat)
    parts: list[np.ndarray] = []
    for path in (
        names.anat('dseg', seg='aseg'),
        names.anat('probseg', label='PVS'),
        names.anat('dseg', desc='pvs'),
        names.anat('dseg', desc='mimics'),
        names.anat('mask', desc='brain'),
    ):
        if not path.exists():
            raise options.PAINT_NO_HEAD.error(path)
        volume = open_volume(path)
        parts.append(volume.source.from_canonical(volume.data))
        if parts[-1].shape != parts[0].shape:
            raise options.PAINT_PARTS_DIFFER.error(path)
    if not parts[-1].any():
        raise options.PAINT_NO_BRAIN.error(path)
    size = float(np.linalg.norm(volume.source.affine[:3, 0]))
    low, high = voxel_sizes
    if not low - 1e-3 < size < high + 1e-3:
        raise options.PAINT_VOXEL_SIZE.error(path, size=size, wanted=low)
    labels, occupancy, index, mimics, brain = parts
    return make_head_geometry(
        scan.name,
        labels=labels,
        occupancy=occupancy,
        index=index,
        mimics=mimics,
        brain=brain,
        spacing=size,
    )
