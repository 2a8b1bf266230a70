"""Write a BIDS data set of simulated heads, subject by subject, in parallel."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..bids.dataset import describe_derivative, describe_raw
from ..bids.files import save_image, write_json, write_text
from ..bids.naming import Naming
from ..simulation import anatomy, head
from ..simulation.dataset import Subject

README = """Simulated heads with known perivascular spaces.

Made by `pvs simulate`. No scan of a person is in this data set; the anatomies come from label
maps. The truth stands in derivatives/labels: share of each voxel inside a perivascular space
(probseg), mask, numbered spaces (dseg, with a table), brain mask, tissue classes, anatomy.
"""


@dataclass(frozen=True)
class SimulationJob:
    """What is to be simulated.

    Attributes
    ----------
    out_dir : Path
    subjects : tuple of Subject
    suite : str
        A key of `pvs_bidsapp.simulation.head.SUITES`.
    spacing : float
        Voxel size of the T1w in mm.
    nprocs : int
    seed : int
    """

    out_dir: Path
    subjects: tuple[Subject, ...]
    suite: str
    spacing: float
    nprocs: int
    seed: int


def run(job: SimulationJob) -> None:
    """Simulate all subjects that are not there yet; the participants table is written last."""
    describe_raw(job.out_dir, f'Simulated perivascular spaces ({job.suite})', README)
    describe_derivative(job.out_dir / 'derivatives' / 'labels', 'Truth of the simulated heads', job.out_dir)
    waiting = [s for s in job.subjects if not _complete(job, s)]
    context = multiprocessing.get_context('forkserver')
    with ProcessPoolExecutor(max(1, job.nprocs), mp_context=context) as pool:
        futures = [pool.submit(simulate_subject, job, s) for s in waiting]
        for future in tqdm(as_completed(futures), total=len(futures), desc='heads', disable=None):
            future.result()
    _write_participants(job.out_dir, job.subjects)


def _names(job: SimulationJob, subject: Subject) -> tuple[Naming, Naming]:
    entities = (('sub', subject.label),)
    return Naming(job.out_dir, entities), Naming(job.out_dir / 'derivatives' / 'labels', entities)


def _complete(job: SimulationJob, subject: Subject) -> bool:
    return _names(job, subject)[1].anat('dseg', '.json', desc='pvs').exists()


def simulate_subject(job: SimulationJob, subject: Subject) -> None:
    """Simulate one head and write its images and truth."""
    source = anatomy.load_label_map(subject.anatomy) if subject.anatomy else anatomy.template_anatomy()
    rng = np.random.default_rng(subject.seed)
    made = head.simulate(source, rng, head.SUITES[job.suite], spacing=job.spacing, age=subject.age)
    raw, truth = _names(job, subject)
    save_image(raw.anat('T1w'), np.rint(made.t1w), made.affine, np.int16)
    save_image(raw.anat('T2w'), np.rint(made.t2w), made.t2w_affine, np.int16)
    for suffix in ('T1w', 'T2w'):
        write_json(
            raw.anat(suffix, '.json'), {'Manufacturer': 'simulated', 'ConversionSoftware': 'pvs simulate'}
        )
    drawn, affine = made.rendering, made.affine
    save_image(truth.anat('probseg', label='PVS'), drawn.occupancy, affine, np.float32)
    save_image(truth.anat('mask', label='PVS'), made.mask, affine, np.uint8)
    save_image(truth.anat('mask', desc='brain'), anatomy.brain_mask(made.anatomy), affine, np.uint8)
    save_image(truth.anat('dseg', seg='tissue'), anatomy.tissue_classes(made.anatomy), affine, np.uint8)
    save_image(truth.anat('dseg', seg='aseg'), made.anatomy.labels, affine, np.int16)
    save_image(truth.anat('dseg', desc='pvs'), np.where(made.mask, drawn.index, 0), affine, np.int16)
    write_text(truth.anat('dseg', '.tsv', desc='pvs'), _vessel_table(made))
    _write_sidecars(truth, job, subject, made)


def _vessel_table(made: head.SimulatedHead) -> str:
    """One row a perivascular space, also for those too small for the mask."""
    voxel = float(np.prod(made.anatomy.spacing))
    volumes = np.bincount(
        made.rendering.index.ravel(), made.rendering.occupancy.ravel(), len(made.vessels) + 1
    )
    rows = ['index\tname\tregion\tlength_mm\twidth_mm\tvolume_mm3\tx_mm\ty_mm\tz_mm']
    for number, vessel in enumerate(made.vessels, start=1):
        middle = vessel.points[len(vessel.points) // 2] + made.affine[:3, 3]
        cells = [vessel.length, vessel.width, volumes[number] * voxel, *middle]
        rows.append('\t'.join([str(number), f'PVS{number}', vessel.region, *(f'{c:.3f}' for c in cells)]))
    return '\n'.join(rows) + '\n'


def _write_sidecars(truth: Naming, job: SimulationJob, subject: Subject, made: head.SimulatedHead) -> None:
    common = {'Sources': [f'bids:raw:{truth.subject}/anat/{truth.subject}_T1w.nii.gz']}
    write_json(
        truth.anat('probseg', '.json', label='PVS'),
        common | {'Description': 'share of the voxel inside a perivascular space'},
    )
    write_json(
        truth.anat('mask', '.json', label='PVS'),
        common | {'Type': 'ROI', 'Description': f'share of at least {head.MASK_OCCUPANCY}'},
    )
    write_json(
        truth.anat('mask', '.json', desc='brain'),
        common | {'Type': 'Brain', 'Description': 'brain labels but CSF, closed by 3 mm'},
    )
    write_json(
        truth.anat('dseg', '.json', seg='tissue'),
        common | {'Description': '1 CSF, 2 grey matter, 3 white matter'},
    )
    write_json(truth.anat('dseg', '.json', seg='aseg'), common | {'Description': 'FreeSurfer codes'})
    write_json(
        truth.anat('dseg', '.json', desc='pvs'),
        common
        | {
            'Description': 'numbered perivascular spaces',
            'Anatomy': subject.anatomy.name if subject.anatomy else 'MNI152NLin2009cSym',
            'Suite': job.suite, 'Seed': list(subject.seed), 'Load': made.load,
        },
    )  # fmt: skip


def _write_participants(root: Path, subjects: Sequence[Subject]) -> None:
    present = sorted(p.name for p in root.glob('sub-*') if p.is_dir())
    rows = {f'sub-{s.label}': (s.age, s.sex) for s in subjects}
    table = root / 'participants.tsv'
    if table.exists():  # subjects of an earlier call with other numbers
        for line in table.read_text().splitlines()[1:]:
            name, age, sex, *_ = line.split('\t')
            rows.setdefault(name, (float(age), sex))
    lines = ['participant_id\tage\tsex']
    lines += [f'{name}\t{rows[name][0]}\t{rows[name][1]}' for name in present if name in rows]
    write_text(table, '\n'.join(lines) + '\n')
    described = {
        'age': {'Description': 'age', 'Units': 'year'},
        'sex': {'Levels': {'F': 'female', 'M': 'male'}},
    }
    write_text(root / 'participants.json', json.dumps(described, indent=2) + '\n')
