"""Write the results of one scan as BIDS derivatives, and check whether they are already there."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from ..anatomy.conform import audit_scan
from ..anatomy.quality import METRICS
from ..anatomy.template import SPACE
from ..anatomy.volume import SourceGrid
from ..bids.naming import Naming, parse_entities
from ..bids.query import Scan
from ..clusters.label import PROBABILITY_STEP
from ..clusters.tables import CLUSTER_COLUMNS, REGION_COLUMNS, describe, to_tsv
from ..clusters.visual_grades import GRADES
from ..errors import InputError
from ..messages.message import Finding, one_line
from ..runtime.files import copy_file, read_image, save_image, write_json, write_text
from ..settings import Settings
from . import sidecars
from .records import read_record
from .region_labels import LABEL_COLUMNS, region_labels

#: Where the regions come from, for their sidecar.
REGION_REFERENCES = [
    'CerebrA: https://doi.org/10.1038/s41597-020-0557-9',
    'basal ganglia and centrum semiovale of visual scales: https://doi.org/10.1159/000375153',
    'STRIVE: https://doi.org/10.1016/S1474-4422(13)70124-8',
]
#: Where the rules of the visual grades come from, by the beginning of their names.
GRADE_REFERENCES = {
    'potter': 'https://doi.org/10.1159/000375153',
    'zhu': 'https://doi.org/10.1161/STROKEAHA.110.591586',
}
#: Largest value that 16 bits hold, where scans are cut; smallest number of levels that a scan is given from 0
#: to the percentile `BRIGHT` of its voxels above 0, if its own values have that many.
LARGEST_STORED, LEVELS, BRIGHT = 32767, 4095, 99.9
#: Description and unit of the columns of the table of the measures of quality.
QUALITY_COLUMNS: dict[str, tuple[str, str | None]] = {
    'metric': ('name of the measure; what it is stands in the sidecar under Measures', None),
    'value': ('its value', None),
    'unit': ('its unit; n/a for a number without one', None),
    'low': ('smallest value of a good scan; n/a if there is none', None),
    'high': ('largest value of a good scan; n/a if there is none', None),
    'finding': ('"out of range" if the value is; else n/a', None),
}
#: Characters in the name of an output.
_FILE_NAME = re.compile('[a-zA-Z0-9_+.-]+')


@dataclass(frozen=True, kw_only=True)
class StandardFiles:
    """Files of one scan in the template's space.

    Attributes
    ----------
    probability, mask : Path
    to_template, to_subject : Path
        Transforms of images, as ITK's ``.h5``.
    """

    probability: Path
    mask: Path
    to_template: Path
    to_subject: Path


@dataclass(frozen=True, kw_only=True)
class Results:
    """Files of one scan in the work folder, to be written as derivatives.

    Attributes
    ----------
    preproc, brain, tissues, regions, probability, clusters : Path
        Images on the scan's grid.
    cluster_table, region_table, grades : Path
    figures : dict of str to Path
        Pictures by ``desc``.
    inference : dict of str to str
        Engine and precision of the network, for the sidecars.
    stripped, t2w_stripped : bool
        The scan, or its T2w, came without a skull.
    source : SourceGrid
        Grid of the scan's file, on which images are written.
    step, t2w_step : float
        Step of the scans' values, 0 if they have none.
    quality : dict
        Measures of quality, for the sidecars.
    assessed : dict of str to float
        Measures of `pvs_bidsapp.anatomy.quality.METRICS`, for a table of their own.
    findings : tuple of Finding
        What is unclear about the scan.
    t2w : Path or None
    standard : StandardFiles or None
    """

    preproc: Path
    brain: Path
    tissues: Path
    regions: Path
    probability: Path
    clusters: Path
    cluster_table: Path
    region_table: Path
    grades: Path
    figures: dict[str, Path]
    inference: dict[str, str]
    stripped: bool
    source: SourceGrid
    step: float
    quality: dict[str, Any]
    assessed: dict[str, float]
    findings: tuple[Finding, ...]
    t2w: Path | None = None
    t2w_step: float = 0.0
    t2w_stripped: bool = False
    standard: StandardFiles | None = None


def fingerprint(scan: Scan, settings: Settings) -> str:
    """Checksum of all that decides the results of a scan."""
    return settings.analysis.fingerprint(scan.inputs)


def status(scan: Scan, settings: Settings) -> str:
    """State of a scan's outputs.

    Parameters
    ----------
    scan : Scan
    settings : Settings

    Returns
    -------
    state : str
        ``done``; ``other settings`` if inputs or settings differ from those of the outputs; or ``missing``.
    """
    names = Naming.of(settings.out_dir, scan.anat)
    record, files = read_record(names.status), _recorded_files(names)
    if not files or not all(os.path.isfile(path) for path in files):
        return 'missing'
    return 'done' if record.get('fingerprint') == fingerprint(scan, settings) else 'other settings'


def write(scan: Scan, settings: Settings, results: Results) -> list[Path]:
    """Write all results of one scan, and finally the record of its status.

    Parameters
    ----------
    scan : Scan
    settings : Settings
    results : Results

    Returns
    -------
    written : list of Path
    """
    names = Naming.of(settings.out_dir, scan.anat)
    earlier = _recorded_files(names)
    for path in _optional(names, scan.suffix):  # of a run that was killed, no record knows
        path.unlink(missing_ok=True)
    names.status.unlink(missing_ok=True)  # until all is written again, the scan is not done
    written = [
        *_write_anatomy(names, scan, settings, results),
        *_write_segmentation(names, scan, settings, results),
    ]
    if results.standard is not None:
        written += _write_standard(names, scan, settings, results, results.standard)
    for desc, source in results.figures.items():
        path = names.figure(desc, ''.join(source.suffixes))
        written.append(copy_file(source, path))
    record = {
        'fingerprint': fingerprint(scan, settings),
        'inputs': scan.inputs,
        'analysis': settings.dump()['analysis'],
        'findings': [asdict(f) for f in results.findings],
        'finished': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
        'files': [p.relative_to(settings.out_dir).as_posix() for p in written],
    }
    for path in set(earlier) - set(written):
        path.unlink(missing_ok=True)
    write_json(names.status, record)
    return written


def _optional(names: Naming, suffix: str) -> list[Path]:
    """The outputs of a scan that not every run writes."""
    images = [
        ('probseg', {'space': SPACE, 'label': 'PVS'}),
        ('mask', {'space': SPACE, 'label': 'PVS'}),
        ('T2w', {'space': 'T1w', 'desc': 'preproc'}),
    ]
    pairs = [
        names.anat(end, extension, **entities)
        for end, entities in images
        for extension in ('.nii.gz', '.json')
    ]
    transforms = [names.transform(suffix, SPACE), names.transform(SPACE, suffix)]
    figures = [names.figure('t2w', '.webp'), names.figure('t2w', '.png'), names.figure('viewT2w', '.nii.gz')]
    return [*pairs, *transforms, *(figures if suffix == 'T1w' else [])]


def findings_of(scan: Scan, settings: Settings) -> list[Finding]:
    """What a finished scan's record says is unclear about it, beyond what its header tells; by its name."""
    record = read_record(Naming.of(settings.out_dir, scan.anat).status)
    known = {finding.code for finding in audit_scan(scan.anat)}
    entries = record.get('findings')
    found = [_finding_of(entry) for entry in (entries if isinstance(entries, list) else ())]
    return [replace(f, file=scan.name) for f in found if f is not None and f.code not in known]


