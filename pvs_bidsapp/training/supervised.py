"""Supervised training: steps, checkpoints, logs, and the model that comes out of it."""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from ..evaluation.metrics import dice
from ..segmentation.intensity import TissueLevels
from ..segmentation.networks import build
from .losses import POSITIVE_WEIGHT, DiceCrossEntropy
from .patches import PatchBatches, Volume

LOG = logging.getLogger(__name__)
#: The output starts at this logit: one voxel in fifty is a guess from which training gets going.
OUTPUT_BIAS = -4.0
#: Largest decay of the weights' running average, which is what is validated and bundled.
AVERAGING = 0.995
#: Candidates for a model's default threshold.
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True)
class Plan:
    """What is trained and how; stored with every checkpoint.

    Attributes
    ----------
    architecture : dict
        As in a model card.
    epochs, steps_per_epoch : int
    patch_size : int
        Edge of the cubic patches in voxels.
    batch_size : int
    learning_rate : float
        At the start; it falls to nought along a cosine (after 2 % of warm-up).
    seed : int
    time_limit : float or None
        Minutes after which training stops in good order.
    """

    architecture: dict[str, Any]
    epochs: int = 40
    steps_per_epoch: int = 100
    patch_size: int = 64
    batch_size: int = 4
    learning_rate: float = 3e-3
    seed: int = 1
    time_limit: float | None = None

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return self.epochs * self.steps_per_epoch

    def batching(self) -> dict[str, Any]:
        """Options of `pvs_bidsapp.training.patches.PatchBatches`."""
        size = (self.patch_size,) * 3
        return {'patch_size': size, 'batch_size': self.batch_size, 'steps': self.steps, 'seed': self.seed}


def _running_average(
    average: torch.Tensor, current: torch.Tensor, number: torch.Tensor | int
) -> torch.Tensor:
    """Exponential average over the last few hundred steps (Polyak & Juditsky 1992), fewer at the start."""
    decay = min(float((1 + number) / (10 + number)), AVERAGING)
    return average + (1 - decay) * (current - average)


