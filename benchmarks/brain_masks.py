#!/usr/bin/env python3
"""Brain masks beside those of deepbet (Fisch et al. 2024, doi:10.1016/j.compbiomed.2024.108845).

    pip install --no-deps deepbet==1.0.2 fill_voids fastremap
    python benchmarks/brain_masks.py OUT_DIR BIDS_DIR [OUT_DIR BIDS_DIR ...] [--pictures FOLDER]

OUT_DIR is what ``participant`` wrote for BIDS_DIR. Scans that were skull-stripped before are left out: they
keep the mask that they came with. Prints the Dice coefficient, both volumes, and how far the 95 % of the one
mask's border that lie nearest are from the other's. deepbet's masks reach to the dura, the program's end
where grey matter does: the Dice coefficient is also given with the program's mask grown by GROWN mm. With
--pictures, both outlines are drawn on each scan.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import edt
import matplotlib as mpl
import nibabel as nib
import numpy as np
from deepbet import BrainExtraction
from nibabel.affines import voxel_sizes
from nibabel.processing import resample_from_to
from scipy import ndimage

from pvs_bidsapp.evaluation.metrics import dice

mpl.use('Agg')
import matplotlib.pyplot as plt

#: About the width of the CSF between grey matter and dura, in mm.
GROWN = 2.0


def border_distance(one: np.ndarray, two: np.ndarray, sides: tuple[float, ...]) -> float:
    """95th percentile of the distances between the borders of two masks, in mm, the larger of both ways."""
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (one, two)]
    away = [edt.edt(~border, anisotropy=sides) for border in borders]
    return max(float(np.percentile(away[1 - k][borders[k]], 95)) for k in (0, 1))


def grown(mask: np.ndarray, by: float, sides: tuple[float, ...]) -> np.ndarray:
    """A mask with all voxels that lie within a distance in mm from it."""
    return edt.edt(~mask, anisotropy=sides) <= by


def draw(image: nib.Nifti1Image, masks: tuple[np.ndarray, np.ndarray], path: Path) -> None:
    """Three sections with both outlines: the program's in yellow, deepbet's in blue."""
    data = np.asarray(image.dataobj)
    centre = [int(c) for c in ndimage.center_of_mass(masks[1])]
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout='constrained')
    for axis, shown in enumerate(axes):
        shown.imshow(data.take(centre[axis], axis).T, cmap='gray', origin='lower')
        for mask, colour in zip(masks, ('yellow', 'deepskyblue'), strict=True):
            shown.contour(mask.take(centre[axis], axis).T, [0.5], colors=colour, linewidths=0.7)
        shown.axis('off')
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Print the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folders', type=Path, nargs='+')
    p.add_argument('--pictures', type=Path)
    args = p.parse_args()
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    extraction, values = BrainExtraction(no_gpu=True), []
    print(f'| scan | Dice | program, ml | deepbet, ml | borders apart, mm | Dice, grown by {GROWN:.0f} mm |')
    print('| --- | --- | --- | --- | --- | --- |')
    for out, bids in zip(args.folders[::2], args.folders[1::2], strict=True):
        for mask_file in sorted(out.rglob('*_desc-brain_mask.nii.gz')):
            stem = mask_file.name.replace('_desc-brain_mask.nii.gz', '')
            sidecar = mask_file.with_name(f'{stem}_desc-preproc_T1w.json')
            if not sidecar.exists() or json.loads(sidecar.read_text())['SkullStripped']:
                continue
            (scan,) = bids.rglob(f'{stem}_T1w.nii*')
            _, other, _ = extraction.run(str(scan))
            mask = nib.load(mask_file)
            other = resample_from_to(other, mask, order=0)
            pair = np.asarray(mask.dataobj) > 0, np.asarray(other.dataobj) > 0
            sides = tuple(map(float, voxel_sizes(mask.affine)))
            volumes = [m.sum() * float(np.prod(sides)) / 1000 for m in pair]
            values.append((dice(*pair), dice(grown(pair[0], GROWN, sides), pair[1])))
            apart = border_distance(*pair, sides)
            print(
                f'| {stem} | {values[-1][0]:.3f} | {volumes[0]:.0f} | {volumes[1]:.0f} | {apart:.1f} '
                f'| {values[-1][1]:.3f} |',
                flush=True,
            )
            if args.pictures:
                draw(nib.load(scan), pair, args.pictures / f'{stem}.png')
    mean, least = np.mean(values, 0), np.min(values, 0)
    print(f'mean Dice {mean[0]:.3f}, smallest {least[0]:.3f}; grown {mean[1]:.3f}, {least[1]:.3f}')


if __name__ == '__main__':
    main()
