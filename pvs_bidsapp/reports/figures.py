"""Pictures of one scan: mosaics of slices with outlines."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
from nibabel import orientations
from scipy import ndimage

_COLOURS = {'brain': '#ffd400', 'pvs': '#ff2d2d', 'deep': '#2f7ed8', 'bg': '#2ca02c', 'other': '#9467bd'}
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
        PNG files by ``desc``: ``brain``, ``regions``, ``pvs``, and ``t2w``.
    """
    images = [t1w, brain, regions, clusters] + ([t2w] if t2w is not None else [])
    images, zooms = _to_ras(images, affine)
    box = _box(images[1])
    t1w, brain, regions, clusters = (i[box] for i in images[:4])
    found = clusters > 0
    made = {
        'brain': _mosaic(t1w, zooms, [(brain > 0, _COLOURS['brain'])], folder / 'brain.png'),
        'regions': _mosaic(t1w, zooms, _region_outlines(regions), folder / 'regions.png'),
        'pvs': _overlay(t1w, zooms, found, folder / 'pvs.png'),
    }
    if t2w is not None:
        edges = _edges(t1w, brain > 0)
        made['t2w'] = _mosaic(images[4][box], zooms, [(edges, _COLOURS['brain'])], folder / 't2w.png')
    return made


def _to_ras(images: list[np.ndarray], affine: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    codes = orientations.io_orientation(affine)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)[np.argsort(codes[:, 0])]
    return [orientations.apply_orientation(i, codes) for i in images], zooms


def _box(brain: np.ndarray) -> tuple[slice, ...]:
    """The brain with a margin that shows what lies outside the mask."""
    found = np.argwhere(brain > 0)
    if not len(found):
        return (slice(None),) * 3
    low, high = found.min(0), found.max(0)
    return tuple(slice(max(0, a - 12), b + 13) for a, b in zip(low, high, strict=True))


def _region_outlines(regions: np.ndarray) -> list[tuple[np.ndarray, str]]:
    return [
        ((regions > 0) & (regions < 20), _COLOURS['deep']),
        ((regions > 20) & (regions < 30), _COLOURS['bg']),
        (regions > 30, _COLOURS['other']),
    ]


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


def _overlay(image: np.ndarray, zooms: np.ndarray, found: np.ndarray, path: Path) -> Path:
    """Up to twelve axial slices with the most PVS, each plain above and outlined below."""
    plt = pyplot()
    counts = found.sum((0, 1))
    inner = _spread(image.shape[2], 6)[1:-1]
    chosen = _busiest(counts, 12, int(max(2, round(4 / zooms[2])))) if counts.any() else inner
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    height = 17.5 / columns * image.shape[1] * zooms[1] / (image.shape[0] * zooms[0])
    figure, axes = plt.subplots(
        2 * rows, columns, figsize=(17.5, 2 * rows * height), facecolor='black', squeeze=False
    )
    low, high = _window(image)
    for n, k in enumerate(chosen):
        row, column = 2 * (n // columns), n % columns
        for ax, outlined in ((axes[row, column], False), (axes[row + 1, column], True)):
            _draw(ax, image, 2, k, zooms, low, high)
            if outlined and found[:, :, k].any():
                ax.contour(found[:, :, k].T, levels=[0.5], colors=[_COLOURS['pvs']], linewidths=1.0)
    for ax in axes.flat:
        ax.axis('off')
    return _save(plt, figure, path)


def _busiest(counts: np.ndarray, number: int, gap: int) -> list[int]:
    """Slices with the most voxels, at least `gap` apart, from the lowest to the highest."""
    chosen: list[int] = []
    for k in np.argsort(-counts, kind='stable'):
        if counts[k] and all(abs(int(k) - c) >= gap for c in chosen):
            chosen.append(int(k))
        if len(chosen) == number:
            break
    return sorted(chosen)


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

    mpl.use('Agg')
    import matplotlib.pyplot as plt

    return plt


def _save(plt: object, figure: object, path: Path) -> Path:
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0.01)  # type: ignore[attr-defined]
    figure.savefig(path, dpi=80, facecolor='black')  # type: ignore[attr-defined]
    plt.close(figure)  # type: ignore[attr-defined]
    return path
