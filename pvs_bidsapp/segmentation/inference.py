"""A network on a whole volume: at once, or patch by patch with weighted overlap."""

from __future__ import annotations

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import nn

#: Patches that go through the network together.
TOGETHER = 16
#: Half precisions by name.
HALF = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def infer(
    network: nn.Module,
    volume: np.ndarray,
    device: str | torch.device,
    *,
    patch: int | None = None,
    stride: int | None = None,
    mirror: bool = False,
    half: torch.dtype | None = None,
) -> np.ndarray:
    """Probability map of one volume.

    Parameters
    ----------
    network : nn.Module
        Gives logits; in evaluation mode, on `device`.
    volume : ndarray of float32, shape (channels, x, y, z)
    device : str or torch.device
    patch : int, optional
        Edge of the patches; the whole volume goes through at once without it.
    stride : int, optional
        Step between patches (default: half a patch). Where they overlap, probabilities are
        averaged with Gaussian weights about the patches' centres. Patches in which the image is
        constant lie outside the brain and are not looked at.
    mirror : bool
        Average with what the network finds on the mirror image (axis x, left to right).
    half : torch.dtype, optional
        Half precision inside the network (default: float16 on a GPU, none on a CPU, where it is
        slower on some machines and not the same on all).

    Returns
    -------
    probability : ndarray of float32, shape (x, y, z)
    """
    where = torch.device(device)
    batch = torch.from_numpy(volume[None]).to(where, memory_format=torch.channels_last_3d)
    if half is None and where.type == 'cuda':
        half = torch.float16
    with torch.inference_mode(), torch.autocast(where.type, half, enabled=half is not None):
        probability = _probability(network, batch, patch, stride)
        if mirror:
            probability = (probability + _probability(network, batch.flip(2), patch, stride).flip(2)) / 2
    return probability[0, 0].float().cpu().numpy()


def _probability(
    network: nn.Module, batch: torch.Tensor, patch: int | None, stride: int | None
) -> torch.Tensor:
    """Probability map of a batch of one, of shape (1, 1, x, y, z)."""
    if patch is None:
        return torch.sigmoid(network(batch))
    overlap = 1 - (stride or patch // 2) / patch
    made = sliding_window_inference(
        batch, (patch,) * 3, TOGETHER, _Skipping(network), overlap=overlap, mode='gaussian'
    )
    assert isinstance(made, torch.Tensor)  # one output, not several
    return made


class _Skipping:
    """Probabilities of patches, 0 in those that hold one value alone."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(patches[:, :1])
        flat = patches.flatten(1)
        held = (flat != flat[:, :1]).any(1)
        if held.any():
            layout = torch.channels_last_3d
            logits = self.network(patches[held].contiguous(memory_format=layout))
            out[held] = torch.sigmoid(logits).to(out.dtype)
        return out