class Trainer:
    """One training run in a folder: ``last.pt``, ``best.pt``, ``log.csv``.

    Checkpoints are our own files, loaded with ``weights_only=True``; no pickle is executed.

    Parameters
    ----------
    plan : Plan
    folder : Path
    device : torch.device
    rule : TissueLevels
    """

    def __init__(self, plan: Plan, folder: Path, device: torch.device, rule: TissueLevels) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.folder, self.device, self.rule = plan, Path(folder), device, rule
        self.network = build(plan.architecture).to(device)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        torch.nn.init.constant_(self.network.get_parameter('head.bias'), OUTPUT_BIAS)
        self.optimizer = torch.optim.Adam(self.network.parameters(), plan.learning_rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.loss = DiceCrossEntropy().to(device)
        self.average = AveragedModel(self.network, avg_fn=_running_average, use_buffers=True)
        self.step, self.best = 0, -1.0
        self.folder.mkdir(parents=True, exist_ok=True)

    def _rate(self, step: int) -> float:
        warm = max(1, int(0.02 * self.plan.steps))
        if step < warm:
            return (step + 1) / warm
        share = min(1.0, (step - warm) / max(1, self.plan.steps - warm))
        return 0.5 * (1 + float(np.cos(np.pi * share))) + 1e-3

    def load(self, path: Path, *, weights_only: bool = False) -> int:
        """Go on from a checkpoint (or start from its weights alone); returns its step."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if weights_only:
            self.start_from(state['average'])
            return int(state['step'])
        self.network.load_state_dict(state['network'])
        self.average.module.load_state_dict(state['average'])
        self.average.n_averaged.fill_(state['step'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.schedule.load_state_dict(state['schedule'])
        self.step, self.best = state['step'], state['best']
        return self.step

    def start_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take over ready-made weights, also as the running average."""
        self.network.load_state_dict(weights)
        self.average.module.load_state_dict(weights)

    def start_from_bundle(self, network: torch.nn.Module) -> None:
        """Take over a finished model, whose output has lost the loss's weighting of positive voxels."""
        weights = dict(network.state_dict())
        weights['head.bias'] = weights['head.bias'] + float(np.log(POSITIVE_WEIGHT))
        self.start_from(weights)

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            'network': self.network.state_dict(), 'average': self.average.module.state_dict(),
            'optimizer': self.optimizer.state_dict(), 'schedule': self.schedule.state_dict(),
            'step': self.step, 'best': self.best, 'plan': asdict(self.plan),
        }  # fmt: skip
        temporary = path.with_suffix('.tmp')
        torch.save(state, temporary)
        os.replace(temporary, path)

    def fit(self, batches: PatchBatches, validation: Sequence[Volume]) -> None:
        """Train to the end of the plan, or to its time limit; keeps the best weights seen.

        Parameters
        ----------
        batches : PatchBatches
            One a step of the plan.
        validation : sequence of Volume
            May be empty.
        """
        started = time.monotonic()
        plan = self.plan
        while self.step < plan.steps:
            stop = min(plan.steps, (self.step // plan.steps_per_epoch + 1) * plan.steps_per_epoch)
            loss = self._epoch(Subset(batches, range(self.step, stop)))
            score = self.validate(validation) if validation else float('nan')
            minutes = (time.monotonic() - started) / 60
            self._record(loss, score, minutes)
            if not validation or score >= self.best:
                self.best = score if validation else self.best
                self.save(self.folder / 'best.pt')
            self.save(self.folder / 'last.pt')
            if plan.time_limit is not None and minutes >= plan.time_limit:
                LOG.info('time limit of %g min reached at step %d', plan.time_limit, self.step)
                break

    def _epoch(self, batches: Subset) -> float:
        self.network.train()
        # one worker prepares patches beside the training; it shares the volumes by fork
        loader = DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=3)
        losses = []
        for image, target in tqdm(loader, desc=f'step {self.step}', leave=False, disable=None):
            image = image.to(self.device, memory_format=torch.channels_last_3d)
            loss = self.loss(self.network(image), target.to(self.device))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self.schedule.step()
            self.average.update_parameters(self.network)
            self.step += 1
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    @torch.inference_mode()
    def probability(self, volume: Volume) -> np.ndarray:
        """Probability map of a whole volume, 0 outside the brain."""
        network = self.average.module.eval()
        image = np.where(volume.brain, volume.image.astype(np.float32), self.rule.outside)
        batch = torch.from_numpy(image[None]).to(self.device)
        logits = network(batch.contiguous(memory_format=torch.channels_last_3d))[0, 0]
        return torch.sigmoid(logits.float()).cpu().numpy() * volume.brain

    def validate(self, volumes: Sequence[Volume]) -> float:
        """Mean voxel Dice at threshold 0.5 over whole volumes."""
        return float(np.mean([dice(self.probability(v) >= 0.5, v.target > 0) for v in volumes]))

    @torch.no_grad()
    def undo_positive_weight(self) -> None:
        """Take the loss's weighting of positive voxels out of the output again.

        Cross-entropy in which a positive voxel weighs w times multiplies the odds by w, so that
        log(w) is subtracted from the logits (Elkan 2001, the foundations of cost-sensitive
        learning): probabilities become comparable between models, and thresholds lie mid-range.
        """
        self.average.module.get_parameter('head.bias').sub_(float(np.log(POSITIVE_WEIGHT)))

    def best_threshold(self, volumes: Sequence[Volume]) -> tuple[float, float]:
        """A threshold and its mean voxel Dice over whole volumes.

        The best is often a plateau: of the thresholds within 0.01 of it the lowest is taken, which
        misses fewest perivascular spaces.
        """
        scores = np.zeros(len(THRESHOLDS))
        for volume in volumes:
            probability, truth = self.probability(volume), volume.target > 0
            scores += [dice(probability >= t, truth) / len(volumes) for t in THRESHOLDS]
        chosen = int(np.flatnonzero(scores >= scores.max() - 0.01)[0])
        return THRESHOLDS[chosen], float(scores[chosen])

    def _record(self, loss: float, score: float, minutes: float) -> None:
        LOG.info('step %d  loss %.4f  validation Dice %.3f  %.1f min', self.step, loss, score, minutes)
        path = self.folder / 'log.csv'
        new = not path.exists()
        with path.open('a', newline='') as stream:
            writer = csv.writer(stream)
            if new:
                writer.writerow(['step', 'loss', 'validation_dice', 'minutes', 'learning_rate'])
            rate = self.schedule.get_last_lr()[0]
            writer.writerow([self.step, f'{loss:.5f}', f'{score:.4f}', f'{minutes:.2f}', f'{rate:.3g}'])
