"""Robustness: the volume of PVS in nine variants of the same scan.

    python benchmarks/steadiness.py make T1W BRAIN_MASK BIDS_DIR
    pvs BIDS_DIR OUT_DIR participant
    python benchmarks/steadiness.py read OUT_DIR

`make` writes a BIDS dataset with one participant per variant. `read` prints the total volume of each, and its
difference from that of the plain scan. The difference should be at most 15 %, and at most 25 % at 1.2 mm and
at half the signal-to-noise ratio.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from pvs_bidsapp.anatomy import bias
from pvs_bidsapp.anatomy.resampling import isotropic_grid, resample
from pvs_bidsapp.bids.dataset import describe_raw
from pvs_bidsapp.simulation import artefacts

ALLOWED = {'voxels12': 0.25, 'halfsnr': 0.25}
DEGREES = 15


def rotated(image: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate the head about the vertical axis, in the same field of view."""
    return np.maximum(ndimage.rotate(image, degrees, (0, 1), reshape=False, order=3), 0)


def resampled(image: np.ndarray, affine: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Resample the scan to another voxel size (mm)."""
    grid = isotropic_grid(affine, image.shape, spacing)
    return np.maximum(resample(image, affine, grid, order=3), 0), grid.affine


def noisier(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Halve the signal-to-noise ratio.

    Added noise has the square root of 3 times the standard deviation of the scan's own. The scan's own noise
    is estimated by the median absolute deviation of second differences, which depend little on the anatomy.
    """
    second = (image[:, :, :-2] - 2 * image[:, :, 1:-1] + image[:, :, 2:])[brain[:, :, 1:-1]]
    own = 1.4826 * np.median(np.abs(second - np.median(second))) / np.sqrt(6)
    return artefacts.rician(image, np.sqrt(3) * own, np.random.default_rng(1))


def make(t1w: Path, mask: Path, bids: Path) -> None:
    """Write the dataset."""
    scan = nib.as_closest_canonical(nib.load(t1w))
    image, affine = scan.get_fdata(dtype=np.float32), scan.affine
    brain = np.asarray(nib.as_closest_canonical(nib.load(mask)).dataobj) > 0
    spacing = np.array(scan.header.get_zooms()[:3], float)
    variants = {
        'plain': (image, affine),
        'stripped': (artefacts.strip(image, brain), affine),
        'defaced': (artefacts.deface(image, brain, spacing), affine),
        'corrected': (bias.correct(image, affine, brain), affine),
        'flipped': (image[::-1], affine),
        'rotated': (rotated(image, DEGREES), affine),
        'voxels08': resampled(image, affine, 0.8),
        'voxels12': resampled(image, affine, 1.2),
        'halfsnr': (noisier(image, brain), affine),
    }
    describe_raw(bids, 'steadiness', 'Nine variants of one scan, by benchmarks/steadiness.py.\n')
    for name, (varied, own) in variants.items():
        folder = bids / f'sub-{name}' / 'anat'
        folder.mkdir(parents=True, exist_ok=True)
        nib.save(
            nib.Nifti1Image(np.ascontiguousarray(varied, np.float32), own), folder / f'sub-{name}_T1w.nii.gz'
        )


def read(out: Path) -> None:
    """Print the table."""
    tables = {
        p.name.split('_')[0]: pd.read_csv(p, sep='\t')
        for p in sorted(out.glob('sub-*/anat/*_desc-pvs_stats.tsv'))
    }
    volumes = {
        name.removeprefix('sub-'): table.set_index(['region', 'hemisphere']).loc[
            ('all', 'both'), ['volume_mm3', 'count']
        ]
        for name, table in tables.items()
    }
    plain = volumes['plain']['volume_mm3']
    print('| scan | volume (mm3) | clusters | difference | allowed |\n| --- | --- | --- | --- | --- |')
    for name, (volume, count) in volumes.items():
        print(
            f'| {name} | {volume:.0f} | {count:.0f} | {100 * (volume / plain - 1):+.0f} % | '
            f'{100 * ALLOWED.get(name, 0.15):.0f} % |'
        )


if __name__ == '__main__':
    if len(sys.argv) == 5 and sys.argv[1] == 'make':
        make(*map(Path, sys.argv[2:]))
    elif len(sys.argv) == 3 and sys.argv[1] == 'read':
        read(Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
