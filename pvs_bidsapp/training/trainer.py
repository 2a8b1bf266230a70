"""The loop of a training: steps, checkpoints, logs, and stopping in good order.

Everything random in a step depends on the seed and the step's number alone, so that a training
that was killed and goes on from its last checkpoint ends as an unbroken one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm.auto import tqdm

from ..errors import InputError
from ..segmentation.inference import HALF
from ..segmentation.networks import build
from .distributed import ProcessGroup
from .log import TrainingLog
from .losses import POSITIVE_WEIGHT, undo_positive_weight
from .patches import Batch

LOG = logging.getLogger(__name__)
#: The output starts at this logit: one voxel in fifty is a guess from which training gets going.
OUTPUT_BIAS = -4.0
#: Largest decay of the weights' running average, which is what is validated and bundled.
AVERAGING = 0.995
#: So many steps in a row without a finite gradient, and a training has diverged.
DIVERGED = 10
#: Entries of a plan that may change between a checkpoint and its resumption.
FREE = ('epochs', 'time_limit', 'patience', 'micro_batch', 'checkpoint_minutes', 'precision')

Objective = Callable[[nn.Module, Batch, int], torch.Tensor]
Validation = Callable[[nn.Module], float]


@dataclass(frozen=True)
class Plan:
    """How long and how fast; stored with every checkpoint.

    Attributes
    ----------
    architecture : dict
        As in a model card.
    epochs, steps_per_epoch : int
    micro_batch : int
        Samples that go through the network together; a larger batch's gradients are accumulated.
    learning_rate : float
        At the start; it falls to nought along a cosine (after 2 % of warm-up).
    seed : int
    time_limit : float or None
        Minutes after which training stops in good order.
    patience : int
        Epochs without a better validation score after which training stops; 0 for never.
    precision : str
        ``fp32``, ``bf16`` or ``fp16`` (with gradient scaling) inside the network.
    checkpoint_minutes : float
        Longest time between two checkpoints; there is one after each epoch, too.
    extra : dict
        Whatever else decides the result, so that a checkpoint is not resumed with other data.
    """

    architecture: dict[str, Any]
    epochs: int = 40
    steps_per_epoch: int = 100
    micro_batch: int = 1_000_000
    learning_rate: float = 3e-3
    seed: int = 1
    time_limit: float | None = None
    patience: int = 0
    precision: str = 'fp32'
    checkpoint_minutes: float = 10.0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return self.epochs * self.steps_per_epoch


def read_checkpoint(path: Path, device: torch.device | str = 'cpu') -> dict[str, Any]:
    """A checkpoint of `Trainer.save`.

    Raises
    ------
    InputError
        If it cannot be read, or is something else.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds on a damaged file
        said = ' '.join(str(error).split())[:120]
        raise InputError(f'{path}: cannot be read as a checkpoint ({said})') from error
    if not (isinstance(state, dict) and {'plan', 'average'} <= state.keys()):
        raise InputError(f'{path}: no checkpoint of pvs train (those are MODEL_DIR/checkpoints/*.pt)')
    return state


def _running_average(
    average: torch.Tensor, current: torch.Tensor, number: torch.Tensor | int
) -> torch.Tensor:
    """Exponential average over the last few hundred steps (Polyak & Juditsky 1992), fewer at the start."""
    decay = min(float((1 + number) / (10 + number)), AVERAGING)
    return torch.lerp(average.float(), current.float(), 1 - decay)


