"""Insert simulated PVS into the real scans of a BIDS dataset."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from ..anatomy import template
from ..anatomy.brain import Brain, extract_brain
from ..anatomy.conform import ScanImage, load_scan, working_image
from ..anatomy.coregistration import align_t2w
from ..anatomy.native import labels_to_native, to_native
from ..anatomy.noise import noise_level
from ..anatomy.registration import Transform, apply, apply_points, deterministic
from ..anatomy.resampling import Grid
from ..anatomy.tissues import WM
from ..bids.dataset import GROUND_TRUTH, describe_derivative, describe_raw
from ..bids.naming import Naming, SimulationNaming, labels_dir
from ..bids.participants import read_participants
from ..bids.query import Query, Scan, find_scans
from ..errors import ImageError, InputError
from ..messages import scans
from ..outputs.ground_truth import GroundTruth, check_same, is_complete, read_notes, write_ground_truth
from ..outputs.sidecars import bids_uri
from ..outputs.simulated_scans import write_changed_scan, write_people
from ..runtime.faults import finding_of
from ..runtime.files import write_text
from ..runtime.processes import map_in_processes
from ..segmentation.intensity import measure_levels
from ..simulation import vessels
from ..simulation.detectability import detectability
from ..simulation.insertion import anatomy_of_scan, insert, vessels_to_grid
from ..simulation.label_maps import Anatomy
from ..simulation.scanner import SUITES
from ..simulation.tables import vessel_table

LOG = logging.getLogger(__name__)

README = """Real scans into which `pvs simulate --into` inserted perivascular spaces.

