"""A small head as ``participant`` leaves it, in which spaces are drawn for a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from finished_scans import finish_scan

from pvs_bidsapp.anatomy.regions import REGIONS
from pvs_bidsapp.anatomy.tissues import CSF, GM, WM
from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.runtime.files import save_image
from pvs_bidsapp.simulation.background import ScanMaps

INDEX = {(r.name, r.hemisphere): r.index for r in REGIONS}


def make_maps(shape: tuple[int, int, int] = (48, 44, 40), noise: float = 0.05) -> ScanMaps:
    """A head: cortex about white matter, with a ventricle, a caudate beside it, and a tube of its own."""
    tissues, regions = np.zeros((2, *shape), np.uint8)
    tissues[2:-2, 2:-2, 2:-2], tissues[4:-4, 4:-4, 4:-4] = CSF, GM
    inner = (slice(8, -8),) * 3
    tissues[inner], regions[inner] = WM, INDEX['deep white matter frontal', 'left']
    regions[24:40][regions[24:40] > 0] = INDEX['deep white matter frontal', 'right']
    tissues[22:26, 18:26, 16:24], regions[21:27, 17:27, 15:25] = CSF, 0
    tissues[28:32, 18:26, 16:24] = GM
    regions[28:32, 18:26, 16:24] = INDEX['caudate', 'right']
    image = np.array([-2.0, -2.0, -0.5, 0.4], np.float32)[tissues][None]
    image[0, 12, 12, 10:30] = -0.6
    rng = np.random.default_rng(2)
    return ScanMaps(
        image=image + noise * rng.standard_normal(image.shape, np.float32),
        brain=tissues > 0,
        tissues=tissues,
        regions=regions,
        probability=np.zeros(shape, np.float32),
        spacing=np.array([1.0, 0.9, 1.1]),
    )


def write_background_scan(out: Path, name: str, suffixes: Sequence[str] = ('T1w',)) -> Naming:
    """Write what a training needs of a finished scan; the first axis runs to the left."""
    maps, names = make_maps(), finish_scan(out, name, drawn=False)
    affine = np.diag([-1.0, 0.9, 1.1, 1.0])
    t1w = 100 + 40 * maps.image[0, ::-1]
    for suffix in suffixes:
        space = {'space': 'T1w'} if suffix == 'T2w' and 'T1w' in suffixes else {}
        image = t1w if suffix == 'T1w' else 200 - t1w
        save_image(names.anat(suffix, desc='preproc', **space), image, affine, np.int16, step=2**-6)
    for array, path in (
        (maps.brain, names.anat('mask', desc='brain')),
        (maps.tissues, names.anat('dseg', seg='tissue')),
        (maps.regions, names.anat('dseg', seg='regions')),
    ):
        save_image(path, array[::-1], affine, np.uint8)
    save_image(names.anat('probseg', label='PVS'), maps.probability[::-1], affine, np.float32)
    return names
