"""The log of a training: a table, and TensorBoard's event files."""

from __future__ import annotations

import csv
import logging
import math
import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

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
        kept = [row for row in _read_rows(self.path) if int(row[0]) <= step]
        with atomic_write(self.path) as temporary, temporary.open('w', newline='') as stream:
            csv.writer(stream).writerows([COLUMNS, *kept])
        self.board = _Board(Path(folder) / 'tensorboard', step + 1)

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
        scores = {} if math.isnan(score) else {'validation_dice': score}
        self.board.add({'loss': loss, 'learning_rate': learning_rate} | scores, step)

    def close(self) -> None:
        """Close TensorBoard's file."""
        self.board.close()


def read_log(folder: Path) -> list[dict[str, float]]:
    """Read the log in a training's folder.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    rows : list of dict
        Values by the names in `COLUMNS`; none if there is no log.
    """
    rows = _read_rows(Path(folder) / 'log.csv')
    return [dict(zip(COLUMNS, map(float, row), strict=True)) for row in rows]


def _read_rows(path: Path) -> list[list[str]]:
    """The complete rows of a log without its head; none if there is no log."""
    if not path.exists():
        return []
    with path.open(newline='', encoding='utf-8', errors='replace') as stream:
        rows = list(csv.reader(stream))
    return [
        row for row in rows if len(row) == len(COLUMNS) and row[0].isdecimal() and all(map(_is_number, row))
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Board:
    """TensorBoard's file, written at once.

    The library's own writer has a thread. On a full disk, the thread ends with a traceback, and the training
    waits for it for ever.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.writer = EventsWriter(str(folder / 'events'))
        self._write(Event(session_log=SessionLog(status=SessionLog.START)), first_step)

    def add(self, values: dict[str, float], step: int) -> None:
        """Write the values of a step by their names."""
        for name, value in values.items():
            self._write(Event(summary=scalar(name, value)), step)
        self.writer.flush()

    def _write(self, event: Event, step: int) -> None:
        event.wall_time, event.step = time.time(), step
        self.writer.write_event(event)

    def close(self) -> None:
        self.writer.close()
