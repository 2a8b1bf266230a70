"""Tiny images with tubes in them, and configurations of tiny trainings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pvs_bidsapp.training.config import Schedule, TrainingConfig, TrainingData
from pvs_bidsapp.training.datasets import TrainingImage
from pvs_bidsapp.training.recipes import Recipe

JOLIOT = {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 4, 'dropout': 0.1}
RECIPE = Recipe(name='tiny', architecture=JOLIOT, patch_size=16, stride=8)
SCHEDULE = Schedule(epochs=4, steps_per_epoch=12)


def tubes(seed: int, channels: int = 1, shape: tuple[int, int, int] = (32, 32, 32)) -> TrainingImage:
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    for _ in range(6):
        x, y = rng.integers(4, 28, 2)
        label[x : x + 2, y : y + 2, 4:28] = 1
    image = 0.4 - 1.5 * label + rng.normal(0, 0.1, (channels, *shape))
    return TrainingImage(
        name=f'sub-{seed}', image=image.astype(np.float16), brain=np.ones(shape, bool), label=label
    )


@pytest.fixture
def images() -> list[TrainingImage]:
    return [tubes(1), tubes(2)]


@pytest.fixture
def paired() -> list[TrainingImage]:
    return [tubes(1, 2), tubes(2, 2)]


@pytest.fixture
def make_config():
    """A configuration with changes of its recipe and schedule, whichever has a field of that name."""

    def make(synthesize: str | None = None, **changes: Any) -> TrainingConfig:
        own = {k: v for k, v in changes.items() if hasattr(SCHEDULE, k)}
        rest = {k: v for k, v in changes.items() if k not in own}
        return TrainingConfig(
            recipe=replace(RECIPE, **rest),
            schedule=replace(SCHEDULE, **own),
            data=TrainingData(synthesize=synthesize),
        )

    return make
