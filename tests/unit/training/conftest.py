"""Tiny volumes with tubes in them."""

from __future__ import annotations

import numpy as np
import pytest

from pvs_bidsapp.training.patches import TrainingImage


def tubes(seed: int, channels: int = 1, shape: tuple[int, int, int] = (32, 32, 32)) -> TrainingImage:
    rng = np.random.default_rng(seed)
    target = np.zeros(shape, np.uint8)
    for _ in range(6):
        x, y = rng.integers(4, 28, 2)
        target[x : x + 2, y : y + 2, 4:28] = 1
    image = 0.4 - 1.5 * target + rng.normal(0, 0.1, (channels, *shape))
    return TrainingImage(f'sub-{seed}', image.astype(np.float16), np.ones(shape, bool), target)


@pytest.fixture
def volumes() -> list[TrainingImage]:
    return [tubes(1), tubes(2)]


@pytest.fixture
def paired() -> list[TrainingImage]:
    return [tubes(1, 2), tubes(2, 2)]
