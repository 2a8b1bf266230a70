"""The training loop: steps, epochs, checkpoints, and stopping properly.

Everything random in a step depends on the seed and the step's number only. A training that was killed and
resumed from its last checkpoint therefore ends like an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Mapping
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
from ..segmentation.inference import AUTOCAST_DTYPES
from ..segmentation.networks import build
from .checkpoint import check_resumable, read_checkpoint, write_checkpoint
from .config import TrainingConfig
from .datasets import Batch
from .distributed import ProcessGroup
from .log import TrainingLog
from .losses import POSITIVE_WEIGHT
from .objectives import Objective

LOG = logging.getLogger(__name__)
#: Initial logit of the output, a probability of 0.018: perivascular spaces are rare.
OUTPUT_BIAS = -4.0
#: Largest decay of the running average of the weights, which is validated and stored as the model.
AVERAGING = 0.995
#: A training counts as diverged after this number of consecutive steps without a finite gradient.
DIVERGED = 10
#: Fraction of the steps in which the learning rate rises.
RATE_WARMUP = 0.02
#: Largest norm of the gradient; larger ones are scaled down.
GRADIENT_NORM = 5.0

Validation = Callable[[nn.Module], float]


def _running_average(
    average: torch.Tensor, current: torch.Tensor, number: torch.Tensor | int
) -> torch.Tensor:
    """Exponential average over the last few hundred steps (Polyak & Juditsky 1992), fewer at the start."""
    decay = min(float((1 + number) / (10 + number)), AVERAGING)
    return torch.lerp(average.float(), current.float(), 1 - decay)


def _ignore_sigterm(worker: int) -> None:
    """Let a worker of the data loader ignore SIGTERM.

    A batch system sends it to all processes of a job; the training process stops properly, and its worker
    with it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Trainer:
    """A training in a folder with ``last.pt``, ``best.pt``, ``log.csv`` and ``tensorboard/``.

    Parameters
    ----------
    config : TrainingConfig
        All settings, which are stored in checkpoints. Samples and loss are arguments of `fit`.
    folder : Path
        Made if it does not exist.
    device : torch.device
    group : ProcessGroup, optional
        The processes that train together.
    stop : callable, optional
        Called after every step; training stops properly if it returns True.

    Attributes
    ----------
    network : nn.Module
    average : AveragedModel
        Running average of the network's weights and buffers.
    step : int
        Number of steps done.
    best, best_step : float, int
        Best validation score, and its step.
    minutes : float
        Minutes spent in training, earlier runs included.
    stopped : bool
        Whether `stop` ended the training.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        device: torch.device,
        *,
        group: ProcessGroup | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        recipe = config.recipe
        torch.manual_seed(config.schedule.seed)
        self.config, self.folder, self.device, self.stop = config, Path(folder), device, stop
        self.group = group or ProcessGroup()
        self.network = build(recipe.architecture).to(device)
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if not recipe.architecture['name'].endswith('autoencoder'):
            nn.init.constant_(self.network.get_parameter('head.bias'), OUTPUT_BIAS)
        self.optimizer = torch.optim.Adam(self.network.parameters(), recipe.learning_rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate_factor)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.schedule.precision == 'fp16')
        self.average = AveragedModel(self.network, avg_fn=_running_average, use_buffers=True)
        self.step, self.best, self.best_step = 0, -np.inf, 0
        self.minutes, self.stopped = 0.0, False
        self._losses: list[float] = []  # of the epoch that is not finished
        self._steps_without_gradient = 0  # in a row
        self.folder.mkdir(parents=True, exist_ok=True)

    def _rate_factor(self, step: int) -> float:
        """Learning rate over that of the recipe: a short rise, then a cosine down to nearly 0."""
        steps = self.config.schedule.steps
        warmup = max(1, int(RATE_WARMUP * steps))
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return 0.5 * (1 + float(np.cos(np.pi * progress))) + 1e-3

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.folder / 'last.pt'

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint.

        Parameters
        ----------
        path : Path

        Raises
        ------
        InputError
            If it cannot be read, or was written with a configuration that does not match.
        """
        state = read_checkpoint(path, self.device)
        check_resumable(state['plan'], self.config, path)
        self.network.load_state_dict(state['network'])
        self.average.module.load_state_dict(state['average'])
        self.average.n_averaged.fill_(state['step'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.schedule.load_state_dict(state['schedule'])
        self.scaler.load_state_dict(state['scaler'])
        self.step, self.best, self.best_step = state['step'], state['best'], state['best_step']
        self._losses, self.minutes = list(state['losses']), state['minutes']

    def start_from_checkpoint(self, path: Path) -> None:
        """Start from the averaged weights in a checkpoint of any training; parameters as `resume`."""
        self.start_from(read_checkpoint(path, self.device)['average'])

    def start_from_model(self, network: nn.Module) -> None:
        """Start from a finished model. For the loss ``dice-ce``, the weight of positive voxels is restored.

        Parameters
        ----------
        network : nn.Module
            With a calibrated output, see `pvs_bidsapp.training.losses.undo_positive_weight`.
        """
        weights = dict(network.state_dict())
        if self.config.recipe.loss == 'dice-ce' and 'head.bias' in weights:
            weights['head.bias'] = weights['head.bias'] + float(np.log(POSITIVE_WEIGHT))
        self.start_from(weights)

    def start_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Start from weights, which are also the first running average.

        Parameters
        ----------
        weights : mapping of str to Tensor
            A state dict of the network.

        Raises
        ------
        InputError
            If they belong to another architecture.
        """
        try:
            self.network.load_state_dict(weights)
            self.average.module.load_state_dict(weights)
        except RuntimeError as error:
            reason = ' '.join(str(error).split())[:200]
            raise InputError(f'these weights do not fit the recipe ({reason})') from error

    def save(self, path: Path) -> None:
        """Write a checkpoint; only the first of several processes does."""
        if self.group.is_first:
            write_checkpoint(path, self._state(), self.config)

    def _state(self) -> dict[str, Any]:
        return {
            'network': self.network.state_dict(),
            'average': self.average.module.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'schedule': self.schedule.state_dict(),
            'scaler': self.scaler.state_dict(),
            'step': self.step,
            'best': self.best,
            'best_step': self.best_step,
            'losses': self._losses,
            'minutes': self.minutes,
        }

    def fit(self, batches: Dataset[Batch], objective: Objective, validate: Validation | None = None) -> None:
        """Train until the last step, the time limit, the end of patience, or a stop request.

        The weights with the best score are written to ``best.pt``.

        Parameters
        ----------
        batches : Dataset
            One `Batch` per step.
        objective : callable
            Loss of a network on a batch at a step.
        validate : callable, optional
            Score of a network, higher is better. Without it the last weights count as the best.

        Raises
        ------
        InputError
            If the training diverges.
        """
        log = TrainingLog(self.folder, self.step) if self.group.is_first else None
        try:
            self._fit(batches, objective, validate, log)
        finally:
            if log:
                log.close()
        self.save(self.last)

    def _fit(
        self,
        batches: Dataset[Batch],
        objective: Objective,
        validate: Validation | None,
        log: TrainingLog | None,
    ) -> None:
        earlier, started = self.minutes, time.monotonic()
        schedule = self.config.schedule
        while (self.step < schedule.steps or self._losses) and not self.stopped:
            begun = self.step - bool(self._losses)  # an epoch stopped after its last step is closed first
            end = min(schedule.steps, (begun // schedule.steps_per_epoch + 1) * schedule.steps_per_epoch)
            self._epoch(Subset(batches, range(self.step, end)), objective)
            self.minutes = earlier + (time.monotonic() - started) / 60
            if self.stopped:  # within an epoch, which is finished when training is resumed
                break
            self._close_epoch(validate, log)
            if self._is_over((time.monotonic() - started) / 60, has_score=validate is not None):
                break

    def _is_over(self, minutes: float, *, has_score: bool) -> bool:
        """Whether time limit or patience end the training after an epoch."""
        schedule = self.config.schedule
        if schedule.time_limit is not None and minutes >= schedule.time_limit:
            LOG.info('time limit of %g min reached at step %d', schedule.time_limit, self.step)
            return True
        epochs = (self.step - self.best_step) // schedule.steps_per_epoch
        if has_score and schedule.patience and epochs >= schedule.patience:
            LOG.info('no better validation score for %d epochs: stopped at step %d', epochs, self.step)
            return True
        return False

    def _close_epoch(self, validate: Validation | None, log: TrainingLog | None) -> None:
        """Validate, write the log and the checkpoints."""
        score = validate(self.average.module.eval()) if validate and self.group.is_first else float('nan')
        score = self.group.from_first(score)
        loss = self.group.mean(float(np.nanmean(self._losses)))
        self._losses = []
        if validate is None or score >= self.best:
            self.best, self.best_step = score if validate else self.best, self.step
            self.save(self.folder / 'best.pt')
        if log:
            log.record(
                self.step,
                loss=loss,
                score=score,
                minutes=self.minutes,
                learning_rate=float(self.schedule.get_last_lr()[0]),
            )
        self.save(self.last)

    def _epoch(self, batches: Dataset[Batch], objective: Objective) -> None:
        schedule = self.config.schedule
        self.network.train()
        network = self.group.wrap(self.network, self.device)
        # one worker prepares samples during the training; it shares the images by fork
        loader = DataLoader(
            batches, batch_size=None, num_workers=1, prefetch_factor=3, worker_init_fn=_ignore_sigterm
        )
        saved = time.monotonic()
        disable = None if self.group.is_first else True
        for batch in tqdm(loader, desc=f'from step {self.step}', leave=False, disable=disable):
            torch.manual_seed(schedule.seed * 1_000_003 + self.step * 97 + self.group.rank)
            self._losses.append(self._update(network, batch.to(self.device), objective))
            self.step += 1
            if self.group.any(self.stop()):
                self.stopped = True
                break
            if time.monotonic() - saved > 60 * schedule.checkpoint_minutes:
                saved = time.monotonic()
                self.save(self.last)

    def _update(self, network: nn.Module, batch: Batch, objective: Objective) -> float:
        """Do one step of the optimizer; returns the loss."""
        parts = batch.split(self.config.micro_batch)
        dtype = AUTOCAST_DTYPES.get(self.config.schedule.precision)
        is_distributed = isinstance(network, DistributedDataParallel)
        self.optimizer.zero_grad(set_to_none=True)
        statistics = [buffer.clone() for buffer in self.network.buffers()]
        total = 0.0
        for index, part in enumerate(parts):
            sync_gradients = index == len(parts) - 1 or not is_distributed
            with contextlib.nullcontext() if sync_gradients else network.no_sync():  # type: ignore[operator]
                with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
                    loss = objective(network, part, self.step) * (len(part.image) / len(batch.image))
                self.scaler.scale(loss).backward()
            total += float(loss.detach())
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        if torch.isfinite(norm):  # the same in all processes, which share their gradients
            self._steps_without_gradient = 0
            self.scaler.step(self.optimizer)
        else:
            self._skip_step(statistics)
        self.scaler.update()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return total

    @torch.no_grad()
    def _skip_step(self, statistics: list[torch.Tensor]) -> None:
        """Undo a step without a finite gradient, which would make all weights NaN."""
        self._steps_without_gradient += 1
        if self._steps_without_gradient >= DIVERGED:
            raise InputError(
                f'training diverged: no finite gradient in {DIVERGED} steps up to step {self.step}; lower '
                '--learning-rate, or train with --precision fp32'
            )
        LOG.warning('step %d: no finite gradient, skipped', self.step)
        for buffer, before in zip(self.network.buffers(), statistics, strict=True):
            buffer.copy_(before)
