"""The input of a network, made from a bias corrected scan and its anatomy.

There is one preparation for all uses: a participant run segments a `NetworkInput`, training caches its
arrays, and validation rebuilds it from the cached arrays. The input of a network is therefore always
prepared as in its training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes
from scipy.ndimage import maximum_filter1d

from ..anatomy.resampling import Grid, resample
from .grid import Spacing, network_grid
from .intensity import TissueNormalization, measure_levels


@dataclass(frozen=True, kw_only=True)
class BrainAnatomy:
    """Brain mask and tissue classes of a scan, on a grid that need not be the scan's own.

    Attributes
    ----------
    brain : ndarray of bool, shape (x, y, z)
    tissues : ndarray of int, shape (x, y, z)
        Classes of `pvs_bidsapp.anatomy.tissues`: 1 CSF, 2 grey matter, 3 white matter.
    affine : ndarray, shape (4, 4)
        Voxel to scanner RAS+ millimetres, of both arrays.
    """

    brain: np.ndarray
    tissues: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True, kw_only=True)
class NetworkInput:
    """A scan on a network's grid, in a network's intensities.

    Attributes
    ----------
    image : ndarray of float32, shape (channels, x, y, z)
        Normalized, not masked.
    brain : ndarray of bool, shape (x, y, z)
    grid : Grid
        The network's grid, on which `image` and `brain` are.
    native_grid : Grid
        The grid on which the probability is wanted.
    normalization : TissueNormalization
    """

    image: np.ndarray
    brain: np.ndarray
    grid: Grid
    native_grid: Grid
    normalization: TissueNormalization

    @classmethod
    def build(
        cls,
        channels: Sequence[np.ndarray],
        native_grid: Grid,
        anatomy: BrainAnatomy,
        *,
        normalization: TissueNormalization,
        spacing: Spacing,
        box: tuple[int, int, int],
    ) -> NetworkInput:
        """Resample and normalize a scan.

        Parameters
        ----------
        channels : sequence of ndarray, shape (x, y, z)
            One image per channel, bias corrected, all on `native_grid`.
        native_grid : Grid
            The scan's own grid. Its voxel sizes are kept where `spacing` allows.
        anatomy : BrainAnatomy
        normalization : TissueNormalization
        spacing : float or tuple of float
            Voxel size of the network's grid in mm, or its smallest and largest value.
        box : tuple of int
            Smallest shape of the network's grid, in voxels.

        Raises
        ------
        ImageError
            If white matter and CSF cannot be told apart in a channel.
        """
        native_brain = resample(anatomy.brain, anatomy.affine, native_grid, order=0) > 0.5
        grid = network_grid(native_brain, native_grid.affine, spacing=spacing, box=box)
        brain = resample(anatomy.brain, anatomy.affine, grid, order=0) > 0.5
        tissues = np.rint(resample(anatomy.tissues, anatomy.affine, grid, order=0))
        image = np.empty((len(channels), *grid.shape), np.float32)
        for number, channel in enumerate(channels):
            resampled = resample(channel, native_grid.affine, grid, order=3)
            image[number] = normalization.apply(resampled, measure_levels(resampled, tissues))
        return cls(image=image, brain=brain, grid=grid, native_grid=native_grid, normalization=normalization)

    @classmethod
    def from_arrays(
        cls,
        image: np.ndarray,
        brain: np.ndarray,
        *,
        normalization: TissueNormalization,
        box: tuple[int, int, int] = (1, 1, 1),
    ) -> NetworkInput:
        """Rebuild an input from its arrays, and pad it to a box.

        `to_native` returns probabilities on the grid of the arrays.

        Parameters
        ----------
        image : ndarray of float, shape (channels, x, y, z)
            Normalized.
        brain : ndarray of bool, shape (x, y, z)
        normalization : TissueNormalization
            The normalization that was applied.
        box : tuple of int
            Smallest shape of the network's grid, in voxels. The arrays are put in its centre.
        """
        missing = [max(0, n - m) for n, m in zip(box, brain.shape, strict=True)]
        widths = [(n // 2, n - n // 2) for n in missing]
        affine = np.eye(4)
        affine[:3, 3] = [-before for before, _ in widths]
        padded = np.pad(brain, widths)
        return cls(
            image=np.pad(image.astype(np.float32), [(0, 0), *widths], constant_values=normalization.outside),
            brain=padded,
            grid=Grid(padded.shape, affine),
            native_grid=Grid(brain.shape, np.eye(4)),
            normalization=normalization,
        )

    def masked(self) -> np.ndarray:
        """The input of the network: `image` with a constant value outside the brain.

        Returns
        -------
        volume : ndarray of float32, shape (channels, x, y, z)
        """
        return np.where(self.brain, self.image, np.float32(self.normalization.outside))

    def near(self, regions: np.ndarray, distance: float) -> np.ndarray:
        """The part of the brain in regions of the native grid, and about them.

        Parameters
        ----------
        regions : ndarray of bool or int, shape (x, y, z)
            On the native grid.
        distance : float
            In mm.

        Returns
        -------
        mask : ndarray of bool, shape (x, y, z)
            On the network's grid.
        """
        mask = resample((regions > 0).astype(np.uint8), self.native_grid.affine, self.grid, order=0) > 0
        sizes = np.rint(distance / voxel_sizes(self.grid.affine)).astype(int)
        for axis, size in enumerate(sizes):  # a box: exact distances are not worth their time
            mask = maximum_filter1d(mask, 2 * size + 1, axis=axis, mode='constant')
        return mask & self.brain

    def to_native(self, probability: np.ndarray) -> np.ndarray:
        """Bring a probability map to the native grid.

        Parameters
        ----------
        probability : ndarray of float32, shape (x, y, z)
            On the network's grid.

        Returns
        -------
        probability : ndarray of float32
            On the native grid, in [0, 1]; 0 outside the brain. Between two grids it is interpolated linearly.
        """
        masked = probability * self.brain
        if self.grid.shape == self.native_grid.shape and np.array_equal(
            self.grid.affine, self.native_grid.affine
        ):
            return masked
        return np.clip(resample(masked, self.grid.affine, self.native_grid, order=1), 0, 1)
