"""Simulated heads as the prepared scans of a training, for its validation.

They come from the simulator of whole heads, which draws, renders and shades in another way than the generator
of training patches does. Brain mask and tissue classes are the true ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..anatomy.resampling import Grid, resample
from ..segmentation.intensity import TissueNormalization, measure_levels
from ..simulation import head, label_maps
from ..simulation.label_maps import Anatomy
from ..simulation.scanner import SUITES, draw_scanner
from .datasets import TrainingImage

#: Standard deviation of the natural logarithm of the bias field that a correction leaves.
RESIDUAL_BIAS = 0.02
#: Largest shape of an image, in voxels: the middle of the brain is enough for a score.
BOX = (128, 160, 112)
#: Ages in years, by turns.
AGES = (35.0, 55.0, 75.0)


def simulate_image(
    source: Anatomy,
    suite: str,
    seed: Sequence[int],
    *,
    channels: tuple[str, ...] = ('T1w',),
    normalization: TissueNormalization | None = None,
    box: tuple[int, int, int] | None = BOX,
    keeps_t2w: bool = False,
    spacing: tuple[float, float] | None = None,
) -> TrainingImage:
    """Simulate one head and prepare it.

    Parameters
    ----------
    source : Anatomy
    suite : str
        A key of `pvs_bidsapp.simulation.scanner.SUITES`.
    seed : sequence of int
        It alone decides on the head.
    channels : tuple of str
        ``T1w``, ``T2w``; the T2w is aligned.
    normalization : TissueNormalization, optional
    box : tuple of int, optional
        Largest shape of the image in voxels, about the middle of the brain. None: the whole head.
    keeps_t2w : bool
        The T2w, of which alone there is an image then, stays on the grid that it was measured on, with the
        truth of its slices. Otherwise all is on the grid of the T1w.
    spacing : tuple of float, optional
        Smallest and largest voxel size of the T1w in mm, those of the network's grid; drawn ones beyond are
        set to the nearer of the two.
    """
    normalization = normalization or TissueNormalization()
    rng, difficulty = np.random.default_rng(seed), SUITES[suite]
    scanner = replace(draw_scanner(difficulty, rng), bias=RESIDUAL_BIAS)
    if spacing is not None:
        scanner = replace(scanner, spacing=float(np.clip(scanner.spacing, *spacing)))
    age = AGES[int(rng.integers(len(AGES)))]
    person = head.draw_person(source, rng, difficulty, spacing=scanner.spacing, age=age)
    simulated = head.scan(person, scanner, difficulty, rng, is_moved=False)
    truth = simulated.on_t2w() if keeps_t2w else simulated
    brain = label_maps.brain_mask(truth.anatomy)
    tissues = label_maps.tissue_classes(truth.anatomy, brain)
    grid = Grid(brain.shape, truth.affine)
    scans = {'T2w': resample(simulated.t2w, simulated.t2w_affine, grid, order=1)}
    if not keeps_t2w:
        scans['T1w'] = simulated.t1w
    image = np.stack(
        [normalization.apply(scans[name], measure_levels(scans[name], tissues)) for name in channels]
    )
    inner = _middle(brain, box)
    return TrainingImage(
        name=f'{source.name}-{suite}',
        image=image[(slice(None), *inner)].astype(np.float16),
        brain=np.ascontiguousarray(brain[inner]),
        label=truth.mask[inner].astype(np.uint8),
        voxel_volume=float(np.prod(truth.anatomy.spacing)),
    )


def _middle(brain: np.ndarray, box: tuple[int, int, int] | None) -> tuple[slice, ...]:
    """The part of a grid about the brain, at most as large as a box."""
    voxels = np.argwhere(brain)
    low, high = voxels.min(0), voxels.max(0) + 1
    if box is not None:
        excess = np.maximum(high - low - np.array(box), 0)
        low, high = low + excess // 2, high - (excess - excess // 2)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
