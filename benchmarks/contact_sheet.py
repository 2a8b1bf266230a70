"""Figures of every predicted cluster, for visual inspection.

    python benchmarks/contact_sheet.py OUT_DIR SHEETS

OUT_DIR is the output of participant. A PNG file for every twenty clusters of a scan is written to SHEETS,
largest clusters first: axial, coronal and sagittal crops of 40 mm through the voxel nearest to the cluster's
centre, without outlines (above) and with them (below), with the cluster's number (`index` in its table),
volume and region.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from pvs_bidsapp.reports.figures import pyplot

ACROSS, DOWN, HALF_MM = 5, 4, 20.0
#: Axes perpendicular to the crops: axial, coronal, sagittal.
AXES = (2, 1, 0)


def crop(image: np.ndarray, centre: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Crop to `half` voxels on each side of `centre`; 0 beyond the scan."""
    low, high = centre - half, centre + half + 1
    inside = tuple(slice(max(0, int(a)), int(b)) for a, b in zip(low, high, strict=True))
    beyond = np.stack([np.maximum(-low, 0), np.maximum(high - image.shape, 0)], 1)
    return np.pad(image[inside], beyond.astype(int))


def draw_cluster(
    axes: np.ndarray,
    image: np.ndarray,
    predicted: np.ndarray,
    voxels: np.ndarray,
    row: pd.Series,
    zooms: np.ndarray,
) -> None:
    """Draw six crops of a cluster into axes of shape (2, 3)."""
    centre = voxels[np.abs((voxels - voxels.mean(0)) * zooms).sum(1).argmin()]
    half = np.rint(HALF_MM / zooms).astype(int)
    boxes = [crop(array, centre, half) for array in (image, predicted)]
    for column, axis in enumerate(AXES):
        section, inside = (np.take(box, half[axis], axis).T for box in boxes)
        low, high = np.percentile(section[section > 0], [1, 99.5]) if (section > 0).any() else (0, 1)
        aspect = np.delete(zooms, axis)[1] / np.delete(zooms, axis)[0]
        for ax, outlined in ((axes[0, column], False), (axes[1, column], True)):
            ax.imshow(section, origin='lower', cmap='gray', vmin=low, vmax=high, aspect=aspect)
            if outlined:
                ax.contour(inside, levels=[0.5], colors=['#ff2d2d'], linewidths=0.7)
    place = row['region'].replace('deep white matter', 'DWM')
    axes[0, 0].set_title(
        f'{row["index"]}: {row["volume_mm3"]:.1f} mm3, {place}', fontsize=8, color='w', loc='left'
    )


def draw_scan(folder: Path, sheets: Path) -> int:
    """Draw the figures of one scan; returns the number of clusters."""
    path = min(folder.glob('*_desc-preproc_T[12]w.nii.gz'))  # the T1w where there is one
    t1w = nib.as_closest_canonical(nib.load(path))
    (numbered,) = folder.glob('*_desc-pvs_dseg.nii.gz')
    clusters = np.asarray(nib.as_closest_canonical(nib.load(numbered)).dataobj)
    table = pd.read_csv(str(numbered).replace('.nii.gz', '.tsv'), sep='\t')
    image, zooms = t1w.get_fdata(dtype=np.float32), np.array(t1w.header.get_zooms()[:3], float)
    predicted, boxes = clusters > 0, ndimage.find_objects(clusters)
    plt = pyplot()
    for sheet, first in enumerate(range(0, len(table), ACROSS * DOWN), start=1):
        figure, axes = plt.subplots(
            2 * DOWN, 3 * ACROSS, figsize=(3 * ACROSS * 1.35, 2 * DOWN * 1.45), facecolor='k'
        )
        for ax in axes.ravel():
            ax.axis('off')
        for k, (_, row) in enumerate(table.iloc[first : first + ACROSS * DOWN].iterrows()):
            across, down = 3 * (k % ACROSS), 2 * (k // ACROSS)
            box = boxes[row['index'] - 1]
            voxels = np.argwhere(clusters[box] == row['index']) + [part.start for part in box]
            draw_cluster(axes[down : down + 2, across : across + 3], image, predicted, voxels, row, zooms)
        figure.subplots_adjust(0.005, 0.005, 0.995, 0.98, 0.02, 0.16)
        figure.savefig(sheets / f'{path.name.split("_desc-")[0]}_{sheet:02d}.png', dpi=90, facecolor='k')
        plt.close(figure)
    return len(table)


def main(out_dir: Path, sheets: Path) -> None:
    """Draw the figures of all scans."""
    sheets.mkdir(parents=True, exist_ok=True)
    for folder in sorted(out_dir.glob('sub-*/**/anat')):
        print(f'{folder.relative_to(out_dir).parent}: {draw_scan(folder, sheets)} clusters')


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
