"""Batches come from another process; its errors arrive as they were raised."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest
import torch
from refusals import refused
from torch.utils.data import Dataset, Subset

from pvs_bidsapp.messages import models, training
from pvs_bidsapp.training import loading
from pvs_bidsapp.training.datasets import Batch
from pvs_bidsapp.training.loading import load_batches


class Batches(Dataset[Batch]):
    """Batches whose values are their numbers, or what happens at one of them."""

    def __init__(self, at: int = -1, action=None) -> None:
        self.at, self.action = at, action

    def __len__(self) -> int:
        return 8

    def __getitem__(self, number: int) -> Batch:
        if number == self.at:
            self.action()
        return Batch(torch.full((1, 1, 2, 2, 2), float(number)), torch.zeros(1, 1, 2, 2, 2))


def raising(error: Exception):
    def action() -> None:
        raise error

    return action


def test_batches_come_in_their_order():
    found = [int(batch.image[0, 0, 0, 0, 0]) for batch in load_batches(Subset(Batches(), range(3, 8)))]
    assert found == [3, 4, 5, 6, 7]
    several = load_batches(Subset(Batches(), range(3, 8)), workers=2)
    assert [int(batch.image[0, 0, 0, 0, 0]) for batch in several] == found
    assert list(load_batches(Subset(Batches(), range(8, 8)))) == []


def test_an_error_of_ours_stays_in_one_line():
    with refused(models.NO_TISSUES):
        list(load_batches(Batches(2, raising(models.NO_TISSUES.error()))))


def test_an_error_of_the_system_keeps_its_number():
    with pytest.raises(OSError, match='No space') as caught:
        list(load_batches(Batches(2, raising(OSError(28, 'No space left on device', '/dev/shm/x')))))
    assert (caught.value.errno, caught.value.filename) == (28, '/dev/shm/x')


def test_an_error_of_the_program_stays_one():
    with pytest.raises(KeyError):
        list(load_batches(Batches(2, raising(KeyError('x')))))


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGBUS])
def test_a_worker_that_is_killed_is_told(number):
    with refused(training.LOADER_ENDED, naming='--shm-size'):
        list(load_batches(Batches(2, lambda: os.kill(os.getpid(), number))))


def test_a_worker_ignores_the_signal_of_a_batch_system():
    assert len(list(load_batches(Batches(2, lambda: os.kill(os.getpid(), signal.SIGTERM))))) == 8


def test_the_wait_for_a_batch_can_be_ended_and_its_worker_with_it(monkeypatch):
    monkeypatch.setattr(loading, 'WAIT', 0.1)
    started, seen = time.monotonic(), []
    for batch in load_batches(Batches(2, lambda: time.sleep(600)), wants_to_end=lambda: len(seen) == 2):
        seen.append(batch)
    assert len(seen) == 2
    assert time.monotonic() - started < 120
    assert not multiprocessing.active_children()


def test_who_waits_on_gets_all_batches(monkeypatch):
    monkeypatch.setattr(loading, 'WAIT', 0.01)
    assert len(list(load_batches(Batches(2, lambda: time.sleep(0.1))))) == 8
