"""Losses. All take logits and a target in [0, 1], both of shape ``(batch, 1, x, y, z)``."""

from __future__ import annotations

import numpy as np
import torch
from monai.losses import DiceLoss, FocalLoss
from torch import nn

from ..errors import InputError

#: Weight of a positive voxel in the cross-entropy.
POSITIVE_WEIGHT = 8.0


class DiceCrossEntropy(nn.Module):
    """Dice loss (Joliot et al. 2021) plus weighted cross-entropy.

    Dice alone stays near 1 for hundreds of steps where one voxel in a thousand is positive; the
    cross-entropy, in which a positive voxel weighs `positive_weight` times, gets it going.

    Parameters
    ----------
    cross_entropy : float
        Weight of the cross-entropy.
    positive_weight : float
        Weight of a positive voxel in it.
    """

    def __init__(self, cross_entropy: float = 8.0, positive_weight: float = POSITIVE_WEIGHT) -> None:
        super().__init__()
        self.dice = DiceLoss(sigmoid=True, batch=True)
        self.weight = cross_entropy
        self.positive: torch.Tensor
        self.register_buffer('positive', torch.tensor(positive_weight))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar."""
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, pos_weight=self.positive)
        return self.dice(logits, target) + self.weight * entropy


def make_loss(name: str) -> nn.Module:
    """The supervised loss of a recipe.

    Parameters
    ----------
    name : str
        ``dice`` (Joliot et al. 2021), ``dice-ce`` (`DiceCrossEntropy`) or ``focal`` (Chai et al.;
        Lin et al. 2017, doi:10.1109/ICCV.2017.324, gamma 2, alpha 0.75, summed over the batch's
        voxels and divided by the number of positive ones, as Lin et al. do: a mean over all
        voxels would be lost beside Adam's epsilon).
    """
    if name == 'dice':
        return DiceLoss(sigmoid=True, batch=True)
    if name == 'dice-ce':
        return DiceCrossEntropy()
    if name == 'focal':
        return NormalisedFocalLoss()
    raise InputError(f'no loss {name!r}; there are: dice, dice-ce, focal')


class NormalisedFocalLoss(nn.Module):
    """Focal loss over the number of positive voxels.

    Parameters
    ----------
    gamma : float
        How strongly voxels that are right already are left out.
    alpha : float
        Weight of a positive voxel; a negative one has ``1 - alpha``.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.75) -> None:
        super().__init__()
        self.focal = FocalLoss(gamma=gamma, alpha=alpha, reduction='none')

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar."""
        # a batch without a space counts as one with a space of a hundred voxels
        return self.focal(logits, target).sum() / target.sum().clamp(min=100.0)


@torch.no_grad()
def undo_positive_weight(network: nn.Module) -> None:
    """Take the weighting of positive voxels by ``dice-ce`` out of a network's output.

    Cross-entropy in which a positive voxel weighs w times multiplies the odds by w, so that
    log(w) is subtracted from the logits (Elkan 2001, the foundations of cost-sensitive
    learning): probabilities become comparable between models, and thresholds lie mid-range.
    """
    network.get_parameter('head.bias').sub_(float(np.log(POSITIVE_WEIGHT)))


def consistency(noisy: torch.Tensor, clean: torch.Tensor, confidence: float) -> torch.Tensor:
    """Cross-entropy of a noisy image's prediction with the clean image's pseudo labels.

    Chai et al., M2SS-PVS: only where the clean prediction is sure. The mean is taken over those
    voxels for each of the two pseudo labels, then over the two: spaces are one voxel in a
    thousand, and a plain mean would teach that there are none.

    Parameters
    ----------
    noisy : Tensor
        Logits on the image with noise.
    clean : Tensor
        Probabilities on the image as it is; no gradient flows through them.
    confidence : float
        A pseudo label is 1 above this, 0 below one minus this; other voxels do not count.
    """
    clean = clean.detach()
    terms = []
    for label, sure in ((1.0, clean > confidence), (0.0, clean < 1 - confidence)):
        if sure.any():
            logits = noisy[sure]
            target = torch.full_like(logits, label)
            terms.append(nn.functional.binary_cross_entropy_with_logits(logits, target))
    return torch.stack(terms).mean() if terms else noisy.sum() * 0.0
