"""The axial sections that decide the estimated visual grades."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..anatomy.acpc import Frame
from ..clusters.visual_grades import Grade
from .figures import pyplot

#: Grades whose sections are drawn: what they are called, and the height (mm) that is shown if there are none.
SHOWN = {
    'potter_basal_ganglia': ('basal ganglia', 3.0),
    'potter_centrum_semiovale': ('centrum semiovale', 35.0),
    'potter_midbrain': ('midbrain', -12.0),
}
#: Extent of a section in mm: rightward and forward of the anterior commissure, from and to.
EXTENT = ((-75, 75), (-115, 75))
#: Pixel size in mm.
PIXEL = 0.5
_OUTLINE = '#d55e00'


def draw_grades(
    t1w: np.ndarray,
    affine: np.ndarray,
    clusters: np.ndarray,
    frame: Frame,
    grades: Mapping[str, Grade],
    folder: Path,
) -> Path:
    """Draw the sections in which the PVS of the Potter grades are counted, plain and with outlines.

    Parameters
    ----------
    t1w : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    clusters : ndarray of int, shape (x, y, z)
    frame : Frame
        The scan's AC-PC frame.
    grades : mapping of str to Grade
    folder : Path

    Returns
    -------
    path : Path
        A PNG file.
    """
    plt = pyplot()
    figure, axes = plt.subplots(2, len(SHOWN), figsize=(4 * len(SHOWN), 10), facecolor='black')
    found = clusters > 0
    for column, (key, (name, middle)) in zip(axes.T, SHOWN.items(), strict=True):
        grade = grades[key]
        places = _section(frame, middle if grade.height is None else grade.height, affine)
        image = ndimage.map_coordinates(t1w, places, order=1)
        outline = ndimage.map_coordinates(found.astype(np.float32), places, order=1)
        top = float(np.percentile(image, 99.5)) or 1.0
        for ax in column:
            ax.imshow(image.T, origin='lower', cmap='gray', vmin=0, vmax=top)
            ax.axis('off')
        if outline.max() > 0.5:
            column[1].contour(outline.T, levels=[0.5], colors=_OUTLINE, linewidths=0.9)
        column[0].set_title(_title(name, grade), color='white', fontsize=11)
    figure.subplots_adjust(0, 0, 1, 0.94, wspace=0.01, hspace=0.01)
    path = folder / 'grades.png'
    figure.savefig(path, dpi=80, facecolor='black')
    plt.close(figure)
    return path


def _title(name: str, grade: Grade) -> str:
    if grade.height is None:
        return f'{name}: none found'
    side = '' if grade.hemisphere == 'both' else f' on the {grade.hemisphere}'
    return f'{name}: {grade.count} in one section{side},\n{grade.height:+.0f} mm from the AC-PC plane'


def _section(frame: Frame, height: float, affine: np.ndarray) -> np.ndarray:
    """Voxel coordinates of the pixels of a section, shape (3, x, y)."""
    right, forward = (np.arange(low, high, PIXEL) for low, high in EXTENT)
    points = (
        frame.origin
        + right[:, None, None] * frame.axes[0]
        + forward[None, :, None] * frame.axes[1]
        + height * frame.axes[2]
    )
    inverse = np.linalg.inv(affine)
    return np.moveaxis(points @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)
