"""Train a model on a BIDS data set with tracings, and bundle what comes out."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from tqdm.auto import tqdm

from .. import __version__
from ..anatomy.registration import deterministic
from ..bids.naming import Naming
from ..errors import InputError
from ..segmentation.bundle import Card, find, write_bundle
from ..segmentation.grid import BOX
from ..segmentation.intensity import TissueLevels
from ..simulation.scanner import SUITES
from ..simulation.stream import Scene, make_scene
from ..training.data import prepare
from ..training.patches import PaintedBatches, PatchBatches, Volume
from ..training.supervised import Plan, Trainer

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """What `pvs train` was asked for.

    Attributes
    ----------
    data_dir, labels_dir, model_dir : Path
        BIDS data set, its tracings, the model's folder.
    plan : Plan
    device : str
    nprocs : int
        Processes that prepare scans.
    validation_share : float
        Share of persons kept for validation.
    resume : bool
    init : str or None
        Model (name or folder) or checkpoint whose weights training starts from.
    trained_on : str
        Said in the model's card.
    paint : str or None
        The heads were simulated: paint their patches anew, on scanners of this suite.
    """

    data_dir: Path
    labels_dir: Path
    model_dir: Path
    plan: Plan
    device: str
    nprocs: int
    validation_share: float
    resume: bool
    init: str | None
    trained_on: str
    paint: str | None = None


@dataclass(frozen=True)
class Case:
    """Files of one traced scan."""

    name: str
    t1w: Path
    target: Path
    brain: Path
    tissues: Path


def find_cases(data_dir: Path, labels_dir: Path) -> list[Case]:
    """Traced scans: a ``*_label-PVS_mask.nii.gz`` in the labels, its T1w in the data set.

    The labels' folder must also hold the brain mask (``desc-brain_mask``) and the tissue classes
    (``seg-tissue_dseg``) of each: `pvs simulate` and `pvs participant` write both.

    Raises
    ------
    InputError
        If there is no tracing, or a file that belongs to one is missing.
    """
    cases = []
    for target in sorted(labels_dir.rglob('sub-*_label-PVS_mask.nii.gz')):
        source = data_dir / target.parent.relative_to(labels_dir)
        stem = target.name.replace('_label-PVS_mask.nii.gz', '')
        t1w = source / f'{stem}_T1w.nii.gz'
        labels = Naming.of(labels_dir, t1w)
        brain, tissues = labels.anat('mask', desc='brain'), labels.anat('dseg', seg='tissue')
        for needed in (t1w, brain, tissues):
            if not needed.exists():
                raise InputError(f'{needed}: missing; {target.name} cannot be used without it')
        cases.append(Case(stem, t1w, target, brain, tissues))
    if not cases:
        raise InputError(f'{labels_dir}: no sub-*_label-PVS_mask.nii.gz; give the tracings with --labels')
    return cases


def load_case(case: Case, cache: Path, rule: TissueLevels) -> Volume:
    """A prepared volume, from the cache where it was prepared before from the same files."""
    deterministic(1)
    stamp = [
        (p.stat().st_size, p.stat().st_mtime_ns) for p in (case.t1w, case.target, case.brain, case.tissues)
    ]
    key = hashlib.sha256(repr((case, stamp, rule.card())).encode()).hexdigest()[:16]
    stored = cache / f'{case.name}_{key}.npz'
    if stored.exists():
        with np.load(stored) as arrays:
            return Volume(case.name, arrays['image'], arrays['brain'], arrays['target'])
    volume = prepare(
        case.name,
        [nib.load(case.t1w)],
        _array(case.brain) > 0,
        _array(case.tissues),
        _array(case.target),
        rule,
    )
    temporary = stored.with_suffix('.part.npz')
    np.savez(temporary, image=volume.image, brain=volume.brain, target=volume.target)
    temporary.replace(stored)
    return volume


def _array(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def split(cases: list[Case], share: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Training and validation cases; no person stands on both sides."""
    persons = sorted({c.name.split('_')[0] for c in cases})
    order = np.random.default_rng(seed).permutation(len(persons))
    number = round(share * len(persons)) if len(persons) > 1 else 0
    held = {persons[k] for k in order[:number]}
    return (
        [c for c in cases if c.name.split('_')[0] not in held],
        [c for c in cases if c.name.split('_')[0] in held],
    )


