"""Pictures of one scan: mosaics of slices with outlines, and all spaces seen through the brain."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from nibabel import orientations
from scipy import ndimage

from ..anatomy.regions import REGIONS
from ..clusters.burden import cluster_owners
from .contact_sheet import draw_sheet
from .palette import GROUPS, OTHER, RegionGroup, group_of

_BRAIN = '#f0e442'
_PLANES = {'sagittal': 0, 'coronal': 1, 'axial': 2}


def draw_all(
    t1w: np.ndarray,
    affine: np.ndarray,
    *,
    brain: np.ndarray,
    regions: np.ndarray,
    clusters: np.ndarray,
    t2w: np.ndarray | None,
    folder: Path,
) -> dict[str, Path]:
    """Draw the pictures of a report.

    Parameters
    ----------
    t1w : ndarray, shape (x, y, z)
    affine : ndarray, shape (4, 4)
    brain, regions, clusters : ndarray of int
        On the T1w's grid.
    t2w : ndarray or None
        On the T1w's grid.
    folder : Path

    Returns
    -------
    figures : dict of str to Path
        WebP files by ``desc``: ``glass``, ``clusters``, ``brain``, ``regions``, and ``t2w``.
    """
    images = [t1w, brain, regions, clusters] + ([t2w] if t2w is not None else [])
    images, zooms = _to_ras(images, affine)
    box = _box(images[1])
    t1w, brain, regions, clusters = (i[box] for i in images[:4])
    paths = {desc: folder / f'{desc}.webp' for desc in ('glass', 'clusters', 'brain', 'regions', 't2w')}
    made = {
        'glass': _glass_brain(brain > 0, zooms, cluster_owners(clusters, regions)[clusters], paths['glass']),
        'clusters': draw_sheet(t1w, zooms, brain, regions, clusters, paths['clusters']),
        'brain': _mosaic(t1w, zooms, [(brain > 0, _BRAIN)], paths['brain']),
        'regions': _mosaic(t1w, zooms, _region_outlines(regions), paths['regions']),
    }
    if t2w is not None:
        edges = _edges(t1w, brain > 0)
        made['t2w'] = _mosaic(images[4][box], zooms, [(edges, _BRAIN)], paths['t2w'])
    return made


def _to_ras(images: list[np.ndarray], affine: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    codes = orientations.io_orientation(affine)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)[np.argsort(codes[:, 0])]
    return [orientations.apply_orientation(i, codes) for i in images], zooms


def _box(brain: np.ndarray) -> tuple[slice, ...]:
    """The brain with a margin that shows what lies outside the mask."""
    inside = brain > 0
    if not inside.any():
        return (slice(None),) * 3
    lit = [np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(slice(max(0, int(part[0]) - 12), int(part[-1]) + 13) for part in lit)


def _by_group(regions: np.ndarray) -> list[tuple[RegionGroup, np.ndarray]]:
    """The groups of regions, each with its part of the region map."""
    groups = (*GROUPS, OTHER)
    code_of = np.zeros(256, np.uint8)
    for region in REGIONS:
        code_of[region.index] = 1 + groups.index(group_of(region.name))
    codes = code_of[regions]
    return [(group, codes == k) for k, group in enumerate(groups, 1) if k in code_of]


def _region_outlines(regions: np.ndarray) -> list[tuple[np.ndarray, str]]:
    return [(mask, group.colour) for group, mask in _by_group(regions)]


def _glass_brain(brain: np.ndarray, zooms: np.ndarray, owners: np.ndarray, path: Path) -> Path:
    """All spaces, coloured by the region that each belongs to, projected from four sides.

    `owners` has the index of this region in the voxels of clusters, 0 elsewhere.
    """
    plt = pyplot()
    middle = brain.shape[0] // 2
    halves = (slice(None, middle), slice(middle, None))
    views = [
        ('left hemisphere', (halves[0], slice(None), slice(None)), 0, True),
        ('right hemisphere', (halves[1], slice(None), slice(None)), 0, False),
        ('from behind', (slice(None),) * 3, 1, False),
        ('from above', (slice(None),) * 3, 2, False),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(17.5, 5.2), facecolor='black')
    parts = _by_group(owners)
    for ax, (title, half, axis, is_mirrored) in zip(axes, views, strict=True):
        across, up = [z for j, z in enumerate(zooms) if j != axis]
        depth = brain[half].mean(axis)
        picture = np.repeat(0.3 * depth[..., None] / max(float(depth.max()), 1e-6), 3, axis=2)
        for group, mask in parts:
            picture[mask[half].any(axis)] = np.array(group.rgb) / 255
        if is_mirrored:  # the left hemisphere seen from the left: its front on the left
            picture, depth = picture[::-1], depth[::-1]
        ax.imshow(picture.swapaxes(0, 1), origin='lower', aspect=up / across, interpolation='nearest')
        if depth.any() and not depth.all():
            ax.contour(depth.T > 0, levels=[0.5], colors=['#999999'], linewidths=0.8)
        ax.set_title(title, color='white', fontsize=12)
        ax.axis('off')
    present = [group for group, mask in parts if mask.any()]
    marks = [plt.Line2D([], [], color=g.colour, marker='s', linestyle='', label=g.name) for g in present]
    if marks:
        figure.legend(
            handles=marks,
            loc='lower center',
            ncols=len(marks),
            frameon=False,
            labelcolor='white',
            fontsize=12,
        )
    figure.subplots_adjust(0, 0.07, 1, 0.93, 0.01, 0.01)
    return _write(plt, figure, path)


def _edges(t1w: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Dark parts of the brain in the T1w: in the T2w, their outline should follow the same structures."""
    middle = np.median(t1w[brain]) if brain.any() else 0
    return (ndimage.gaussian_filter(t1w, 0.7) < 0.6 * middle) & brain