def _finding_of(entry: Any) -> Finding | None:
    """A finding as a record holds it; None if it is none."""
    keys = ('code', 'file', 'finding', 'mend')
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in keys):
        return None
    code, file, finding, mend = (one_line(entry[key]) for key in keys)
    return Finding(code=code, file=file, finding=finding, mend=mend)


def _recorded_files(names: Naming) -> list[Path]:
    """The files that the record of a scan's status lists; none if the record is damaged.

    They are removed when they are out of date, so that a record must not lead to other files.
    """
    files = read_record(names.status).get('files')
    if not isinstance(files, list) or not all(isinstance(f, str) and _is_own(names, Path(f)) for f in files):
        return []
    return [names.root / file for file in files]


def _is_own(names: Naming, file: Path) -> bool:
    """Whether a path, relative to the output folder, is one of an output of a scan."""
    is_there = names.root / file.parent in (names.folder / 'anat', names.folder / 'figures')
    if not is_there or _FILE_NAME.fullmatch(file.name) is None:
        return False
    try:
        entities = parse_entities(file.name)
    except InputError:
        return False
    return {e for e in names.entities if e[0] not in ('desc', 'seg', 'label', 'space')} <= set(entities)


def _common(scan: Scan, settings: Settings, results: Results, *, of_t2w: bool) -> dict[str, Any]:
    """Keys of the sidecars of results that come from a scan, and from its T2w if there is one."""
    paths = [scan.anat, *([scan.t2w] if of_t2w and scan.t2w is not None else [])]
    content = sidecars.common([_address(path, scan, settings) for path in paths], settings)
    if results.findings:
        content['InputFindings'] = [finding.row() for finding in results.findings]
    return content


