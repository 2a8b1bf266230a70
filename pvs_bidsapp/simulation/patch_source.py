"""Label maps prepared for the drawing of training patches.

All that a patch needs to know of a voxel of the label map (its structure, its distances to the surfaces of
other structures) is computed once and stored side by side in eight bytes, so that a patch gets it with one
look-up per voxel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from . import label_maps as codes
from .label_maps import Anatomy, brain_mask, crop, distance
from .vessels import lenticulostriate_sources, medullary_gradient

#: What each byte of a voxel holds: number of the label, region, and distances to surfaces.
LABEL, REGION, VENTRICLE, CORTEX, FLUID, WHITE, BRAIN, PUTAMEN = range(8)
#: Regions with PVS by their number, from 1; the names are keys of the generator's populations.
REGIONS = ('white-matter', 'basal-ganglia', 'thalamus', 'midbrain', 'hippocampus')
#: Steps of a stored distance per mm, and the stored value of a surface. Inside of a structure, distances are
#: negative.
STEPS, SURFACE = 6.0, 128
#: Part of the head that is kept around the brain, in mm.
HEAD_MARGIN = 14.0
#: Depth of the midbrain below the top of the brainstem, in mm.
MIDBRAIN_DEPTH = 22.0
#: Every n-th voxel along each axis has a direction of vessels.
COARSE = 2
#: Every n-th voxel of a region is kept as a possible centre of a patch.
CENTRE_STEP = 23


@dataclass(frozen=True, kw_only=True)
class PatchSource:
    """A label map with all that the drawing of a patch looks up.

    Attributes
    ----------
    name : str
    voxels : ndarray of uint8, shape (x, y, z, 8)
        Axes in RAS order. The bytes are those of `LABEL` to `PUTAMEN`: number of the label in `labels`;
        number of the region in `REGIONS`, from 1, or 0; distances to the surface of ventricles, cortex, CSF
        around the brain, white matter, brain and putamen (see `millimetres`).
    labels : ndarray of int16, shape (n,)
        FreeSurfer code by the number of a label.
    directions : ndarray of float16, shape (x, y, z, 3)
        Direction of the vessels, of any length, at every `COARSE`-th voxel.
    spacing : ndarray, shape (3,)
        Voxel size of the label map in mm.
    """

    name: str
    voxels: np.ndarray
    labels: np.ndarray
    directions: np.ndarray
    spacing: np.ndarray

    @cached_property
    def centres(self) -> dict[str, np.ndarray]:
        """Some voxels of each region that is there, as possible centres of patches, shape (n, 3)."""
        found, regions = {}, np.ascontiguousarray(self.voxels[..., REGION])
        inside = np.flatnonzero(regions)
        numbers = regions.ravel()[inside]
        for number, name in enumerate(REGIONS, start=1):
            flat = inside[numbers == number]
            flat = flat[:: CENTRE_STEP if flat.size > 10 * CENTRE_STEP else 1]
            if flat.size:
                found[name] = np.stack(np.unravel_index(flat, regions.shape), 1)
        return found


def write_source(source: PatchSource, path: Path) -> None:
    """Write a prepared label map.

    Parameters
    ----------
    source : PatchSource
    path : Path
        ``.npz``; uncompressed, so that it is read quickly.
    """
    np.savez(path, **source_arrays(source))


def read_source(path: Path) -> PatchSource:
    """Read a prepared label map.

    Parameters
    ----------
    path : Path
        As `write_source` wrote it.
    """
    with np.load(path) as arrays:
        return source_from(arrays)


def source_arrays(source: PatchSource) -> dict[str, Any]:
    """A prepared label map as arrays by name, for a file."""
    return {each.name: np.asarray(getattr(source, each.name)) for each in fields(PatchSource)}


def source_from(arrays: Mapping[str, np.ndarray]) -> PatchSource:
    """A prepared label map from its arrays, as `source_arrays` gives them."""
    return PatchSource(
        name=str(arrays['name']),
        voxels=arrays['voxels'],
        labels=arrays['labels'],
        directions=arrays['directions'],
        spacing=arrays['spacing'],
    )


def millimetres(stored: np.ndarray) -> np.ndarray:
    """Distances in mm, float32, from their stored values; negative inside of a structure."""
    return (stored.astype(np.float32) - SURFACE) / np.float32(STEPS)


def prepare_source(anatomy: Anatomy) -> PatchSource:
    """Prepare the part of a label map about the brain.

    Parameters
    ----------
    anatomy : Anatomy
        As `pvs_bidsapp.simulation.label_maps.load_label_map` returns it.
    """
    return source_of(crop(anatomy, HEAD_MARGIN))


def source_of(anatomy: Anatomy) -> PatchSource:
    """Prepare a label map, all of it.

    Parameters
    ----------
    anatomy : Anatomy
    """
    spacing = anatomy.spacing
    labels, numbers = np.unique(anatomy.labels, return_inverse=True)
    ventricles, cortex = anatomy.select(*codes.VENTRICLES), anatomy.select(*codes.CORTEX)
    voxels = np.empty((*anatomy.labels.shape, 8), np.uint8)
    voxels[..., LABEL] = numbers.reshape(anatomy.labels.shape)
    voxels[..., REGION] = _regions(anatomy)
    for place, mask in (
        (VENTRICLE, ventricles),
        (CORTEX, cortex),
        (FLUID, anatomy.select(24)),
        (WHITE, anatomy.select(*codes.WHITE_MATTER)),
        (BRAIN, brain_mask(anatomy)),
        (PUTAMEN, anatomy.select(*codes.PUTAMEN)),
    ):
        voxels[..., place] = _stored_distance(mask, spacing)
    return PatchSource(
        name=anatomy.name,
        voxels=voxels,
        labels=labels.astype(np.int16),
        directions=_directions(anatomy, voxels[..., REGION], ventricles, cortex),
        spacing=spacing,
    )


def _stored_distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Distance to the surface of a mask, halfway between its voxels and the others, as it is stored."""
    half = float(spacing.mean()) / 2
    signed = np.where(mask, half - distance(~mask, spacing), distance(mask, spacing) - half)
    return np.clip(np.rint(SURFACE + STEPS * signed), 0, 255).astype(np.uint8)


