"""The interactive viewer of a subject's page: NiiVue, and the images that it shows.

NiiVue (https://niivue.com) is taken from the wheel of ``jupyterlab-niivue``. A page that is opened from a
disk can load nothing from beside it, so that the script and the images stand in the page, compressed.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..anatomy.morphology import bounding_box
from ..runtime.files import COMPRESSION, save_image

#: Images of the viewer by ``desc`` of their files.
SCANS = ('viewT1w', 'viewT2w')
IMAGES = (*SCANS, 'viewClusters', 'viewProbability', 'viewRegions')
#: Voxels around the brain.
MARGIN = 4
#: Percentile of the brain's intensities that is shown as white, and how much above it is kept.
BRIGHT, HEADROOM = 99.8, 1.2
#: Numbers of levels of a scan, of which the first is taken whose file has at most so many bytes.
LEVELS, MOST_BYTES = (254, 127, 63, 31), 3_600_000
#: The class of NiiVue in the script of the wheel: the application around it extends it by ``isNew``.
_CLASS = re.compile(
    r'\nclass [\w$]+ extends ([\w$]+) \{\s*constructor\(\w+\) \{\s*super\(\w+\), this\.isNew\b'
)


@lru_cache(maxsize=1)
def niivue_module() -> str | None:
    """A JavaScript module that exports ``Niivue``, gzip-compressed, in base64.

    Returns
    -------
    module : str or None
        None if the wheel is not there, or not of the release whose script is known.
    """
    spec = find_spec('jupyterlab_niivue')  # without importing it
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / 'labextension' / 'static' / 'niivue' / 'index.js'
    script = path.read_text(encoding='utf-8') if path.exists() else ''
    found = _CLASS.search(script)
    if found is None:
        return None
    library = f'{script[: found.start()]}\nexport {{ {found[1]} as Niivue }};\n'
    return encode(gzip.compress(library.encode(), 9, mtime=0))


def encode(data: bytes) -> str:
    """Data in base64."""
    return base64.b64encode(data).decode('ascii')


def write_images(
    scans: Mapping[str, np.ndarray],
    affine: np.ndarray,
    *,
    brain: np.ndarray,
    clusters: np.ndarray,
    probability: np.ndarray,
    regions: np.ndarray,
    folder: Path,
) -> dict[str, Path]:
    """Write what the viewer shows: the brain's box, on the scan's own grid, in few bits.

    Outside the brain the scans are 0: a page shows no face.

    Parameters
    ----------
    scans : mapping of str to ndarray, shape (x, y, z)
        By ``T1w`` and ``T2w``; not negative.
    affine : ndarray, shape (4, 4)
    brain, clusters, regions : ndarray of int, shape (x, y, z)
    probability : ndarray of float, shape (x, y, z)
        In [0, 1]; stored as 0 to 255.
    folder : Path

    Returns
    -------
    images : dict of str to Path
        Compressed NIfTI files by ``desc``, see `IMAGES`.
    """
    inside = brain > 0
    box = bounding_box(inside, MARGIN) if inside.any() else (slice(None),) * 3
    corner = affine.copy()
    corner[:3, 3] += affine[:3, :3] @ [part.start or 0 for part in box]
    made = {
        **{f'view{suffix}': _in_few_levels(scan[box], inside[box]) for suffix, scan in scans.items()},
        'viewClusters': np.minimum(clusters[box], np.iinfo(np.int16).max).astype(np.int16),
        'viewProbability': np.rint(255 * np.clip(probability[box], 0, 1)).astype(np.uint8),
        'viewRegions': regions[box].astype(np.uint8),
    }
    paths = {name: folder / f'{name}.nii.gz' for name in made}
    for name, data in made.items():
        save_image(paths[name], data, corner)
    return paths


def _in_few_levels(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """A scan as 1 to 255 in the brain, and 0 elsewhere; in as many levels as the page has room for."""
    bright = float(np.percentile(image[inside], BRIGHT)) if inside.any() else 0.0
    share = np.clip(image / max(HEADROOM * bright, 1e-6), 0, 1)
    for levels in LEVELS:
        shown = np.where(inside, 1 + np.rint(254 * np.rint(levels * share) / levels), 0).astype(np.uint8)
        if len(gzip.compress(shown.tobytes(), COMPRESSION)) <= MOST_BYTES:
            break
    return shown
