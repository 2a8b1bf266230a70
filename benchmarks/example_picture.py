#!/usr/bin/env python3
"""The picture of the README: details of two axial slices of a scan, plain and with its spaces outlined.

    python benchmarks/example_picture.py BIDS_DIR OUT_DIR docs/images/example.webp

OUT_DIR is the output of `participant` for `sub-67` of OpenNeuro ds002748, from whom no model has learnt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from scipy.ndimage import map_coordinates

PERSON = 'sub-67'
#: Name of each detail, and its centre in mm of the scan (to the right, to the front, up).
DETAILS = {'White matter': (0.0, 38.0, 68.0), 'Basal ganglia': (1.0, 28.0, 12.0)}
#: Edge of a detail, length of the bar, and the voxels that are drawn, in mm.
EDGE, BAR, PIXEL = 72.0, 10.0, 0.2
YELLOW = '#fbc02d'
BOX = {'facecolor': '#303030', 'edgecolor': 'none', 'alpha': 0.8}


def cut(image: nib.Nifti1Image, centre: tuple[float, float, float], order: int) -> np.ndarray:
    """An axial detail; front is above, and the person's right on the right."""
    steps = np.arange(-EDGE / 2, EDGE / 2, PIXEL)
    x, y = np.meshgrid(centre[0] + steps, centre[1] - steps)
    points = np.stack([x, y, np.full_like(x, centre[2]), np.ones_like(x)])
    voxels = np.tensordot(np.linalg.inv(image.affine), points, 1)[:3]
    return map_coordinates(np.asarray(image.dataobj, np.float32), voxels, order=order)


def show(axes: Axes, section: np.ndarray, found: np.ndarray | None) -> None:
    """One detail, with the outlines of what was found."""
    low, high = np.percentile(section[section > 0], [2, 99.9])
    axes.imshow(section, cmap='gray', vmin=low, vmax=high, interpolation='bilinear')
    if found is not None:
        axes.contour(found, levels=[0.5], colors=[YELLOW], linewidths=1.8)
    axes.axis('off')


def draw(scan: nib.Nifti1Image, clusters: nib.Nifti1Image, path: Path) -> None:
    """Two rows of two details."""
    figure, rows = plt.subplots(len(DETAILS), 2, figsize=(12, 12), facecolor='white')
    mask = nib.Nifti1Image((np.asarray(clusters.dataobj) > 0).astype(np.float32), clusters.affine)
    for (name, centre), (plain, outlined) in zip(DETAILS.items(), rows, strict=True):
        section, found = cut(scan, centre, 3), cut(mask, centre, 0)
        show(plain, section, None)
        show(outlined, section, found)
        edge = len(section)
        plain.text(12, 12, name, color='w', size=18, weight='bold', va='top', bbox=BOX)
        end, bar = edge * 0.95, BAR / PIXEL
        plain.plot([end - bar, end], [edge * 0.95] * 2, color='w', lw=4, solid_capstyle='butt')
        plain.text(end - bar / 2, edge * 0.93, f'{BAR:.0f} mm', color='w', size=15, ha='center', bbox=BOX)
    rows[0, 1].text(
        0.98, 0.975, 'perivascular spaces outlined', transform=rows[0, 1].transAxes,
        color=YELLOW, size=16, ha='right', va='top', bbox=BOX,
    )  # fmt: skip
    figure.subplots_adjust(0, 0, 1, 1, 0.006, 0.006)
    figure.savefig(path, dpi=100, pil_kwargs={'quality': 85})
    plt.close(figure)


def main() -> None:
    """Draw the picture."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('bids_dir', type=Path)
    p.add_argument('out_dir', type=Path)
    p.add_argument('picture', type=Path)
    args = p.parse_args()
    anat = Path(PERSON, 'anat')
    scan = nib.load(args.bids_dir / anat / f'{PERSON}_T1w.nii.gz')
    clusters = nib.load(args.out_dir / anat / f'{PERSON}_desc-pvs_dseg.nii.gz')
    draw(scan, clusters, args.picture)


if __name__ == '__main__':
    main()
