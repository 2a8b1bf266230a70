"""The contact sheet of a subject's page: every cluster in its axial section, plain and outlined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from ..anatomy.regions import REGIONS
from .palette import OTHER, group_of

#: Pixels and millimetres of the side of a picture, and pairs of pictures in a row.
TILE, EXTENT, COLUMNS = 72, 24.0, 16
#: Clusters on a sheet: a WebP picture has at most 16383 rows of pixels.
MOST = 3500
#: Percentiles of the brain's intensities that are shown as black and white.
WINDOW = (2.0, 99.5)
_QUALITY = 75


def draw_sheet(
    t1w: np.ndarray,
    zooms: np.ndarray,
    brain: np.ndarray,
    regions: np.ndarray,
    clusters: np.ndarray,
    path: Path,
) -> Path:
    """Draw the clusters by their number, which is the order of their volume, `COLUMNS` in a row.

    Each takes `TILE` x 2 `TILE` pixels: the section that holds most of its voxels, without and with outlines.

    Parameters
    ----------
    t1w : ndarray, shape (x, y, z)
        In the order right, anterior, superior, as the images below.
    zooms : ndarray, shape (3,)
        Voxel sizes in mm.
    brain, regions, clusters : ndarray of int, shape (x, y, z)
    path : Path
        WebP file.
    """
    from PIL import Image

    shown = min(int(clusters.max()), MOST)
    rows = max(1, -(-shown // COLUMNS))
    sheet = np.zeros((rows * TILE, COLUMNS * 2 * TILE, 3), np.uint8)
    low, high = np.percentile(t1w[brain > 0], WINDOW) if (brain > 0).any() else (0.0, 1.0)
    grey = np.clip((t1w - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    for k, box in enumerate(ndimage.find_objects(clusters, shown)):
        if box is None:
            continue
        row, column = divmod(k, COLUMNS)
        top, left = row * TILE, column * 2 * TILE
        pair = _pair(grey, zooms, regions, clusters, box, k + 1)
        sheet[top : top + TILE, left : left + 2 * TILE] = pair
    Image.fromarray(sheet).save(path, format='WEBP', quality=_QUALITY, method=4)
    return path


def _pair(
    grey: np.ndarray,
    zooms: np.ndarray,
    regions: np.ndarray,
    clusters: np.ndarray,
    box: tuple[slice, ...],
    index: int,
) -> np.ndarray:
    """A cluster's section, plain on the left and outlined on the right; uint8, shape (tile, 2 tile, 3)."""
    own = clusters[box] == index
    k = int(own.sum((0, 1)).argmax())
    x, y = np.argwhere(own[:, :, k]).mean(0)
    x, y, z = x + box[0].start, y + box[1].start, k + box[2].start
    steps = (np.arange(TILE) - (TILE - 1) / 2) * EXTENT / TILE  # mm
    grid = np.meshgrid(x + steps / zooms[0], y - steps / zooms[1], indexing='xy')
    plain = ndimage.map_coordinates(grey[:, :, z], grid, order=1, mode='constant')
    labels, areas = (
        ndimage.map_coordinates(image[:, :, z], grid, order=0, mode='constant')
        for image in (clusters, regions)
    )
    plain = np.repeat(np.rint(255 * plain)[..., None], 3, axis=2)
    outlined = plain.copy()
    edge = _outline(labels)
    outlined[edge] = 0.5 * outlined[edge] + 0.5 * 200
    values = areas[labels == index]
    outlined[_outline(labels == index)] = colour_of(int(np.bincount(values).argmax()) if values.size else 0)
    return np.hstack([plain, outlined])


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels around a mask: what it marks stays visible."""
    inside = mask > 0
    return ndimage.binary_dilation(inside, np.ones((3, 3))) & ~inside


def colour_of(region: int) -> tuple[int, int, int]:
    """Colour of a value of the region map."""
    name = next((r.name for r in REGIONS if r.index == region), '')
    return (group_of(name) if name else OTHER).rgb