derivatives/labels holds the ground truth of the inserted spaces. Perivascular spaces that a person has are
also in the scans, but not in the ground truth. The licence of the scans is that of the original dataset.
"""


@dataclass(frozen=True, kw_only=True)
class InsertionOptions:
    """Options of an insertion.

    Attributes
    ----------
    bids_dir : Path
        BIDS dataset with the real scans.
    out_dir : Path
        BIDS dataset to write.
    suite : str
        A key of `pvs_bidsapp.simulation.scanner.SUITES`: contrast and size of the PVS.
    contrast : tuple of float, or None
        Range from which the contrast of each PVS is drawn, as a fraction of that between CSF and the
        surroundings; None: that of the suite, drawn once for each scan, and varied by 10 %.
    nprocs : int
        Number of scans that are processed at the same time.
    seed : int
    """

    bids_dir: Path
    out_dir: Path
    suite: str
    nprocs: int
    seed: int
    contrast: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class _Insertion:
    """PVS to insert into the scans of a session, with the anatomy, all on the working grid.

    Attributes
    ----------
    t1w : ndarray, shape (x, y, z)
        At 1 mm.
    grid : Grid
        Working grid.
    brain : Brain
    anatomy : Anatomy
    vessels : list of Vessel
    contrasts : ndarray, shape (n,)
        Contrast of each PVS, as in `pvs_bidsapp.simulation.insertion.insert`.
    """

    t1w: np.ndarray
    grid: Grid
    brain: Brain
    anatomy: Anatomy
    vessels: list[vessels.Vessel]
    contrasts: np.ndarray

    @property
    def frame(self) -> np.ndarray:
        """From mm along the axes of the working grid to scanner RAS+ mm, shape (4, 4)."""
        return self.grid.affine @ np.diag([*(1 / self.anatomy.spacing), 1.0])


def run(options: InsertionOptions) -> tuple[int, dict[str, str]]:
    """Insert PVS into all T1w scans whose ground truth is not complete yet, and into their T2w scans.

    Of the original dataset nothing is taken over but the scans, and age and sex of the people.

    Parameters
    ----------
    options : InsertionOptions

    Returns
    -------
    done : int
        Number of scans.
    failed : dict of str to str
        Scans that cannot be used, with the reason in one line.

    Raises
    ------
    InputError
        If there is no scan, or the folder holds scans that were changed with other options.
    """
    selection = find_scans(options.bids_dir, Query())
    for scan in selection.scans:
        _check_same(options, Naming.of(labels_dir(options.out_dir), scan.anat))
    names, labels = SimulationNaming(options.out_dir), labels_dir(options.out_dir)
    describe_raw(options.out_dir, f'Inserted perivascular spaces: {options.bids_dir.resolve().name}', README)
    describe_derivative(labels, f'{GROUND_TRUTH} of the inserted perivascular spaces', options.out_dir)
    write_text(names.bidsignore, f'{names.gallery.name}\n')
    t2w = _own_t2w(selection.scans)
    tasks = [(options, number, scan.anat, t2w[number]) for number, scan in enumerate(selection.scans)]
    reasons = map_in_processes(
        insert_into_scan, tasks, options.nprocs, 'scans', names=[scan.name for scan in selection.scans]
    )
    failed = {refused.path: refused.reason for refused in selection.refused}
    failed |= {scan.name: why for scan, why in zip(selection.scans, reasons, strict=True) if why}
    done = [scan for scan in selection.scans if scan.name not in failed]
    _write_people(options, [f'sub-{scan.entities["sub"]}' for scan in done])
    from ..reports.gallery import draw_gallery

    draw_gallery(options.out_dir, labels, names.gallery)
    return len(done), failed


def _own_t2w(found: Sequence[Scan]) -> list[Path | None]:
    """The T2w of each scan; one that several scans share is that of the first, and what it shows is known."""
    owners: dict[Path, str] = {}
    own: list[Path | None] = []
    for scan in found:
        if scan.t2w in owners:
            scans.T2W_SHARED.log(LOG, scan.anat, other=owners[scan.t2w])
            own.append(None)
            continue
        if scan.t2w is not None:
            owners[scan.t2w] = scan.name
        own.append(scan.t2w)
    return own


def _check_same(options: InsertionOptions, labels: Naming) -> None:
    """Check that the scans which are there were changed with the same options; they are kept."""
    if (made := read_notes(labels)) is not None:
        check_same(labels.folder, '--suite', made.get('Suite'), options.suite)
        check_same(labels.folder, '--contrast', made.get('Contrast'), _notes(options, 0, '').get('Contrast'))
        check_same(labels.folder, '--seed', next(iter(made.get('Seed', ())), None), options.seed)


def _write_people(options: InsertionOptions, subjects: Sequence[str]) -> None:
    try:
        people = read_participants(options.bids_dir).table
    except InputError as error:  # the scans do not need it
        LOG.warning('%s', error)
        people = None
    write_people(options.out_dir, people, sorted(set(subjects)))


def insert_into_scan(options: InsertionOptions, number: int, t1w: Path, t2w: Path | None) -> str:
    """Insert PVS into one T1w and the T2w of its session.

    Parameters
    ----------
    options : InsertionOptions
    number : int
        Number of the scan, part of its random seed.
    t1w : Path
    t2w : Path or None

    Returns
    -------
    reason : str
        Why the scan cannot be used, in one line; empty if it is done.
    """
    labels = Naming.of(labels_dir(options.out_dir), t1w)
    if is_complete(labels):
        return ''
    try:
        with tempfile.TemporaryDirectory() as folder:
            _insert_into_scan(options, number, t1w, t2w, labels, Path(folder))
    except ImageError as error:
        return str(error)
    except FileNotFoundError as error:  # the scan, which was there before; the others may still be
        finding = finding_of(error)
        if finding is None or Path(finding.file) not in (t1w, t2w):
            raise
        return str(finding)
    return ''


def _insert_into_scan(
    options: InsertionOptions, number: int, t1w: Path, t2w: Path | None, labels: Naming, folder: Path
) -> None:
    deterministic(1)
    scan = load_scan(t1w)
    insertion = _draw(options, number, scan, t1w.name, folder)
    brain, affine = insertion.brain, insertion.grid.affine
    native = to_native(scan, brain.mask, brain.tissues, affine, bias_field=brain.bias)
    grid = scan.grid
    drawn = vessels_to_grid(insertion.vessels, insertion.frame, grid.affine)
    image, rendering = insert(
        scan.image,
        grid.affine,
        drawn,
        tissue=native.tissues > 1,
        levels=measure_levels(native.image, native.tissues),
        field=brain.bias.sample(grid.shape, grid.affine),
        contrasts=insertion.contrasts,
    )
    names = Naming.of(options.out_dir, t1w)
    write_changed_scan(names, t1w, 'T1w', scan, image)
    if t2w is not None:
        second = load_scan(t2w)
        changed = _insert_into_t2w(insertion, second, folder)
        write_changed_scan(Naming.of(options.out_dir, t2w), t2w, 'T2w', second, changed)
    lines = [apply_affine(grid.affine, v.points / voxel_sizes(grid.affine)) for v in drawn]
    voxel_volume = float(np.prod(voxel_sizes(grid.affine)))
    noise = noise_level(scan.image, ndimage.binary_erosion(native.tissues == WM))
    visible = detectability(image - scan.image, rendering.index, len(drawn), float(np.fmax(noise, 1e-6)))
    ground_truth = GroundTruth(
        affine=grid.affine,
        stored=scan.source,
        rendering=rendering,
        table=vessel_table(drawn, lines, rendering, voxel_volume, visible),
        brain=labels_to_native(brain.mask, affine, grid),
        tissues=native.tissues,
        labels=labels_to_native(insertion.anatomy.labels, affine, grid, np.int16),
        mimics=None,
        notes=_notes(options, number, t1w.name),
    )
    write_ground_truth(labels, bids_uri(names.anat('T1w'), options.out_dir), ground_truth)


def _notes(options: InsertionOptions, number: int, name: str) -> dict[str, Any]:
    """What decides on the PVS of a scan, as it stands in the sidecar of its ground truth."""
    notes = {'Anatomy': name, 'Suite': options.suite, 'Seed': [options.seed, number]}
    return notes if options.contrast is None else notes | {'Contrast': list(options.contrast)}


def _draw(options: InsertionOptions, number: int, scan: ScanImage, name: str, folder: Path) -> _Insertion:
    """Find the anatomy of a scan, and draw PVS in it."""
    t1w, grid = working_image(scan)
    brain = extract_brain(t1w, grid.affine, folder)
    anatomy = _anatomy(brain, grid, name)
    rng = np.random.default_rng([options.seed, number])
    difficulty = SUITES[options.suite]
    low, high = difficulty.burden
    drawn = vessels.draw(
        anatomy,
        rng,
        burden=low + (high - low) * rng.uniform(0.2, 0.9),
        size=rng.uniform(*difficulty.size),
        is_dense=difficulty.is_dense,
    )
    return _Insertion(
        t1w=t1w,
        grid=grid,
        brain=brain,
        anatomy=anatomy,
        vessels=drawn,
        contrasts=_draw_contrasts(options, len(drawn), rng),
    )


def _draw_contrasts(options: InsertionOptions, number: int, rng: np.random.Generator) -> np.ndarray:
    """Contrasts of the PVS of a scan; the same PVS have other contrasts in another range."""
    if options.contrast is not None:
        return rng.uniform(*options.contrast, number)
    contrast = rng.uniform(*SUITES[options.suite].pvs_contrast)
    return contrast * (1 + rng.normal(0, 0.1, number).clip(-0.3, 0.3))


def _anatomy(brain: Brain, grid: Grid, name: str) -> Anatomy:
    atlas = template.load()

    def to_scan(image: np.ndarray) -> np.ndarray:
        return apply(
            image.astype(np.float32), atlas.affine, grid, brain.to_subject, interpolation='nearestNeighbor'
        )

    left = to_scan(template.left_half(atlas)) > 0.5
    structures = np.rint(to_scan(atlas.cerebra)).astype(np.int16)
    return anatomy_of_scan(brain.tissues, structures, left, voxel_sizes(grid.affine), name)


def _insert_into_t2w(insertion: _Insertion, scan: ScanImage, folder: Path) -> np.ndarray:
    """Insert the same PVS into a T2w, moved by the registration of T2w and T1w; returns the image."""
    affine = insertion.grid.affine
    rigid = _matrix(align_t2w(scan, insertion.t1w, insertion.brain.mask, affine, folder))
    grid = scan.grid
    tissues = labels_to_native(insertion.brain.tissues, rigid @ affine, grid)
    result, _ = insert(
        scan.image,
        grid.affine,
        vessels_to_grid(insertion.vessels, rigid @ insertion.frame, grid.affine),
        tissue=tissues > 1,
        levels=measure_levels(scan.image, tissues),
        field=np.ones(grid.shape, np.float32),
        contrasts=insertion.contrasts,
    )
    return result


def _matrix(transform: Transform) -> np.ndarray:
    """Matrix of a rigid transform of points, shape (4, 4)."""
    corners = np.array([[0, 0, 0], [100, 0, 0], [0, 100, 0], [0, 0, 100]], float)
    moved = apply_points(corners, transform)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = (moved[1:] - moved[0]).T / 100, moved[0]
    return matrix
