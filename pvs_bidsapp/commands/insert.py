"""Draw perivascular spaces into the real scans of a BIDS data set."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from ..anatomy import template
from ..anatomy.brain import Brain, extract_brain
from ..anatomy.conform import load_scan, working_image
from ..anatomy.coregistration import align_t2w
from ..anatomy.registration import apply, apply_points, deterministic
from ..anatomy.resampling import Grid, resample
from ..bids.dataset import describe_derivative, describe_raw
from ..bids.naming import Naming, labels_dir
from ..bids.query import Query, find_scans
from ..errors import ImageError
from ..outputs.ground_truth import GroundTruth, is_complete, write_ground_truth
from ..runtime.files import save_image, write_json, write_text
from ..runtime.processes import map_in_processes
from ..segmentation.intensity import measure_levels
from ..simulation import insertion, vessels
from ..simulation.label_maps import Anatomy
from ..simulation.scanner import SUITES
from ..simulation.tables import vessel_table

LOG = logging.getLogger(__name__)

README = """Real scans into which `pvs simulate --into` drew perivascular spaces.

derivatives/labels holds the truth of what was drawn. Spaces that the person has are in the scans,
too, and are not in the truth. The licence of the scans is that of the data set they come from.
"""


@dataclass(frozen=True)
class DrawingJob:
    """What is to be drawn into.

    Attributes
    ----------
    bids_dir, out_dir : Path
    suite : str
        Whose contrast and sizes the spaces have.
    nprocs : int
    seed : int
    """

    bids_dir: Path
    out_dir: Path
    suite: str
    nprocs: int
    seed: int


def run(job: DrawingJob) -> tuple[int, int]:
    """Draw into all T1w scans that are not done yet.

    Returns
    -------
    done, failed : int
        Numbers of scans.
    """
    describe_raw(job.out_dir, f'Drawn into: {job.bids_dir.name}', README)
    describe_derivative(labels_dir(job.out_dir), 'Truth of what was drawn', job.out_dir)
    write_text(job.out_dir / '.bidsignore', 'gallery.png\n')
    for name in ('participants.tsv', 'participants.json'):
        if (job.bids_dir / name).exists():
            shutil.copyfile(job.bids_dir / name, job.out_dir / name)
    scans = find_scans(job.bids_dir, Query())
    tasks = [(job, k, scan.t1w, scan.t2w) for k, scan in enumerate(scans)]
    results = map_in_processes(draw_scan, tasks, job.nprocs, 'scans')
    from ..reports.gallery import draw_gallery

    draw_gallery(job.out_dir, labels_dir(job.out_dir), job.out_dir / 'gallery.png')
    return sum(results), len(results) - sum(results)


def draw_scan(job: DrawingJob, number: int, t1w: Path, t2w: Path | None) -> bool:
    """Draw into one scan; False, with a line in the log, where it cannot be used."""
    labels = Naming.of(labels_dir(job.out_dir), t1w)
    if is_complete(labels):
        return True
    try:
        with tempfile.TemporaryDirectory() as folder:
            _draw_scan(job, number, t1w, t2w, labels, Path(folder))
    except ImageError as error:
        LOG.error('%s', error)
        return False
    return True


def _draw_scan(
    job: DrawingJob, number: int, t1w: Path, t2w: Path | None, labels: Naming, folder: Path
) -> None:
    deterministic(1)
    scan = load_scan(t1w)
    working = working_image(scan)
    data = working.get_fdata(dtype=np.float32)
    brain = extract_brain(data, working.affine, folder)
    anatomy = _anatomy(brain, Grid(data.shape, working.affine), t1w.name)
    rng = np.random.default_rng([job.seed, number])
    difficulty = SUITES[job.suite]
    drawn = vessels.draw(anatomy, rng, load=rng.uniform(0.2, 0.9), size=rng.uniform(*difficulty.size))
    share = rng.uniform(*difficulty.pvs_contrast) * (1 + rng.normal(0, 0.1, len(drawn)).clip(-0.3, 0.3))
    source = working.affine @ np.diag([*(1 / anatomy.spacing), 1.0])
    native = insertion.to_grid(drawn, source, scan.affine)
    image, made = _paint(scan, native, brain, working.affine, share)
    target = Naming.of(job.out_dir, t1w)
    _save(target, t1w, 'T1w', image, scan.affine)
    if t2w is not None:
        _draw_t2w(target, t2w, drawn, source, brain, data, working.affine, share, folder)
    grid = Grid(scan.shape, scan.affine)

    def bring(array: np.ndarray) -> np.ndarray:
        return resample(array, working.affine, grid, order=0)

    voxel = float(np.prod(scan.header.get_zooms()[:3]))
    lines = [apply_affine(scan.affine, v.points / voxel_sizes(scan.affine)) for v in native]
    notes = {'Anatomy': t1w.name, 'Suite': job.suite, 'Seed': [job.seed, number]}
    known = GroundTruth(
        scan.affine, made, vessel_table(native, lines, made, voxel), bring(brain.mask) > 0,
        bring(brain.tissues), bring(anatomy.labels), None, notes,
    )  # fmt: skip
    write_ground_truth(labels, f'bids:raw:{target.anat("T1w").relative_to(job.out_dir).as_posix()}', known)


def _anatomy(brain: Brain, grid: Grid, name: str) -> Anatomy:
    atlas = template.load()

    def bring(image: np.ndarray) -> np.ndarray:
        return apply(
            image.astype(np.float32), atlas.affine, grid, brain.to_subject, interpolation='nearestNeighbor'
        )

    left = bring(template.left_half(atlas)) > 0.5
    structures = np.rint(bring(atlas.cerebra)).astype(np.int16)
    return insertion.anatomy_of_scan(brain.tissues, structures, left, voxel_sizes(grid.affine), name)


def _paint(
    scan: nib.Nifti1Image,
    native: list[vessels.Vessel],
    brain: Brain,
    working: np.ndarray,
    share: np.ndarray,
    field: np.ndarray | None = None,
):
    """Draw into an image whose tissues are known on the working grid."""
    grid = Grid(scan.shape, scan.affine)
    image = scan.get_fdata(dtype=np.float32)
    tissues = resample(brain.tissues, working, grid, order=0)
    if field is None:
        field = brain.bias.on(grid.shape, grid.affine)
    levels = measure_levels(image / field, tissues)
    return insertion.draw_into(image, scan.affine, native, tissues > 1, levels, field, share)


def _draw_t2w(
    target: Naming,
    t2w: Path,
    drawn: list[vessels.Vessel],
    source: np.ndarray,
    brain: Brain,
    t1w: np.ndarray,
    working: np.ndarray,
    share: np.ndarray,
    folder: Path,
) -> None:
    """The same spaces in the T2w of the session, moved as the two scans are."""
    scan = load_scan(t2w)
    transform = align_t2w(scan, t1w, brain.mask, working, folder)
    corners = np.array([[0, 0, 0], [100, 0, 0], [0, 100, 0], [0, 0, 100]], float)
    moved = apply_points(corners, transform)
    rigid = np.eye(4)
    rigid[:3, :3], rigid[:3, 3] = (moved[1:] - moved[0]).T / 100, moved[0]
    native = insertion.to_grid(drawn, rigid @ source, scan.affine)
    image, _ = _paint(scan, native, brain, rigid @ working, share, np.ones(scan.shape, np.float32))
    name = Naming.of(target.root, t2w)
    _save(name, t2w, 'T2w', image, scan.affine)


def _save(name: Naming, source: Path, suffix: str, image: np.ndarray, affine: np.ndarray) -> None:
    stored = nib.load(source)
    plain = tuple(stored.header.get_slope_inter()) in ((1.0, 0.0), (None, None))
    kind = stored.get_data_dtype() if plain else np.dtype(np.float32)
    if np.issubdtype(kind, np.integer):
        info = np.iinfo(kind)
        image = np.clip(np.rint(image), info.min, info.max)
    save_image(name.anat(suffix), image, affine, kind)
    write_json(name.anat(suffix, '.json'), {'ConversionSoftware': 'pvs simulate --into'})