def run(job: TrainingJob) -> Path:
    """Prepare, train, bundle. Returns the model's folder."""
    import torch

    rule = TissueLevels()
    training, validation = split(
        find_cases(job.data_dir, job.labels_dir), job.validation_share, job.plan.seed
    )
    cache = job.model_dir / 'cache'
    cache.mkdir(parents=True, exist_ok=True)
    held = _load_all(validation, cache, rule, job.nprocs)
    batches = _batches(job, training, cache, rule)
    trainer = Trainer(job.plan, job.model_dir / 'checkpoints', torch.device(job.device), rule)
    last = trainer.folder / 'last.pt'
    if job.resume and last.exists():
        trainer.load(last)
    elif job.init and job.init.endswith('.pt'):
        trainer.load(Path(job.init), weights_only=True)
    elif job.init:
        trainer.start_from_bundle(find(job.init).network())
    LOG.info('%d scans to train on, %d to validate', len(training), len(validation))
    trainer.fit(batches, held)
    return bundle(job, trainer, len(training), held)


def _batches(job: TrainingJob, training: list[Case], cache: Path, rule: TissueLevels) -> PatchBatches:
    options = job.plan.batching()
    if job.paint is None:
        return PatchBatches(_load_all(training, cache, rule, job.nprocs), rule, **options)
    scenes = [load_scene(case) for case in tqdm(training, desc='scenes', disable=None)]
    return PaintedBatches(scenes, rule, SUITES[job.paint], **options)


def load_scene(case: Case) -> Scene:
    """The geometry of a simulated head, from its truth.

    Raises
    ------
    InputError
        If the labels are not those of `pvs simulate`.
    """
    parts = []
    for name in (
        'seg-aseg_dseg',
        'label-PVS_probseg',
        'desc-pvs_dseg',
        'desc-mimics_dseg',
        'desc-brain_mask',
    ):
        path = case.target.with_name(f'{case.name}_{name}.nii.gz')
        if not path.exists():
            raise InputError(f'{path}: missing; --paint needs heads made by `pvs simulate`')
        image = nib.load(path)
        parts.append(np.asarray(image.dataobj))
    labels, occupancy, index, kind, brain = parts
    spacing = float(image.header.get_zooms()[0])
    return make_scene(case.name, labels, occupancy, index, kind, brain, spacing)


def _load_all(cases: list[Case], cache: Path, rule: TissueLevels, nprocs: int) -> list[Volume]:
    context = multiprocessing.get_context('forkserver')
    with ProcessPoolExecutor(max(1, nprocs), mp_context=context) as pool:
        futures = [pool.submit(load_case, case, cache, rule) for case in cases]
        return [f.result() for f in tqdm(futures, desc='scans', disable=None)]


def bundle(job: TrainingJob, trainer: Trainer, n_training: int, validation: Sequence[Volume]) -> Path:
    """Write the best weights with a filled-in card; the threshold is the best on the validation scans."""
    steps = trainer.load(trainer.folder / 'best.pt', weights_only=True)
    trainer.undo_positive_weight()
    threshold, score = trainer.best_threshold(validation) if validation else (0.5, float('nan'))
    card = Card(
        name=job.model_dir.name,
        version=__version__,
        architecture=job.plan.architecture,
        channels=('T1w',),
        spacing=1.0,
        box=BOX,
        intensity=trainer.rule.card(),
        threshold=threshold,
        min_cluster_size=0.0,
        trained_on=job.trained_on or f'{n_training} traced scans of {job.data_dir.name}',
        limits='research only; not a medical device',
        licence='unspecified',
        metrics={'validation_dice': round(score, 4), 'validation_scans': len(validation)}
        if validation
        else {},
        training={'steps': steps, 'seed': job.plan.seed, 'recipe': 'joliot2021'},
    )
    write_bundle(job.model_dir, trainer.average.module, card)
    return job.model_dir
