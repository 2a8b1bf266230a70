"""Write a BIDS dataset of simulated heads; subjects are simulated in parallel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ..bids.dataset import GROUND_TRUTH, describe_derivative, describe_raw
from ..bids.naming import Naming, SimulationNaming, labels_dir
from ..errors import ImageError
from ..outputs import ground_truth
from ..outputs.ground_truth import GroundTruth, is_complete, last_file, read_notes, write_ground_truth
from ..outputs.sidecars import bids_uri
from ..outputs.simulated_scans import (
    read_rows_there,
    write_participants,
    write_sessions,
    write_simulated_scan,
)
from ..runtime.files import write_text
from ..runtime.processes import map_in_processes
from ..simulation import label_maps
from ..simulation.head import draw_person, scan
from ..simulation.scanner import SUITES, draw_scanner
from ..simulation.subjects import Subject, rate

README = """Simulated heads with known perivascular spaces.

Made by `pvs simulate`. No scan of a person is in this dataset; the anatomies come from label maps. The
ground truth is in derivatives/labels: fraction of each voxel inside a perivascular space (probseg), mask,
numbered spaces (dseg, with a table of centre lines, lengths and widths), mimics, brain mask, tissue classes,
anatomy, on the grid of the T1w. derivatives/labels-T2w holds the same on the grid of the T2w, where the head
is in it. gallery.png shows the first heads.
"""
#: Options by the notes that they decide, as a message names them before the value.
_OPTIONS = {
    'Anatomy': '--label-maps', 'Suite': '--suite', 'Seed': '--seed', 'Site': '--sites that give site',
    'RaterReliability': '--rater-reliability',
}  # fmt: skip
#: Time between two sessions, in years.
SESSION_INTERVAL = 2.0


@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """Options of a simulation.

    Attributes
    ----------
    out_dir : Path
        BIDS dataset to write.
    subjects : tuple of Subject
    suite : str
        A key of `pvs_bidsapp.simulation.scanner.SUITES`.
    spacing : float or None
        Voxel size of the T1w in mm; None: drawn from those of the suite.
    nprocs : int
        Number of heads that are simulated at the same time.
    seed : int
        Seed of the scanners that sites share; subjects have seeds of their own.
    sessions : int
        Number of scans of each person, two years apart; 1: no session level.
    reliability : float
        Reliability of the simulated visual rating, in [0, 1].
    """

    out_dir: Path
    subjects: tuple[Subject, ...]
    suite: str
    spacing: float | None
    nprocs: int
    seed: int
    sessions: int = 1
    reliability: float = 0.85


@dataclass(frozen=True, kw_only=True)
class _Session:
    """Number of a session (from 0), and the names of its scans and of the ground truth of T1w and T2w."""

    number: int
    scan: Naming
    labels: Naming
    t2w_labels: Naming

    @property
    def is_complete(self) -> bool:
        """Whether all is there."""
        return is_complete(self.labels) and is_complete(self.t2w_labels)


def run(options: SimulationOptions) -> dict[str, str]:
    """Simulate all subjects whose ground truth is not complete yet, then write tables and gallery.

    Parameters
    ----------
    options : SimulationOptions

    Returns
    -------
    failed : dict of str to str
        Subjects whose label map cannot be used, with the reason in one line.

    Raises
    ------
    InputError
        If the folder holds heads that were made with other options.
    """
    check_same(options)
    names = SimulationNaming(options.out_dir)
    labels = labels_dir(options.out_dir)
    describe_raw(options.out_dir, f'Simulated perivascular spaces ({options.suite})', README)
    describe_derivative(labels, f'{GROUND_TRUTH} of the simulated heads', options.out_dir)
    on_t2w = labels_dir(options.out_dir, 'T2w')
    describe_derivative(on_t2w, f'{GROUND_TRUTH} of the simulated heads on their T2w', options.out_dir)
    write_text(names.bidsignore, f'{names.gallery.name}\n')
    missing = [
        subject
        for subject in options.subjects
        if not all(session.is_complete for session in _sessions(options, subject))
    ]
    reasons = map_in_processes(
        try_subject,
        [(options, subject) for subject in missing],
        options.nprocs,
        'heads',
        names=[f'sub-{subject.label}' for subject in missing],
    )
    failed = {f'sub-{s.label}': why for s, why in zip(missing, reasons, strict=True) if why}
    _write_tables(options, [s for s in options.subjects if f'sub-{s.label}' not in failed])
    from ..reports.gallery import draw_gallery

    draw_gallery(options.out_dir, labels, names.gallery)
    return failed


def _write_tables(options: SimulationOptions, subjects: Sequence[Subject]) -> None:
    """Write the tables of the participants and of their sessions."""
    if subjects:
        write_participants(options.out_dir, [_participant(options, subject) for subject in subjects])
    if options.sessions > 1:
        for subject in subjects:
            ages = [subject.age + SESSION_INTERVAL * k for k in range(options.sessions)]
            write_sessions(options.out_dir, f'sub-{subject.label}', ages)


def check_same(options: SimulationOptions) -> None:
    """Check that the heads which are there were made with the same options; they are kept.

    Raises
    ------
    InputError
        If they were not.
    """
    rows = read_rows_there(options.out_dir)
    for subject in options.subjects:
        folder = Naming(options.out_dir, (('sub', subject.label),)).folder
        if folder.exists():
            has_sessions = any(folder.glob('ses-*'))
            ground_truth.check_same(folder, 'several --sessions', has_sessions, options.sessions > 1)
        for session in _sessions(options, subject):
            made, wanted = read_notes(session.labels) or {}, _notes(options, subject)
            # heads of earlier versions have their site in the table alone
            if made and (row := rows.get(f'sub-{subject.label}')) and 'site' in row:
                made = {'Site': row['site']} | made
            for key in sorted(made.keys() & wanted.keys()):
                ground_truth.check_same(folder, _OPTIONS[key], made[key], wanted[key])
            if options.spacing is not None and (t1w := session.scan.anat('T1w')).exists():
                spacing = round(float(nib.load(t1w).header.get_zooms()[0]), 3)
                ground_truth.check_same(t1w, '--spacing', spacing, round(options.spacing, 3))


def _sessions(options: SimulationOptions, subject: Subject) -> list[_Session]:
    sessions = []
    for number in range(options.sessions):
        entities: tuple[tuple[str, str], ...] = (('sub', subject.label),)
        if options.sessions > 1:
            entities += (('ses', str(number + 1)),)
        sessions.append(
            _Session(
                number=number,
                scan=Naming(options.out_dir, entities),
                labels=Naming(labels_dir(options.out_dir), entities),
                t2w_labels=Naming(labels_dir(options.out_dir, 'T2w'), entities),
            )
        )
    return sessions


def try_subject(options: SimulationOptions, subject: Subject) -> str:
    """Simulate one person; returns why that is not possible, in one line, or nothing.

    Parameters
    ----------
    options : SimulationOptions
    subject : Subject
    """
    try:
        simulate_subject(options, subject)
    except ImageError as error:
        return str(error)
    return ''


def simulate_subject(options: SimulationOptions, subject: Subject) -> None:
    """Simulate one person, and write all scans with their ground truth.

    Parameters
    ----------
    options : SimulationOptions
    subject : Subject

    Raises
    ------
    ImageError
        If its label map cannot be used.
    """
    if subject.anatomy is None:
        source = label_maps.template_anatomy()
    else:
        source = label_maps.load_label_map(subject.anatomy)
    difficulty = SUITES[options.suite]
    if subject.site is None:
        scanner_rng = subject.rng(3)
    else:
        scanner_rng = np.random.default_rng([options.seed, 0, subject.site])
    scanner = draw_scanner(difficulty, scanner_rng, spacing=options.spacing)
    person = draw_person(source, subject.rng(1), difficulty, spacing=scanner.spacing, age=subject.age)
    for session in _sessions(options, subject):
        head = scan(
            person,
            scanner,
            difficulty,
            subject.rng(2, session.number),
            years=SESSION_INTERVAL * session.number,
        )
        write_simulated_scan(session.scan, subject, scanner, head)
        for suffix, names, truth in (
            ('T2w', session.t2w_labels, head.on_t2w()),
            ('T1w', session.labels, head),
        ):
            address = bids_uri(session.scan.anat(suffix), options.out_dir)
            write_ground_truth(names, address, GroundTruth.of(truth, _notes(options, subject)))


def _notes(options: SimulationOptions, subject: Subject) -> dict[str, Any]:
    """What decides on a head and its row of the table, as it stands in the sidecar of its ground truth."""
    return {
        'Anatomy': subject.anatomy.name if subject.anatomy else 'MNI152NLin2009cSym',
        'Suite': options.suite,
        'Seed': list(subject.seed),
        'Site': _site(subject),
        'RaterReliability': options.reliability,
    }


def _site(subject: Subject) -> str:
    """The site of a head as it stands in tables."""
    return 'n/a' if subject.site is None else str(subject.site)


def _participant(options: SimulationOptions, subject: Subject) -> dict[str, Any]:
    """Row of ``participants.tsv``; the rating follows the count of the first session's ground truth."""
    first = _sessions(options, subject)[0].labels
    count = json.loads(last_file(first).read_text(encoding='utf-8'))['WhiteMatterCount']
    return {
        'participant_id': f'sub-{subject.label}',
        'age': subject.age,
        'sex': subject.sex,
        'site': _site(subject),
        'rating': rate(count, options.reliability, subject.rng(4)),
    }
