"""Writing what is known of a simulated scan: the derivative data set `derivatives/labels`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..bids.naming import Naming
from ..runtime.files import save_image, write_json, write_text
from ..simulation.head import MASK_OCCUPANCY
from ..simulation.mimics import KINDS
from ..simulation.rendering import Rendering
from ..simulation.tables import VESSEL_COLUMNS


@dataclass(frozen=True)
class GroundTruth:
    """What is known of one scan, all on its grid.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
    rendering : Rendering
    table : DataFrame
        As `pvs_bidsapp.simulation.tables.vessel_table` makes it.
    brain : ndarray of bool
    tissues : ndarray of uint8
        Classes of `pvs_bidsapp.anatomy.tissues`.
    labels : ndarray of int16
        FreeSurfer codes.
    mimics : ndarray of uint8 or None
        Codes of `pvs_bidsapp.simulation.mimics.KINDS`.
    notes : dict
        Further keys of the sidecar of the numbered spaces: seed, suite, ...
    """

    affine: np.ndarray
    rendering: Rendering
    table: pd.DataFrame
    brain: np.ndarray
    tissues: np.ndarray
    labels: np.ndarray
    mimics: np.ndarray | None
    notes: dict[str, Any]


def is_complete(labels: Naming) -> bool:
    """Whether all truth of a scan is there: its last file is."""
    return last_file(labels).exists()


def last_file(labels: Naming):
    """The file that is written last."""
    return labels.anat('dseg', '.json', desc='pvs')


def write_ground_truth(labels: Naming, source: str, truth: GroundTruth) -> None:
    """Write maps, tables and sidecars.

    Parameters
    ----------
    labels : Naming
        Names in the derivative data set.
    source : str
        BIDS URI of the T1w.
    truth : GroundTruth
    """
    drawn, affine = truth.rendering, truth.affine
    mask = drawn.occupancy >= MASK_OCCUPANCY
    save_image(labels.anat('probseg', label='PVS'), drawn.occupancy, affine, np.float32)
    save_image(labels.anat('mask', label='PVS'), mask, affine, np.uint8)
    save_image(labels.anat('mask', desc='brain'), truth.brain, affine, np.uint8)
    save_image(labels.anat('dseg', seg='tissue'), truth.tissues, affine, np.uint8)
    save_image(labels.anat('dseg', seg='aseg'), truth.labels, affine, np.int16)
    save_image(labels.anat('dseg', desc='pvs'), np.where(mask, drawn.index, 0), affine, np.int16)
    write_text(labels.anat('dseg', '.tsv', desc='pvs'), truth.table.to_csv(sep='\t', index=False))
    if truth.mimics is not None:
        save_image(labels.anat('dseg', desc='mimics'), truth.mimics, affine, np.uint8)
        rows = '\n'.join(f'{code}\t{name}' for code, name in KINDS.items())
        write_text(labels.anat('dseg', '.tsv', desc='mimics'), f'index\tname\n{rows}\n')
    _write_sidecars(labels, {'Sources': [source]}, truth)


def _write_sidecars(labels: Naming, common: dict[str, Any], truth: GroundTruth) -> None:
    columns = {name: {'Description': text} for name, text in VESSEL_COLUMNS.items()}
    contents: list[tuple[str, dict[str, str], dict[str, Any]]] = [
        ('probseg', {'label': 'PVS'}, {'Description': 'share of the voxel inside a perivascular space'}),
        ('mask', {'label': 'PVS'}, {'Type': 'ROI', 'Description': f'share of at least {MASK_OCCUPANCY}'}),
        ('mask', {'desc': 'brain'}, {'Type': 'Brain', 'Description': 'brain labels but CSF, closed by 3 mm'}),
        ('dseg', {'seg': 'tissue'}, {'Description': '1 CSF, 2 grey matter, 3 white matter'}),
        ('dseg', {'seg': 'aseg'}, {'Description': 'FreeSurfer codes'}),
    ]
    if truth.mimics is not None:
        contents.append(
            ('dseg', {'desc': 'mimics'}, {'Description': 'what may be taken for a perivascular space'})
        )
    for suffix, entities, content in contents:
        write_json(labels.anat(suffix, '.json', **entities), common | content)
    write_json(
        last_file(labels), common | {'Description': 'numbered perivascular spaces'} | truth.notes | columns
    )
