"""A figure of simulated heads with the outlines of their known perivascular spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ..runtime.files import atomic_write
from .figures import pyplot

#: Heights of the axial slices as fractions of the brain's height: basal ganglia, centrum semiovale.
LEVELS = (0.45, 0.72)


def draw_gallery(bids_dir: Path, labels_dir: Path, path: Path, *, most: int = 6) -> Path | None:
    """Axial slices of the first heads, plain and with outlines of the known spaces; T1w and T2w.

    Parameters
    ----------
    bids_dir, labels_dir : Path
        The simulated dataset, and its ground truth.
    path : Path
        PNG file to write.
    most : int
        Largest number of heads that are shown.

    Returns
    -------
    path : Path or None
        None if there is no scan.
    """
    scans = sorted(bids_dir.rglob('sub-*_T1w.nii.gz'))
    scans = [s for s in scans if 'derivatives' not in s.relative_to(bids_dir).parts][:most]
    if not scans:
        return None
    plt = pyplot()
    figure, axes = plt.subplots(
        len(scans), 6, figsize=(18, 3.5 * len(scans)), facecolor='black', squeeze=False
    )
    for row, scan in zip(axes, scans, strict=True):
        _draw_head(row, scan, labels_dir / scan.parent.relative_to(bids_dir))
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0.01)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=70, facecolor='black', format='png')
    plt.close(figure)
    return path


def _draw_head(row: np.ndarray, scan: Path, labels: Path) -> None:
    t1w = nib.as_closest_canonical(nib.load(scan))
    mask, brain_mask = (
        nib.as_closest_canonical(nib.load(labels / scan.name.replace('_T1w', f'_{name}')))
        for name in ('label-PVS_mask', 'desc-brain_mask')
    )
    brain = np.asarray(brain_mask.dataobj) > 0
    across, up = t1w.header.get_zooms()[:2]
    reference = np.asarray(mask.dataobj) > 0
    image = np.asarray(t1w.dataobj, np.float32)
    found = np.argwhere(brain)
    low, high = found.min(0) - 4, found.max(0) + 5
    box = tuple(slice(max(0, a), b) for a, b in zip(low, high, strict=True))
    other = _on_grid(scan.with_name(scan.name.replace('_T1w', '_T2w')), t1w)
    for k, level in enumerate(LEVELS):
        z = int(found[:, 2].min() + level * np.ptp(found[:, 2]))
        section: Any = (*box[:2], z)
        for column, (source, outlined) in enumerate(((image, False), (image, True), (other, False))):
            ax = row[3 * k + column]
            ax.axis('off')
            if source is None:
                continue
            top = np.percentile(source[brain], 99.8)
            ax.imshow(source[section].T, origin='lower', cmap='gray', vmin=0, vmax=top, aspect=up / across)
            if outlined and reference[section].any():
                ax.contour(reference[section].T, levels=[0.5], colors=['#ff2d2d'], linewidths=0.7)


def _on_grid(path: Path, like: nib.Nifti1Image) -> np.ndarray | None:
    from nibabel.processing import resample_from_to

    if not path.exists():
        return None
    return resample_from_to(nib.load(path), like, order=1).get_fdata(dtype=np.float32)
