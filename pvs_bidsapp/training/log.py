"""The log of a training: a table, and TensorBoard's event files."""

from __future__ import annotations

import csv
import logging
import math
from pathlib import Path

from tensorboardX import SummaryWriter

from ..runtime.files import atomic_write

LOG = logging.getLogger(__name__)
#: Columns of ``log.csv``.
COLUMNS = ('step', 'loss', 'validation_dice', 'minutes', 'learning_rate')


class TrainingLog:
    """``log.csv`` and ``tensorboard/`` in a training's folder.

    Parameters
    ----------
    folder : Path
    step : int
        Number of steps done. Rows of later steps, whose checkpoint was not written, are removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = Path(folder) / 'log.csv'
        kept = []
        if self.path.exists() and step:
            with self.path.open(newline='') as stream:
                kept = [row for row in csv.reader(stream) if row and row[0].isdigit() and int(row[0]) <= step]
        with atomic_write(self.path) as temporary, temporary.open('w', newline='') as stream:
            csv.writer(stream).writerows([COLUMNS, *kept])
        self.board = SummaryWriter(str(Path(folder) / 'tensorboard'), purge_step=step + 1)

    def record(self, step: int, *, loss: float, score: float, minutes: float, learning_rate: float) -> None:
        """Write the row of an epoch.

        Parameters
        ----------
        step : int
            Number of steps done.
        loss : float
            Mean over the epoch.
        score : float
            Validation score; NaN if there is none.
        minutes : float
            Minutes spent in training.
        learning_rate : float
        """
        tail = '' if math.isnan(score) else f'  validation Dice {score:.3f}'
        LOG.info('step %d  loss %.4f%s  %.1f min', step, loss, tail, minutes)
        with self.path.open('a', newline='') as stream:
            csv.writer(stream).writerow(
                [step, f'{loss:.5f}', f'{score:.4f}', f'{minutes:.2f}', f'{learning_rate:.3g}']
            )
        self.board.add_scalar('loss', loss, step)
        self.board.add_scalar('learning_rate', learning_rate, step)
        if not math.isnan(score):
            self.board.add_scalar('validation_dice', score, step)
        self.board.flush()

    def close(self) -> None:
        """Close TensorBoard's file and end its thread."""
        self.board.close()
