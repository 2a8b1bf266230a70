"""The training loop: steps, epochs, checkpoints, and stopping properly.

Everything random in a step depends on the seed and the step's number only. A training that was killed and
resumed from its last checkpoint therefore ends like an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset, Subset
from tqdm.auto import tqdm

from ..messages import training
from ..runtime.deadline import Deadline
from ..segmentation.engine import AUTOCAST_DTYPES
from ..segmentation.networks import build
from ..segmentation.networks.refinement import corrections
from .checkpoint import LAST, check_resumable, check_state, read_checkpoint, resuming, write_checkpoint
from .config import TrainingConfig
from .datasets import Batch
from .distributed import ProcessGroup
from .loading import load_batches
from .log import TrainingLog
from .losses import weight_output
from .objectives import Objective
from .validation import Interrupted

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
#: Fraction of its time that is kept for what follows a training, as long as no validation was timed; and what
#: that takes at most, over the time of a validation.
UNTIMED_FRACTION, TIMED_FACTOR = 0.1, 1.5
#: Why a training ends early; with several processes, the larger number decides.
_TIME_UP, _STOPPED = 1, 2

Validation = Callable[[nn.Module], float]


def _running_average(
    average: torch.Tensor, current: torch.Tensor, number: torch.Tensor | int
) -> torch.Tensor:
    """Exponential average over the last few hundred steps (Polyak & Juditsky 1992), fewer at the start."""
    decay = min(float((1 + number) / (10 + number)), AVERAGING)
    return torch.lerp(average.float(), current.float(), 1 - decay)


@dataclass(frozen=True, kw_only=True)
class TrainingEnd:
    """How a training ended.

    Attributes
    ----------
    step, steps : int
        Number of steps done, and of those that were to be done.
    is_stopped, is_time_up : bool
        Whether a stop request or the time limit ended it before that.
    """

    step: int
    steps: int
    is_stopped: bool = False
    is_time_up: bool = False


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
    deadline : Deadline, optional
        Looked at after every step; training then ends properly, so that the weights can be used.
    validations : float
        Time that is needed after the training and before the deadline, over that of a validation.

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
    stopped, time_is_up : bool
        Whether `stop` or the deadline ended the training.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        device: torch.device,
        *,
        group: ProcessGroup | None = None,
        stop: Callable[[], bool] = lambda: False,
        deadline: Deadline | None = None,
        validations: float = 1.0,
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
        self.minutes, self.stopped, self.time_is_up = 0.0, False, False
        self.deadline, self.validations = deadline or Deadline(), validations
        self._seconds_after, self._step_seconds = 0.0, 0.0  # of what follows the training; of a step
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
        return self.folder / LAST

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
        check_state(state, self.network, path)
        with resuming(path):
            self.network.load_state_dict(state['network'])
            self.average.module.load_state_dict(state['average'])
            self.average.n_averaged.fill_(state['step'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.schedule.load_state_dict(state['schedule'])
            if state['scaler']:  # empty, if the training had another precision before
                self.scaler.load_state_dict(state['scaler'])
        self.step, self.best, self.best_step = state['step'], state['best'], state['best_step']
        self._losses, self.minutes = list(state['losses']), state['minutes']

    def start_from_checkpoint(self, path: Path) -> None:
        """Start from the averaged weights in a checkpoint of any training; parameters as `resume`."""
        self.start_from(read_checkpoint(path, self.device)['average'], path)

    def start_from_model(self, network: nn.Module) -> None:
        """Start from a finished model. For the loss ``dice-ce``, the weight of positive voxels is restored.

        Parameters
        ----------
        network : nn.Module
            With a calibrated output, see `pvs_bidsapp.training.losses.calibrate_output`.
        """
        weights = network.state_dict()
        self.start_from(weight_output(weights) if self.config.recipe.loss == 'dice-ce' else weights)

    def start_from(self, weights: Mapping[str, torch.Tensor], path: Path | str = '') -> None:
        """Start from weights, which are also the first running average.

        Corrections of the output that they lack change nothing at first.

        Parameters
        ----------
        weights : mapping of str to Tensor
            A state dict of the network.
        path : Path or str
            Where they come from, for the message.

        Raises
        ------
        InputError
            If they belong to another architecture.
        """
        try:
            complete = corrections(self.network.state_dict()) | dict(weights)
            self.network.load_state_dict(complete)
            self.average.module.load_state_dict(complete)
        except (RuntimeError, TypeError, AttributeError) as error:
            reason = ' '.join(str(error).split())[:200]
            raise training.WEIGHTS_MISFIT.error(path, reason=reason) from error

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
        """Train until the last step, the deadline, the end of patience, or a stop request.

        The weights with the best score are written to ``best.pt``; if the deadline comes before there is a
        score, the newest weights. The epoch in which a training ends early is finished when it is resumed.

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
        # rows of the epoch that is not finished are written again
        log = TrainingLog(self.folder, self.step - len(self._losses)) if self.group.is_first else None
        if validate is not None:
            self._seconds_after = UNTIMED_FRACTION * self.deadline.seconds_left
        try:
            if self._has_work and not self.must_end():
                self._fit(batches, objective, validate, log)
            if self.time_is_up and self.step:
                self._end_in_time(log)
        finally:
            if log:
                log.close()
        if self.step:
            self.save(self.last)

    @property
    def _has_work(self) -> bool:
        """Whether there is a step to be done, or an epoch to be closed."""
        return self.step < self.config.schedule.steps or bool(self._losses)

    @property
    def end(self) -> TrainingEnd:
        """How the training ended."""
        return TrainingEnd(
            step=self.step,
            steps=self.config.schedule.steps,
            is_stopped=self.stopped,
            is_time_up=self.time_is_up,
        )

    def wants_to_end(self) -> bool:
        """Whether a stop request or the deadline has come, in this process."""
        return self._reason() > 0

    def _reason(self) -> int:
        if self.stop():
            return _STOPPED
        return _TIME_UP if self.deadline.is_over(self._seconds_after + self._step_seconds) else 0

    def must_end(self, reason: int | None = None) -> bool:
        """Whether the training has to end now, on which all processes agree.

        Parameters
        ----------
        reason : int, optional
            Of this process; default: what `stop` and the deadline say.
        """
        reason = self.group.largest(self._reason() if reason is None else reason)
        self.stopped, self.time_is_up = reason == _STOPPED, reason == _TIME_UP
        return reason > 0

    def _fit(
        self,
        batches: Dataset[Batch],
        objective: Objective,
        validate: Validation | None,
        log: TrainingLog | None,
    ) -> None:
        earlier, started = self.minutes, time.monotonic()
        schedule = self.config.schedule
        if not self._losses and self._is_patience_over(validate):  # it ended so, and is resumed
            return
        while self._has_work:
            begun = self.step - bool(self._losses)  # an epoch stopped after its last step is closed first
            end = min(schedule.steps, (begun // schedule.steps_per_epoch + 1) * schedule.steps_per_epoch)
            is_whole = self._epoch(Subset(batches, range(self.step, end)), objective)
            self.minutes = earlier + (time.monotonic() - started) / 60
            # an epoch that is not finished is finished when training is resumed
            if not is_whole or not self._close_epoch(validate, log) or self._is_patience_over(validate):
                break

    def _is_patience_over(self, validate: Validation | None) -> bool:
        """Whether the score has not become better for too long."""
        schedule = self.config.schedule
        epochs = (self.step - self.best_step) // schedule.steps_per_epoch
        if validate is not None and schedule.patience and epochs >= schedule.patience:
            LOG.info('no better validation score for %d epochs: stopped at step %d', epochs, self.step)
            return True
        return False

    def _close_epoch(self, validate: Validation | None, log: TrainingLog | None) -> bool:
        """Validate, write the log and the checkpoints; False if the training has to end before that."""
        score = self._score(validate)
        if score is None:
            return False
        self._write_row(log, score)
        self._losses = []
        if validate is None or score >= self.best:
            self.best, self.best_step = score if validate else self.best, self.step
            self.save(self.folder / 'best.pt')
        self.save(self.last)
        return True

    def _score(self, validate: Validation | None) -> float | None:
        """The validation score, the same in all processes; None if it was interrupted."""
        score, reason = float('nan'), 0
        if validate and self.group.is_first:
            begun = time.monotonic()
            try:
                score = validate(self.average.module.eval())
                self._seconds_after = TIMED_FACTOR * self.validations * (time.monotonic() - begun)
            except Interrupted:
                reason = self._reason()
        return None if self.must_end(reason) else self.group.from_first(score)

    def _write_row(self, log: TrainingLog | None, score: float) -> None:
        loss = self.group.mean(float(np.nanmean(self._losses)))
        if log:
            log.record(
                self.step,
                loss=loss,
                score=score,
                minutes=self.minutes,
                learning_rate=float(self.schedule.get_last_lr()[0]),
            )

    def _end_in_time(self, log: TrainingLog | None) -> None:
        """Write what there is when the time is up; the epoch is finished when training is resumed."""
        if self._losses:
            self._write_row(log, float('nan'))
        if not np.isfinite(self.best):  # never validated: the newest weights count as the best
            self.best_step = self.step
            self.save(self.folder / 'best.pt')

    def _epoch(self, batches: Subset[Batch], objective: Objective) -> bool:
        """Do the steps of an epoch; False if the training has to end in it."""
        schedule = self.config.schedule
        self.network.train()
        network = self.group.wrap(self.network, self.device)
        saved = begun = time.monotonic()
        last = self.step + len(batches)
        loading = load_batches(batches, self.config.loaders, self._waits_too_long)
        with contextlib.closing(loading) as loaded:
            for batch in self._with_progress(loaded, len(batches)):
                torch.manual_seed(schedule.seed * 1_000_003 + self.step * 97 + self.group.rank)
                self._losses.append(self._update(network, batch.to(self.device), objective))
                self.step += 1
                now = time.monotonic()
                self._step_seconds, begun = now - begun, now
                if self.must_end():
                    return False
                if now - saved > 60 * schedule.checkpoint_minutes:
                    saved = now
                    self.save(self.last)
                    self._tell_progress()
        if self.step < last:
            return not self.must_end(_TIME_UP)
        return True

    def _tell_progress(self) -> None:
        """A line for those who have no progress bar, within an epoch that takes long."""
        steps = self.config.schedule.steps
        minutes = (steps - self.step) * self._step_seconds / 60
        if self.group.is_first:
            LOG.info('step %d of %d, about %.0f min left without validation', self.step, steps, minutes)

    def _waits_too_long(self) -> bool:
        """Whether the time is up while a batch is waited for; several processes end after a step only."""
        is_limited = np.isfinite(self.deadline.end) and self.group.world_size == 1
        return bool(is_limited and self.deadline.seconds_left <= self._seconds_after)

    def _with_progress(self, batches: Iterable[Batch], number: int) -> Iterable[Batch]:
        """Batches with a progress bar, in the first of several processes."""
        disable = None if self.group.is_first else True
        return tqdm(batches, desc=f'from step {self.step}', total=number, leave=False, disable=disable)

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
            raise training.DIVERGED.error(number=DIVERGED, step=self.step)
        training.NO_GRADIENT.log(LOG, step=self.step)
        for buffer, before in zip(self.network.buffers(), statistics, strict=True):
            buffer.copy_(before)