def _of_model(scan: Scan, settings: Settings, results: Results) -> dict[str, Any]:
    """Keys of the sidecars of what a model found."""
    common = _common(scan, settings, results, of_t2w='T2w' in settings.analysis.channels)
    return common | sidecars.model(settings) | results.inference


def _address(path: Path, scan: Scan, settings: Settings) -> str:
    """Address of an input: in its dataset, or of a file that was named without BIDS."""
    file = {scan.anat: scan.source, scan.t2w: scan.t2w_source}.get(path)
    return sidecars.bids_uri(path, settings.bids_dir) if file is None else file.as_uri()


def _write_anatomy(names: Naming, scan: Scan, settings: Settings, results: Results) -> list[Path]:
    source, grid = _common(scan, settings, results, of_t2w=False), results.source
    made = [
        _scaled_pair(names, grid, read_image(results.preproc)[0], results.step, source | {
            'Description': f'bias corrected {scan.suffix} on its own grid, in units of its own; '
            'the lowest value is 0',
            'SkullStripped': bool(results.stripped),
        }, scan.suffix, desc='preproc'),
        _pair(names, grid, read_image(results.brain)[0], np.uint8, source | {
            'Type': 'Brain', 'Description': 'brain with ventricles, without wide CSF spaces',
        }, 'mask', desc='brain'),
        _pair(names, grid, read_image(results.tissues)[0], np.uint8, source | {
            'Description': 'tissue classes within the brain mask; labels in the table',
        }, 'dseg', seg='tissue'),
        _pair(names, grid, read_image(results.regions)[0], np.uint8, source | {
            'Description': 'regions that are searched for perivascular spaces; labels in the table',
            'References': REGION_REFERENCES,
        } | describe(LABEL_COLUMNS), 'dseg', seg='regions'),
    ]  # fmt: skip
    files = [f for pair in made for f in pair]
    table = names.anat('dseg', '.tsv', seg='regions')
    write_text(table, region_labels())
    files.append(table)
    table = names.anat('dseg', '.tsv', seg='tissue')
    write_text(table, 'index\tname\n1\tCSF\n2\tgrey matter\n3\twhite matter\n')
    files.append(table)
    if results.t2w is not None and scan.t2w is not None:
        source = source | {'Sources': [_address(scan.t2w, scan, settings)]}
        files += _scaled_pair(names, grid, read_image(results.t2w)[0], results.t2w_step, source | {
            'Description': "bias corrected T2w, rigidly registered to the T1w's grid",
            'SkullStripped': bool(results.t2w_stripped),
            'SpatialReference': _address(scan.anat, scan, settings),
        }, 'T2w', space='T1w', desc='preproc')  # fmt: skip
    return files


def _write_segmentation(names: Naming, scan: Scan, settings: Settings, results: Results) -> list[Path]:
    source = _of_model(scan, settings, results)
    grid = results.source
    clusters, _ = read_image(results.clusters)
    files = [
        *_pair(names, grid, read_image(results.probability)[0], np.int16, source | {
            'Description': 'probability of perivascular space, 0 outside the regions',
        }, 'probseg', PROBABILITY_STEP, label='PVS'),
        *_pair(names, grid, clusters > 0, np.uint8, source | {
            'Type': 'ROI', 'Description': 'perivascular spaces',
        }, 'mask', label='PVS'),
        *_pair(names, grid, clusters, np.int32, source | describe(CLUSTER_COLUMNS) | {
            'Description': 'clusters of perivascular space, 26-connected, by falling volume',
            'MNISpace': SPACE,
        }, 'dseg', desc='pvs'),
    ]  # fmt: skip
    stats = names.anat('stats', '.json', desc='pvs')
    brain = nib.load(results.brain)
    volume = float(np.count_nonzero(brain.dataobj) * abs(np.linalg.det(brain.affine[:3, :3])))
    measured = _grades_and_frame(results) | {'BrainMaskVolume': round(volume, 1)} | results.quality
    write_json(stats, source | describe(REGION_COLUMNS) | measured)
    for table, path in (
        (results.cluster_table, names.anat('dseg', '.tsv', desc='pvs')),
        (results.region_table, names.anat('stats', '.tsv', desc='pvs')),
    ):
        write_text(path, Path(table).read_text())
        files.append(path)
    aligned = _common(scan, settings, results, of_t2w=results.t2w is not None)
    return [*files, stats, *_write_quality(names, source | aligned, results)]


