"""Run a network on a whole volume: at once, or patch by patch with weighted overlap."""

from __future__ import annotations

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch import nn

#: Number of patches that go through the network together.
PATCH_BATCH = 16
#: Half precisions by name.
AUTOCAST_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def infer(
    network: nn.Module,
    volume: np.ndarray,
    device: str | torch.device,
    *,
    patch_size: int | None = None,
    stride: int | None = None,
    mirror: bool = False,
    autocast_dtype: torch.dtype | None = None,
) -> np.ndarray:
    """Compute the probability map of one volume.

    Parameters
    ----------
    network : nn.Module
        Returns logits; in evaluation mode, on `device`.
    volume : ndarray of float32, shape (channels, x, y, z)
    device : str or torch.device
    patch_size : int, optional
        Edge of the patches in voxels. Without it the whole volume goes through the network at once.
    stride : int, optional
        Step between patches in voxels (default: half a patch). Where patches overlap, probabilities are
        averaged with Gaussian weights about the patches' centres. Patches in which the image is
        constant lie outside the brain; they are skipped.
    mirror : bool
        Average with the prediction on the mirror image (axis x, left to right).
    autocast_dtype : torch.dtype, optional
        Half precision inside the network (default: float16 on a GPU, none on a CPU, where it is
        slower on some machines and results differ between machines).

    Returns
    -------
    probability : ndarray of float32, shape (x, y, z)
        In [0, 1].
    """
    device = torch.device(device)
    batch = torch.from_numpy(volume[None]).to(device, memory_format=torch.channels_last_3d)
    if autocast_dtype is None and device.type == 'cuda':
        autocast_dtype = torch.float16
    with (
        torch.inference_mode(),
        torch.autocast(device.type, autocast_dtype, enabled=autocast_dtype is not None),
    ):
        probability = _probability(network, batch, patch_size, stride)
        if mirror:
            mirrored = _probability(network, batch.flip(2), patch_size, stride).flip(2)
            probability = (probability + mirrored) / 2
    return probability[0, 0].float().cpu().numpy()


def _probability(
    network: nn.Module, batch: torch.Tensor, patch_size: int | None, stride: int | None
) -> torch.Tensor:
    """Probability map of a batch of one, of shape (1, 1, x, y, z)."""
    if patch_size is None:
        return torch.sigmoid(network(batch))
    overlap = 1 - (stride or patch_size // 2) / patch_size
    probability = sliding_window_inference(
        batch, (patch_size,) * 3, PATCH_BATCH, _SkipConstantPatches(network), overlap=overlap, mode='gaussian'
    )
    assert isinstance(probability, torch.Tensor)  # one output, not several
    return probability


class _SkipConstantPatches:
    """Probabilities of patches; 0 in patches that hold a single value."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(patches[:, :1])
        flat = patches.flatten(1)
        varies = (flat != flat[:, :1]).any(1)
        if varies.any():
            layout = torch.channels_last_3d
            logits = self.network(patches[varies].contiguous(memory_format=layout))
            out[varies] = torch.sigmoid(logits).to(out.dtype)
        return out
