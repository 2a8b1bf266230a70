"""The log of a training survives what an earlier run has left of it."""

from __future__ import annotations

import math
import struct

import pytest

from pvs_bidsapp.training.log import COLUMNS, TrainingLog


def record(log: TrainingLog, step: int, score: float = 0.5) -> None:
    log.record(step, loss=1 / step, score=score, minutes=step, learning_rate=0.1)


def lines(folder) -> list[str]:
    return (folder / 'log.csv').read_text().splitlines()


def test_rows_up_to_a_step_are_kept(tmp_path):
    log = TrainingLog(tmp_path, 0)
    for step in (12, 24, 36):
        record(log, step)
    log.close()
    TrainingLog(tmp_path, 24).close()
    assert lines(tmp_path) == [
        ','.join(COLUMNS),
        '12,0.08333,0.5000,12.00,0.1',
        '24,0.04167,0.5000,24.00,0.1',
    ]
    TrainingLog(tmp_path, 0).close()
    assert lines(tmp_path) == [','.join(COLUMNS)]


@pytest.mark.parametrize(
    'row', [b'12,a,b,c,d', b'12', b'12,1,1,1,1,1', b'\xff,1,1,1,1', b'-1,1,1,1,1', b'12,\x00,1,1,1']
)
def test_damaged_rows_are_left_out(tmp_path, row):
    (tmp_path / 'log.csv').write_bytes(b'step\n' + row + b'\n12,1,nan,1,1\n')
    TrainingLog(tmp_path, 12).close()
    assert lines(tmp_path)[1:] == ['12,1,nan,1,1']


def events(folder) -> list[bytes]:
    """The records of TensorBoard's files (TFRecord)."""
    found = []
    for path in sorted((folder / 'tensorboard').glob('events.out.tfevents.*')):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack('<Q', data[:8])
            found.append(data[12 : 12 + length])
            data = data[16 + length :]
    return found


def test_tensorboard_gets_each_value(tmp_path):
    log = TrainingLog(tmp_path, 0)
    record(log, 12)
    record(log, 24, math.nan)
    log.close()
    text = b''.join(events(tmp_path))
    assert [text.count(name) for name in (b'loss', b'learning_rate', b'validation_dice')] == [2, 2, 1]


def test_a_full_disk_is_an_error_and_no_wait(tmp_path, monkeypatch):
    log = TrainingLog(tmp_path, 0)

    def fail(*arguments) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(log.board.writer, 'write_event', fail)
    for step in range(1, 30):
        with pytest.raises(OSError, match='No space'):
            record(log, step)
