"""Writing simulated datasets: scans with sidecars, and the tables of participants and sessions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from ..anatomy.conform import ScanImage
from ..bids.naming import Naming, SimulationNaming
from ..runtime.files import save_image, write_json, write_text
from ..simulation.head import SimulatedHead
from ..simulation.scanner import Scanner
from ..simulation.subjects import Subject

_PARTICIPANT_COLUMNS = {
    'age': {'Description': 'age at the first session', 'Units': 'year'},
    'sex': {'Description': 'sex', 'Levels': {'F': 'female', 'M': 'male'}},
    'site': {'Description': 'number of the site; n/a: a scanner of its own'},
    'rating': {
        'Description': 'visual rating of white matter PVS by a simulated rater, based on their true number',
        'Levels': {'0': 'few', '1': 'some', '2': 'many', '3': 'very many'},
    },
}


def write_simulated_scan(names: Naming, subject: Subject, scanner: Scanner, head: SimulatedHead) -> None:
    """Write the T1w and T2w of a simulated head with their sidecars.

    Parameters
    ----------
    names : Naming
        Names in the BIDS dataset.
    subject : Subject
    scanner : Scanner
    head : SimulatedHead
    """
    save_image(names.anat('T1w'), np.rint(head.t1w), head.affine, np.int16)
    save_image(names.anat('T2w'), np.rint(head.t2w), head.t2w_affine, np.int16)
    for suffix in ('T1w', 'T2w'):
        content = {
            'Manufacturer': 'simulated',
            'InstitutionName': f'site {subject.site}' if subject.site else 'of its own',
            'ConversionSoftware': 'pvs simulate',
            'SimulatedSNR': round(scanner.snr, 1),
            'SimulatedFWHM': [round(f, 2) for f in scanner.fwhm],
        }
        if suffix == 'T2w':  # so that the ground truth, which lies in the T1w, can be laid on it
            content['SimulatedMotion'] = [[round(value, 6) for value in row] for row in head.motion.tolist()]
        write_json(names.anat(suffix, '.json'), content)


def write_changed_scan(names: Naming, source: Path, suffix: str, scan: ScanImage, image: np.ndarray) -> None:
    """Write a real scan with inserted PVS, in the data type of the original.

    Voxels that were not changed keep the value that they have in the original file.

    Parameters
    ----------
    names : Naming
        Names in the BIDS dataset.
    source : Path
        The original scan. If its values are scaled, the result is float32.
    suffix : str
        ``T1w`` or ``T2w``.
    scan : ScanImage
        The original as it was read.
    image : ndarray of float32, shape (x, y, z)
        With PVS, in the order and the units of `scan`.
    """
    original = nib.load(source)
    # nibabel clears the scale in the header of a loaded image; its data know it
    is_unscaled = (original.dataobj.slope, original.dataobj.inter) == (1.0, 0.0)
    dtype = original.get_data_dtype() if is_unscaled else np.dtype(np.float32)
    change = scan.source.from_canonical((image - scan.image) * np.float64(scan.unit))
    changed = np.asanyarray(original.dataobj).reshape(scan.source.shape) + change
    if dtype.kind in 'iu' and dtype.itemsize > 4:  # of which most programs can make nothing
        dtype = np.dtype(np.int32)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        changed = np.clip(np.rint(changed), info.min, info.max)
    save_image(names.anat(suffix), changed, scan.source.affine, dtype)
    write_json(names.anat(suffix, '.json'), {'ConversionSoftware': 'pvs simulate --into'})


def read_rows_there(root: Path) -> dict[str, dict[str, str]]:
    """The rows of the ``participants.tsv`` that is there, by ``participant_id``.

    Parameters
    ----------
    root : Path
        The BIDS dataset.
    """
    table = SimulationNaming(root).participants()
    if not table.exists():
        return {}
    earlier = pd.read_csv(table, sep='\t', dtype=str, keep_default_na=False)
    rows = earlier.to_dict('records') if 'participant_id' in earlier else []
    return {r['participant_id']: {str(k): v for k, v in r.items()} for r in rows}


def write_participants(root: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write ``participants.tsv`` and its sidecar; participants of an existing table are kept.

    Parameters
    ----------
    root : Path
        The BIDS dataset.
    rows : sequence of dict
        Values by column; ``participant_id`` is ``sub-LABEL``.
    """
    names = SimulationNaming(root)
    by_name: dict[str, dict[str, Any]] = {**read_rows_there(root)}
    by_name |= {row['participant_id']: row for row in rows}
    frame = pd.DataFrame([by_name[name] for name in sorted(by_name)])
    write_text(names.participants(), frame.to_csv(sep='\t', index=False, na_rep='n/a'))
    write_json(names.participants('.json'), _PARTICIPANT_COLUMNS)


def write_people(root: Path, people: pd.DataFrame | None, subjects: Sequence[str]) -> None:
    """Write ``participants.tsv`` of a dataset that is made from another one: identifiers, age and sex.

    Other columns may say who the people are, and are not needed.

    Parameters
    ----------
    root : Path
        The BIDS dataset.
    people : DataFrame or None
        Those of the other dataset, see `pvs_bidsapp.bids.participants.read_participants`.
    subjects : sequence of str
        ``sub-LABEL`` of those to write.
    """
    known = pd.DataFrame(columns=['participant_id']) if people is None else people
    known = known.drop_duplicates('participant_id').set_index('participant_id').reindex(sorted(subjects))
    columns = {'age': _age, 'sex': _sex}
    table = pd.DataFrame({
        'participant_id': known.index,
        **{name: [clean(v) for v in known[name]] for name, clean in columns.items() if name in known},
    })  # fmt: skip
    names = SimulationNaming(root)
    write_text(names.participants(), table.to_csv(sep='\t', index=False))
    described = {name: _PARTICIPANT_COLUMNS[name] for name in table.columns.drop('participant_id')}
    write_json(names.participants('.json'), described)


def _age(value: Any) -> str:
    """An age in years; whatever is none becomes ``n/a``."""
    number = pd.to_numeric(value, errors='coerce')
    return f'{number:g}' if 0 <= number <= 130 else 'n/a'


def _sex(value: Any) -> str:
    """``F``, ``M``, ``O`` or ``n/a``."""
    return {'f': 'F', 'female': 'F', 'm': 'M', 'male': 'M', 'o': 'O', 'other': 'O'}.get(
        str(value).strip().lower(), 'n/a'
    )


def write_sessions(root: Path, subject: str, ages: Sequence[float]) -> None:
    """Write the table of a participant's sessions.

    Parameters
    ----------
    root : Path
        The BIDS dataset.
    subject : str
        ``sub-LABEL``.
    ages : sequence of float
        Age at each session, in years.
    """
    rows = [f'ses-{k}\t{age:.1f}' for k, age in enumerate(ages, start=1)]
    write_text(SimulationNaming(root).sessions(subject), '\n'.join(['session_id\tage', *rows]) + '\n')