def _regions(anatomy: Anatomy) -> np.ndarray:
    """Number of the region with PVS of each voxel."""
    brainstem = anatomy.select(*codes.BRAINSTEM, *codes.VENTRAL_DC)
    slices = np.flatnonzero(brainstem.any((0, 1)))
    if slices.size:
        brainstem[:, :, : max(0, slices[-1] - int(MIDBRAIN_DEPTH / anatomy.spacing[2]))] = False
    masks = {
        'white-matter': anatomy.select(*codes.WHITE_MATTER),
        'basal-ganglia': anatomy.select(*codes.BASAL_GANGLIA, *codes.ACCUMBENS),
        'thalamus': anatomy.select(*codes.THALAMUS),
        'midbrain': brainstem,
        'hippocampus': anatomy.select(*codes.HIPPOCAMPUS),
    }
    regions = np.zeros(anatomy.labels.shape, np.uint8)
    for number, name in enumerate(REGIONS, start=1):
        regions[masks[name]] = number
    return regions


def _directions(
    anatomy: Anatomy, regions: np.ndarray, ventricles: np.ndarray, cortex: np.ndarray
) -> np.ndarray:
    """Directions of vessels: toward the ventricle in white matter, fanning out upward in the deep nuclei."""
    spacing = anatomy.spacing
    to_ventricle, to_cortex = distance(ventricles, spacing), distance(cortex, spacing)
    directions = np.stack(medullary_gradient(to_ventricle, to_cortex, spacing, COARSE), -1)
    directions /= np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-6)
    coarse = regions[(slice(None, None, COARSE),) * 3]
    deep = np.argwhere((coarse == 2) | (coarse == 3))
    if len(deep) and (sources := lenticulostriate_sources(anatomy)):
        points, starts = deep * COARSE * spacing, np.array(sources)
        nearest = np.abs(points[:, :1] - starts[None, :, 0]).argmin(1)
        away = points - starts[nearest]
        directions[tuple(deep.T)] = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    for number, vector in ((4, (0.3, 0.2, 1.0)), (5, (0.2, 1.0, 0.3))):
        directions[coarse == number] = vector
    return directions.astype(np.float16)
