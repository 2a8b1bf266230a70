"""Write a BIDS data set of simulated heads, subject by subject, in parallel."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..bids.dataset import describe_derivative, describe_raw
from ..bids.naming import Naming, labels_dir
from ..outputs.ground_truth import GroundTruth, is_complete, last_file, write_ground_truth
from ..runtime.files import save_image, write_json, write_text
from ..runtime.processes import map_in_processes
from ..simulation import head, label_maps, scanner
from ..simulation.subjects import Subject, rate
from ..simulation.tables import vessel_table

LOG = logging.getLogger(__name__)

README = """Simulated heads with known perivascular spaces.

Made by `pvs simulate`. No scan of a person is in this data set; the anatomies come from label
maps. The truth stands in derivatives/labels: share of each voxel inside a perivascular space
(probseg), mask, numbered spaces (dseg, with a table of centre lines, lengths and widths), mimics,
brain mask, tissue classes, anatomy. gallery.png shows the first heads.
"""
#: Years between two sessions.
INTERVAL = 2.0


@dataclass(frozen=True)
class SimulationJob:
    """What is to be simulated.

    Attributes
    ----------
    out_dir : Path
    subjects : tuple of Subject
    suite : str
        A key of `pvs_bidsapp.simulation.scanner.SUITES`.
    spacing : float or None
        Voxel size of the T1w in mm; None: as the suite has it.
    nprocs : int
    seed : int
    sessions : int
        Scans of each person, two years apart; 1: no session level.
    reliability : float
        Of the simulated visual rating, 0 to 1.
    """

    out_dir: Path
    subjects: tuple[Subject, ...]
    suite: str
    spacing: float | None
    nprocs: int
    seed: int
    sessions: int = 1
    reliability: float = 0.85


def run(job: SimulationJob) -> None:
    """Simulate all subjects that are not there yet; tables and gallery are written last."""
    describe_raw(job.out_dir, f'Simulated perivascular spaces ({job.suite})', README)
    describe_derivative(labels_dir(job.out_dir), 'Truth of the simulated heads', job.out_dir)
    write_text(job.out_dir / '.bidsignore', 'gallery.png\n')
    waiting = [s for s in job.subjects if not all(is_complete(t) for _, t, _ in _visits(job, s))]
    map_in_processes(simulate_subject, [(job, s) for s in waiting], job.nprocs, 'heads')
    _write_participants(job)
    from ..reports.gallery import draw_gallery

    draw_gallery(job.out_dir, labels_dir(job.out_dir), job.out_dir / 'gallery.png')


def _visits(job: SimulationJob, subject: Subject) -> list[tuple[Naming, Naming, int]]:
    """Names of the scans, names of their truth, number of the session."""
    found = []
    for k in range(job.sessions):
        entities: tuple[tuple[str, str], ...] = (('sub', subject.label),)
        if job.sessions > 1:
            entities += (('ses', str(k + 1)),)
        found.append((Naming(job.out_dir, entities), Naming(labels_dir(job.out_dir), entities), k))
    return found


def simulate_subject(job: SimulationJob, subject: Subject) -> None:
    """Simulate one person and write all scans with their truth."""
    source = label_maps.load_label_map(subject.anatomy) if subject.anatomy else label_maps.template_anatomy()
    difficulty = scanner.SUITES[job.suite]
    stream = subject.rng(3) if subject.site is None else np.random.default_rng([job.seed, 0, subject.site])
    machine = scanner.draw_scanner(difficulty, stream, spacing=job.spacing)
    person = head.draw_person(source, subject.rng(1), difficulty, spacing=machine.spacing, age=subject.age)
    for raw, truth, k in _visits(job, subject):
        made = head.scan(person, machine, difficulty, subject.rng(2, k), years=INTERVAL * k)
        _write_scan(raw, subject, machine, made)
        _write_head_truth(truth, raw, job, subject, made)


def _write_scan(raw: Naming, subject: Subject, machine: scanner.Scanner, made: head.SimulatedHead) -> None:
    save_image(raw.anat('T1w'), np.rint(made.t1w), made.affine, np.int16)
    save_image(raw.anat('T2w'), np.rint(made.t2w), made.t2w_affine, np.int16)
    for suffix in ('T1w', 'T2w'):
        content = {
            'Manufacturer': 'simulated',
            'InstitutionName': f'site {subject.site}' if subject.site else 'of its own',
            'ConversionSoftware': 'pvs simulate',
            'SimulatedSNR': round(machine.snr, 1),
            'SimulatedFWHM': [round(f, 2) for f in machine.fwhm],
        }
        write_json(raw.anat(suffix, '.json'), content)


def _write_head_truth(
    truth: Naming, raw: Naming, job: SimulationJob, subject: Subject, made: head.SimulatedHead
) -> None:
    lines = [made.scanner_points(v) for v in made.vessels]
    table = vessel_table(made.vessels, lines, made.rendering, float(np.prod(made.anatomy.spacing)))
    notes = {
        'Anatomy': subject.anatomy.name if subject.anatomy else 'MNI152NLin2009cSym',
        'Suite': job.suite,
        'Seed': list(subject.seed),
        'Load': made.load,
        'WhiteMatterCount': int((table['region'] == 'white-matter').sum()),
    }
    brain = label_maps.brain_mask(made.anatomy)
    source = f'bids:raw:{raw.anat("T1w").relative_to(job.out_dir).as_posix()}'
    known = GroundTruth(
        made.affine, made.rendering, table, brain, label_maps.tissue_classes(made.anatomy, brain),
        made.anatomy.labels, made.mimics.kind, notes,
    )  # fmt: skip
    write_ground_truth(truth, source, known)


_COLUMNS = {
    'age': {'Description': 'age at the first session', 'Units': 'year'},
    'sex': {'Description': 'sex', 'Levels': {'F': 'female', 'M': 'male'}},
    'site': {'Description': 'number of the site; n/a: a scanner of its own'},
    'rating': {
        'Description': 'visual rating of white matter spaces by a simulated rater, from their true number',
        'Levels': {'0': 'few', '1': 'some', '2': 'many', '3': 'very many'},
    },
}


def _write_participants(job: SimulationJob) -> None:
    """One row a subject; those of an earlier call with other numbers keep theirs."""
    table = job.out_dir / 'participants.tsv'
    rows: dict[str, dict[str, Any]] = {}
    if table.exists():
        earlier = pd.read_csv(table, sep='\t', dtype=str, keep_default_na=False)
        rows = {r['participant_id']: {str(k): v for k, v in r.items()} for r in earlier.to_dict('records')}
    for subject in job.subjects:
        first = _visits(job, subject)[0][1]
        count = json.loads(last_file(first).read_text())['WhiteMatterCount']
        rows[f'sub-{subject.label}'] = {
            'participant_id': f'sub-{subject.label}',
            'age': subject.age,
            'sex': subject.sex,
            'site': subject.site or 'n/a',
            'rating': rate(count, job.reliability, subject.rng(4)),
        }
        if job.sessions > 1:
            _write_sessions(job, subject)
    frame = pd.DataFrame([rows[name] for name in sorted(rows)])
    write_text(table, frame.to_csv(sep='\t', index=False, na_rep='n/a'))
    write_json(job.out_dir / 'participants.json', _COLUMNS)


def _write_sessions(job: SimulationJob, subject: Subject) -> None:
    name = f'sub-{subject.label}'
    rows = [f'ses-{k + 1}\t{subject.age + INTERVAL * k:.1f}' for k in range(job.sessions)]
    write_text(job.out_dir / name / f'{name}_sessions.tsv', '\n'.join(['session_id\tage', *rows]) + '\n')