def _ignore_sigterm(worker: int) -> None:
    """A batch system asks all processes of a job to stop; the one that trains does so in good order."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Trainer:
    """One training in a folder: ``last.pt``, ``best.pt``, ``log.csv``, ``tensorboard/``.

    Checkpoints are our own files, loaded with ``weights_only=True``; no pickle is executed.

    Parameters
    ----------
    plan : Plan
    folder : Path
    device : torch.device
    team : ProcessGroup, optional
        The processes that train together.
    stop : callable, optional
        Asked after every step; training stops in good order when it says so.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        device: torch.device,
        *,
        team: ProcessGroup | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.folder, self.device, self.stop = plan, Path(folder), device, stop
        self.team = team or ProcessGroup()
        self.network = build(plan.architecture).to(device)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if not plan.architecture['name'].endswith('autoencoder'):
            nn.init.constant_(self.network.get_parameter('head.bias'), OUTPUT_BIAS)
        self.optimizer = torch.optim.Adam(self.network.parameters(), plan.learning_rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.scaler = torch.amp.GradScaler(device.type, enabled=plan.precision == 'fp16')
        self.average = AveragedModel(self.network, avg_fn=_running_average, use_buffers=True)
        self.step, self.best, self.best_step = 0, -np.inf, 0
        self.losses: list[float] = []  # of the epoch that is under way
        self.lost = 0  # steps in a row that had no finite gradient
        self.minutes = 0.0  # spent in training, earlier parts included
        self.stopped = False
        self.folder.mkdir(parents=True, exist_ok=True)

    def _rate(self, step: int) -> float:
        warm = max(1, int(0.02 * self.plan.steps))
        if step < warm:
            return (step + 1) / warm
        share = min(1.0, (step - warm) / max(1, self.plan.steps - warm))
        return 0.5 * (1 + float(np.cos(np.pi * share))) + 1e-3

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.folder / 'last.pt'

    def load(self, path: Path, *, weights_only: bool = False) -> int:
        """Go on from a checkpoint (or start from its weights alone); returns its step.

        Raises
        ------
        InputError
            If it cannot be read, or belongs to a training that was planned otherwise.
        """
        state = read_checkpoint(path, self.device)
        if weights_only:
            self.start_from(state['average'])
            return int(state['step'])
        now, then = (plan | plan['extra'] for plan in (asdict(self.plan), state['plan']))
        settled = [k for k in now if k not in (*FREE, 'extra') and k in then]  # a version may know of more
        if other := [k for k in settled if now[k] != then[k]]:
            raise InputError(
                f'{path}: was trained with another {", ".join(other)}; resume with the same options, '
                'or train into another folder'
            )
        self.network.load_state_dict(state['network'])
        self.average.module.load_state_dict(state['average'])
        self.average.n_averaged.fill_(state['step'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.schedule.load_state_dict(state['schedule'])
        self.scaler.load_state_dict(state['scaler'])
        self.step, self.best, self.best_step = state['step'], state['best'], state['best_step']
        self.losses, self.minutes = list(state['losses']), state['minutes']
        return self.step

    def start_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take over ready-made weights, also as the running average.

        Raises
        ------
        InputError
            If they belong to another architecture.
        """
        try:
            self.network.load_state_dict(weights)
            self.average.module.load_state_dict(weights)
        except RuntimeError as error:
            said = ' '.join(str(error).split())[:200]
            raise InputError(f'these weights do not fit the recipe ({said})') from error

    def start_from_bundle(self, network: nn.Module, loss: str) -> None:
        """Take over a finished model, whose output has lost the loss's weighting of positive voxels."""
        weights = dict(network.state_dict())
        if loss == 'dice-ce' and 'head.bias' in weights:
            weights['head.bias'] = weights['head.bias'] + float(np.log(POSITIVE_WEIGHT))
        self.start_from(weights)

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all; only the first process of a team does."""
        if not self.team.first:
            return
        state = {
            'network': self.network.state_dict(), 'average': self.average.module.state_dict(),
            'optimizer': self.optimizer.state_dict(), 'schedule': self.schedule.state_dict(),
            'scaler': self.scaler.state_dict(), 'step': self.step, 'best': self.best,
            'best_step': self.best_step, 'losses': self.losses, 'minutes': self.minutes,
            'plan': asdict(self.plan),
        }  # fmt: skip
        temporary = path.with_suffix('.tmp')
        torch.save(state, temporary)
        os.replace(temporary, path)

    def fit(self, batches: Dataset, objective: Objective, validate: Validation | None = None) -> None:
        """Train to the end of the plan, or until something stops it; keeps the best weights seen.

        Parameters
        ----------
        batches : Dataset
            One `Batch` a step of the plan.
        objective : callable
            Loss of a network on a batch at a step.
        validate : callable, optional
            Score of a network, higher is better; without it the last weights are the best.
        """
        journal = TrainingLog(self.folder, self.step) if self.team.first else None
        earlier, started = self.minutes, time.monotonic()
        plan = self.plan
        while (self.step < plan.steps or self.losses) and not self.stopped:
            begun = self.step - bool(self.losses)  # an epoch stopped at its last step is closed first
            end = min(plan.steps, (begun // plan.steps_per_epoch + 1) * plan.steps_per_epoch)
            self._epoch(Subset(batches, range(self.step, end)), objective)
            self.minutes = earlier + (time.monotonic() - started) / 60
            if self.stopped:  # in the middle of an epoch: it is finished when training goes on
                break
            self._close_epoch(validate, journal)
            if plan.time_limit is not None and (time.monotonic() - started) / 60 >= plan.time_limit:
                LOG.info('time limit of %g min reached at step %d', plan.time_limit, self.step)
                break
            waited = (self.step - self.best_step) // plan.steps_per_epoch
            if validate and plan.patience and waited >= plan.patience:
                LOG.info('no better validation score for %d epochs: stopped at step %d', waited, self.step)
                break
        self.save(self.last)

    def _close_epoch(self, validate: Validation | None, journal: TrainingLog | None) -> None:
        score = validate(self.average.module.eval()) if validate and self.team.first else float('nan')
        score = self.team.from_first(score)
        loss = self.team.mean(float(np.nanmean(self.losses)))
        self.losses = []
        if validate is None or score >= self.best:
            self.best, self.best_step = score if validate else self.best, self.step
            self.save(self.folder / 'best.pt')
        if journal:
            rate = float(self.schedule.get_last_lr()[0])
            journal.record(self.step, loss, score, self.minutes, rate)
        self.save(self.last)

    def _epoch(self, batches: Dataset, objective: Objective) -> None:
        self.network.train()
        network = self.team.wrap(self.network, self.device)
        # one worker prepares samples beside the training; it shares the volumes by fork
        loader = DataLoader(
            batches, batch_size=None, num_workers=1, prefetch_factor=3, worker_init_fn=_ignore_sigterm
        )
        saved = time.monotonic()
        quiet = None if self.team.first else True
        for batch in tqdm(loader, desc=f'from step {self.step}', leave=False, disable=quiet):
            torch.manual_seed(self.plan.seed * 1_000_003 + self.step * 97 + self.team.rank)
            self.losses.append(self._update(network, batch.to(self.device), objective))
            self.step += 1
            if self.team.any(self.stop()):
                self.stopped = True
                break
            if time.monotonic() - saved > 60 * self.plan.checkpoint_minutes:
                saved = time.monotonic()
                self.save(self.last)

    def _update(self, network: nn.Module, batch: Batch, objective: Objective) -> float:
        """One step of the optimiser; returns the loss."""
        parts = batch.split(self.plan.micro_batch)
        kind = HALF.get(self.plan.precision)
        self.optimizer.zero_grad(set_to_none=True)
        statistics = [buffer.clone() for buffer in self.network.buffers()]
        total = 0.0
        for k, part in enumerate(parts):
            shared = k == len(parts) - 1 or not isinstance(network, DistributedDataParallel)
            with contextlib.nullcontext() if shared else network.no_sync():  # type: ignore[operator]
                with torch.autocast(self.device.type, kind, enabled=kind is not None):
                    loss = objective(network, part, self.step) * (len(part.image) / len(batch.image))
                self.scaler.scale(loss).backward()
            total += float(loss.detach())
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        if torch.isfinite(norm):  # the same in all processes: gradients are shared
            self.lost = 0
            self.scaler.step(self.optimizer)
        else:
            self._lose(statistics)
        self.scaler.update()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return total

    @torch.no_grad()
    def _lose(self, statistics: list[torch.Tensor]) -> None:
        """Undo a step without a finite gradient: one that got through would spoil every weight for good."""
        self.lost += 1
        if self.lost >= DIVERGED:
            raise InputError(
                f'training diverged: no finite gradient in {DIVERGED} steps up to step {self.step}; lower '
                '--learning-rate, or train with --precision fp32'
            )
        LOG.warning('step %d: no finite gradient, left out', self.step)
        for buffer, before in zip(self.network.buffers(), statistics, strict=True):
            buffer.copy_(before)

    def undo_positive_weight(self) -> None:
        """Take the weighting of positive voxels out of the averaged weights, see `losses`."""
        undo_positive_weight(self.average.module)