def _window(image: np.ndarray) -> tuple[float, float]:
    inside = image[image > 0]
    return (0.0, float(np.percentile(inside, 99.5))) if inside.size else (0.0, 1.0)


def _mosaic(image: np.ndarray, zooms: np.ndarray, outlines: list[tuple[np.ndarray, str]], path: Path) -> Path:
    """Seven slices of each plane, from end to end, with outlines."""
    plt = pyplot()
    figure, axes = plt.subplots(3, 7, figsize=(17.5, 8.4), facecolor='black')
    low, high = _window(image)
    for row, axis in enumerate(_PLANES.values()):
        for ax, k in zip(axes[row], _spread(image.shape[axis], 7), strict=True):
            _draw(ax, image, axis, k, zooms, low, high)
            for mask, colour in outlines:
                section = _section(mask, axis, k)
                if section.any() and not section.all():
                    ax.contour(section.T, levels=[0.5], colors=[colour], linewidths=0.8)
    return _save(plt, figure, path)


def _spread(size: int, number: int) -> list[int]:
    return [int(v) for v in np.linspace(0.08 * size, 0.92 * size - 1, number)]


def _section(image: np.ndarray, axis: int, k: int) -> np.ndarray:
    """A slice of an image, as a view: `ndarray.take` reads all of the image in some memory orders."""
    return np.moveaxis(image, axis, 0)[k]


def _draw(
    ax: object, image: np.ndarray, axis: int, k: int, zooms: np.ndarray, low: float, high: float
) -> None:
    across, up = [z for j, z in enumerate(zooms) if j != axis]
    ax.imshow(  # type: ignore[attr-defined]
        _section(image, axis, k).T, origin='lower', cmap='gray', vmin=low, vmax=high,
        aspect=up / across, interpolation='nearest',
    )  # fmt: skip
    ax.axis('off')  # type: ignore[attr-defined]


def pyplot() -> ModuleType:
    """Matplotlib's pyplot without a display; imported where it is needed, since it takes half a second."""
    import matplotlib as mpl

    if 'matplotlib.pyplot' not in sys.modules:  # a notebook that has imported it shows its figures as before
        mpl.use('Agg')
    import matplotlib.pyplot as plt

    return plt


def _save(plt: object, figure: object, path: Path) -> Path:
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0.01)  # type: ignore[attr-defined]
    return _write(plt, figure, path)


def _write(plt: object, figure: object, path: Path) -> Path:
    """Write and close a figure; WebP takes a fifth of the size of PNG."""
    figure.savefig(path, dpi=80, facecolor='black', pil_kwargs={'quality': 85})  # type: ignore[attr-defined]
    plt.close(figure)  # type: ignore[attr-defined]
    return path
