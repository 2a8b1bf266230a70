"""Losses. All take logits and labels in [0, 1], both of shape ``(batch, 1, x, y, z)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from monai.losses.focal_loss import FocalLoss
from torch import nn

from ..messages import training

#: Weight of a positive voxel in the cross-entropy.
POSITIVE_WEIGHT = 8.0
#: A batch with fewer positive voxels counts as one with so many, where a loss is divided by their number.
FEW_POSITIVES = 100.0
#: Logit that a voxel without a say gets, with the label 0: its part of every loss and its gradient are 0.
CERTAIN = -100.0


def leave_out(
    logits: torch.Tensor, label: torch.Tensor, counted: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take voxels out of a loss, whatever the loss is.

    They become certain and right: they add nothing to a sum over voxels, to the overlap or the volumes of
    Dice, or to the number of positive voxels. A mean over voxels is still one over all of them.

    Parameters
    ----------
    logits, label : Tensor, shape (batch, 1, x, y, z)
    counted : Tensor of bool, or None
        Of the same shape; False where a voxel is left out. None: all count.

    Returns
    -------
    logits, label : Tensor
        For the loss; no gradient flows to voxels that are left out.
    """
    if counted is None:
        return logits, label
    return torch.where(counted, logits, CERTAIN), torch.where(counted, label, 0.0)


class DiceCrossEntropy(nn.Module):
    """Dice loss (Joliot et al. 2021) plus weighted cross-entropy.

    If one voxel in a thousand is positive, Dice alone stays near 1 for hundreds of steps. With the
    cross-entropy, in which a positive voxel has the weight `positive_weight`, learning starts sooner.

    Parameters
    ----------
    cross_entropy : float
        Weight of the cross-entropy; that of the Dice loss is 1.
    positive_weight : float
        Weight of a positive voxel in the cross-entropy.
    """

    def __init__(self, cross_entropy: float = 8.0, positive_weight: float = POSITIVE_WEIGHT) -> None:
        super().__init__()
        self.dice = DiceLoss(sigmoid=True, batch=True)
        self.weight = cross_entropy
        self.positive: torch.Tensor
        self.register_buffer('positive', torch.tensor(positive_weight))

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compute the loss, a scalar."""
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, label, pos_weight=self.positive)
        return self.dice(logits, label) + self.weight * entropy


def make_loss(name: str) -> nn.Module:
    """Make the supervised loss of a recipe.

    Parameters
    ----------
    name : str
        ``dice`` (Joliot et al. 2021), ``dice-ce`` (`DiceCrossEntropy`), ``focal`` (Chai et al.; see
        `NormalisedFocalLoss`) or ``ce`` (`NormalisedCrossEntropy`).

    Returns
    -------
    loss : nn.Module
        Of logits and labels.

    Raises
    ------
    InputError
        If there is no such loss.
    """
    if name == 'dice':
        return DiceLoss(sigmoid=True, batch=True)
    if name == 'dice-ce':
        return DiceCrossEntropy()
    if name == 'focal':
        return NormalisedFocalLoss()
    if name == 'ce':
        return NormalisedCrossEntropy()
    raise training.NO_LOSS.error(name=name, known='dice, dice-ce, focal, ce')


class NormalisedCrossEntropy(nn.Module):
    """Cross-entropy over the number of positive voxels.

    All voxels have the same weight, so that the output is a probability as it is: it needs no correction, and
    is low where noise hides a space. A mean over all voxels would be as small as that of the focal loss.
    """

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compute the loss, a scalar."""
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, label, reduction='sum')
        return entropy / label.sum().clamp(min=FEW_POSITIVES)


class NormalisedFocalLoss(nn.Module):
    """Focal loss (Lin et al. 2017, doi:10.1109/ICCV.2017.324) over the number of positive voxels.

    The sum over the voxels of a batch is divided by the number of positive ones, as Lin et al. do. A mean
    over all voxels would be so small that Adam's epsilon suppresses it.

    Parameters
    ----------
    gamma : float
        Exponent that reduces the weight of voxels that are already classified correctly.
    alpha : float
        Weight of a positive voxel; a negative one has ``1 - alpha``.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.75) -> None:
        super().__init__()
        self.focal = FocalLoss(gamma=gamma, alpha=alpha, reduction='none')

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compute the loss, a scalar."""
        return self.focal(logits, label).sum() / label.sum().clamp(min=FEW_POSITIVES)


def calibrate_output(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove the weight of positive voxels in ``dice-ce`` from the output of a network.

    Cross-entropy in which a positive voxel has the weight w multiplies the odds by w, so log(w) is
    subtracted from the logits (Elkan 2001, The foundations of cost-sensitive learning). Probabilities
    are then comparable between models, and thresholds are near the middle of the range.

    Parameters
    ----------
    weights : mapping of str to Tensor
        State dict of a network that learnt with ``dice-ce``.

    Returns
    -------
    calibrated : dict of str to Tensor
        The same with another bias of the output, see `output_bias`.
    """
    return _shift_output(weights, -np.log(POSITIVE_WEIGHT))


def weight_output(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put the weight of positive voxels back on the output of a network: undoes `calibrate_output`."""
    return _shift_output(weights, np.log(POSITIVE_WEIGHT))


def _shift_output(weights: Mapping[str, torch.Tensor], shift: float) -> dict[str, torch.Tensor]:
    bias = output_bias(weights)
    # weights of a foreign network may have none; who loads them says so
    return dict(weights) | ({bias: weights[bias] + float(shift)} if bias in weights else {})


def output_bias(names: Iterable[str]) -> str:
    """Name of the parameter that is added to the logits last: of its last correction, if a network has one.

    Parameters
    ----------
    names : iterable of str
        Of the parameters of a network.
    """
    known = set(names)
    last = (name for name in ('comparison.offset', 'refinement.head.bias') if name in known)
    return next(last, 'head.bias')


def consistency(noisy: torch.Tensor, clean: torch.Tensor, confidence: float) -> torch.Tensor:
    """Cross-entropy of the prediction on a noisy image with the pseudo labels of the clean image.

    Chai et al., M2SS-PVS: only voxels count whose clean prediction is confident. The mean is taken over the
    voxels of each of the two pseudo labels, then over the two: one voxel in a thousand is positive, and a
    plain mean would teach the network that there are none.

    Parameters
    ----------
    noisy : Tensor
        Logits on the image with noise.
    clean : Tensor
        Probabilities on the image without noise; no gradient flows through them.
    confidence : float
        The pseudo label is 1 above this probability and 0 below one minus this; other voxels do not count.

    Returns
    -------
    loss : Tensor
        A scalar; 0 if no voxel counts.
    """
    clean = clean.detach()
    terms = []
    for label, confident in ((1.0, clean > confidence), (0.0, clean < 1 - confidence)):
        if confident.any():
            logits = noisy[confident]
            pseudo_label = torch.full_like(logits, label)
            terms.append(nn.functional.binary_cross_entropy_with_logits(logits, pseudo_label))
    return torch.stack(terms).mean() if terms else noisy.sum() * 0.0
