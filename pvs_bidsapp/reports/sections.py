"""The axial sections that decide the estimated visual grades."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from ..anatomy.acpc import Frame
from ..anatomy.regions import indices_of
from ..clusters.visual_grades import Grade, section_numbers, section_thickness
from .figures import pyplot

#: Grades whose sections are drawn: what is counted (a total of `TOTALS`), what they are called, and the
#: height (mm) that is shown if there are none.
SHOWN = {
    'potter_basal_ganglia': ('basal ganglia', 'Potter, basal ganglia', 3.0),
    'potter_centrum_semiovale': ('deep white matter', 'Potter, centrum semiovale', 35.0),
    'potter_midbrain': ('midbrain', 'Potter, midbrain', -12.0),
    'zhu_basal_ganglia': ('basal ganglia', 'Zhu, basal ganglia', 3.0),
    'zhu_white_matter': ('deep white matter', 'Zhu, white matter', 35.0),
}
#: Extent of a section in mm: rightward and forward of the anterior commissure, from and to.
EXTENT = ((-75, 75), (-115, 75))
#: Pixel size in mm, and planes that are looked through in the thickness of a section.
PIXEL, PLANES = 0.5, 9
#: Colours of the spaces that are counted, and of others in the section.
COUNTED, OTHERS = '#d55e00', '#9a9a9a'


def draw_grades(
    t1w: np.ndarray,
    affine: np.ndarray,
    clusters: np.ndarray,
    owners: np.ndarray,
    frame: Frame,
    grades: Mapping[str, Grade],
    folder: Path,
) -> Path:
    """Draw the sections in which the PVS of the grades are counted, plain and with outlines.

    Parameters
    ----------
    t1w : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ mm.
    clusters : ndarray of int, shape (x, y, z)
    owners : ndarray of int, shape (n + 1,)
        Index of the region of each cluster, see `pvs_bidsapp.clusters.burden.cluster_owners`.
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
    thickness = section_thickness(affine, frame)
    voxels = np.argwhere(clusters > 0)
    numbers = section_numbers(frame.heights(apply_affine(affine, voxels)), thickness)
    figure, axes = plt.subplots(2, len(SHOWN), figsize=(4 * len(SHOWN), 10), facecolor='black')
    for column, (key, (total, name, middle)) in zip(axes.T, SHOWN.items(), strict=True):
        grade = grades[key]
        height = middle if grade.height is None else grade.height
        image = ndimage.map_coordinates(t1w, _section(frame, height, affine), order=1)
        top = float(np.percentile(image, 99.5)) or 1.0
        for ax in column:
            ax.imshow(image.T, origin='lower', cmap='gray', vmin=0, vmax=top)
            ax.axis('off')
        is_counted = np.isin(owners, indices_of(total, grade.hemisphere))
        places = [_section(frame, z, affine) for z in height + np.linspace(-thickness, thickness, PLANES)]
        in_section = _through(clusters, voxels[numbers == round(height / thickness)], places)
        for chosen, colour, width in ((~is_counted, OTHERS, 0.6), (is_counted, COUNTED, 1.0)):
            outline: np.ndarray = ((in_section > 0) & chosen[in_section]).any(0)
            if outline.any():
                column[1].contour(outline.T, levels=[0.5], colors=colour, linewidths=width)
        column[0].set_title(_title(name, grade), color='white', fontsize=11)
    figure.subplots_adjust(0, 0, 1, 0.92, wspace=0.01, hspace=0.01)
    path = folder / 'grades.png'
    figure.savefig(path, dpi=80, facecolor='black')
    plt.close(figure)
    return path


def _through(clusters: np.ndarray, voxels: np.ndarray, places: list[np.ndarray]) -> np.ndarray:
    """Numbers of the clusters of a section, whose voxels these are, in planes; shape (planes, x, y)."""
    inside, at = np.zeros_like(clusters), tuple(voxels.T)
    inside[at] = clusters[at]
    return np.stack([ndimage.map_coordinates(inside, place, order=0) for place in places])


def _title(name: str, grade: Grade) -> str:
    if grade.height is None:
        return f'{name}:\nnone found'
    side = '' if grade.hemisphere == 'both' else f' on the {grade.hemisphere}'
    return f'{name}:\n{grade.count} in one section{side},\n{grade.height:+.0f} mm from the AC-PC plane'


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