def _write_standard(
    names: Naming, scan: Scan, settings: Settings, results: Results, standard: StandardFiles
) -> list[Path]:
    """Mask and probability in the template's space, and the transforms."""
    source = _of_model(scan, settings, results)
    image = nib.load(standard.mask)
    grid = SourceGrid(shape=image.shape, affine=image.affine, has_orientation=True)
    files = [
        *_pair(names, grid, read_image(standard.probability)[0], np.int16, source | {
            'Description': "probability of perivascular space in the template's space",
        }, 'probseg', PROBABILITY_STEP, space=SPACE, label='PVS'),
        *_pair(names, grid, read_image(standard.mask)[0], np.uint8, source | {
            'Type': 'ROI', 'Description': "perivascular spaces in the template's space",
        }, 'mask', space=SPACE, label='PVS'),
    ]  # fmt: skip
    for path, ends in (
        (standard.to_template, (scan.suffix, SPACE)),
        (standard.to_subject, (SPACE, scan.suffix)),
    ):
        files.append(copy_file(path, names.transform(*ends)))
    return files


def _write_quality(names: Naming, source: dict[str, Any], results: Results) -> tuple[Path, Path]:
    """The table of the measures of quality, and its sidecar."""
    rows = [
        [name, value, METRICS[name].unit, METRICS[name].low, METRICS[name].high,
         None if METRICS[name].is_expected(value) else 'out of range']
        for name, value in results.assessed.items()
    ]  # fmt: skip
    table, text = names.anat('stats', '.tsv', desc='qc'), names.anat('stats', '.json', desc='qc')
    write_text(table, to_tsv(pd.DataFrame(rows, columns=list(QUALITY_COLUMNS))))
    measures = {name: {'Description': METRICS[name].description} for name in results.assessed}
    write_json(text, source | describe(QUALITY_COLUMNS) | {'Measures': measures})
    return table, text


def _grades_and_frame(results: Results) -> dict[str, Any]:
    """The estimated grades with the section that decides each, and the AC-PC frame, for the sidecar."""
    content = json.loads(Path(results.grades).read_text())
    grades = {
        key: {
            'Description': GRADES[key],
            'Reference': GRADE_REFERENCES[key.partition('_')[0]],
            'Value': grade['value'],
            'Count': grade['count'],
            'Hemisphere': grade['hemisphere'],
            'SectionMm': grade['height'],
        }
        for key, grade in content['grades'].items()
    }
    frame = {'Origin': content['frame']['origin'], 'Axes': content['frame']['axes']}
    return {'EstimatedVisualGrades': grades, 'AcPcFrame': frame}


def _pair(
    names: Naming,
    grid: SourceGrid,
    data: np.ndarray,
    dtype: Any,
    sidecar: dict[str, Any],
    suffix: str,
    step: float | None = None,
    **entities: str,
) -> tuple[Path, Path]:
    """An image, in the order of the T1w's file, and its sidecar."""
    image, text = names.anat(suffix, **entities), names.anat(suffix, '.json', **entities)
    save_image(image, grid.from_canonical(data), grid.affine, dtype, step=step)
    write_json(text, sidecar)
    return image, text


def _scaled_pair(
    names: Naming,
    grid: SourceGrid,
    data: np.ndarray,
    own_step: float,
    sidecar: dict[str, Any],
    suffix: str,
    **entities: str,
) -> tuple[Path, Path]:
    """A scan, which is not negative, in 8 or 16 bits with a scale factor, and its sidecar."""
    step = storage_step(data, own_step)
    data = np.minimum(data, np.float32(LARGEST_STORED * step))
    dtype = np.uint8 if np.rint(data.max() / step) <= np.iinfo(np.uint8).max else np.int16
    return _pair(names, grid, data, dtype, sidecar, suffix, step, **entities)


def storage_step(image: np.ndarray, own_step: float) -> float:
    """The step in which a scan is stored: a power of 2, or that of its own values.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        Not negative.
    own_step : float
        Step of the values before they were corrected; 0 if they have none. A finer one would store noise of
        the arithmetic.
    """
    lit = image[image > 0]
    bright = float(np.percentile(lit, BRIGHT)) if lit.size else 1.0
    return max(own_step, 2.0 ** float(np.ceil(np.log2(bright / LEVELS))))
