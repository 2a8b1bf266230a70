from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pvs_bidsapp.segmentation.intensity import TissueLevels
from pvs_bidsapp.training.patches import PatchBatches, Sampling, WithUnlabelled, turn

SAMPLING = Sampling(size=(16, 16, 16), batch_size=4, steps=9, seed=1)


def make(volumes, **changes) -> PatchBatches:
    return PatchBatches(volumes, TissueLevels(), replace(SAMPLING, **changes))


def test_a_batch_depends_on_the_seed_and_the_step_alone(volumes):
    torch.testing.assert_close(make(volumes)[5].image, make(volumes)[5].image)
    assert not torch.equal(make(volumes)[5].image, make(volumes, seed=2)[5].image)
    assert make(volumes)[4].image.shape == (4, 1, 16, 16, 16)


def test_processes_share_a_batch_out(volumes):
    whole = make(volumes)[4].image
    parts = [make(volumes, rank=k, world=2)[4].image for k in (0, 1)]
    torch.testing.assert_close(whole[0::2], parts[0])
    torch.testing.assert_close(whole[1::2], parts[1])
    assert len(make(volumes, batch_size=1, rank=1, world=2)[3].image) == 1  # nobody stands idle


def test_warm_up_shows_spaces_alone(volumes):
    empty = replace(volumes[0], name='sub-3', target=np.zeros_like(volumes[0].target))
    data = make([*volumes, empty], warmup_steps=5, positive_share=0.0, steps=200)
    early = [data[k].target.flatten(1).any(1).float().mean() for k in range(5)]
    late = [data[k].target.flatten(1).any(1).float().mean() for k in range(5, 60)]
    assert np.mean(early) == 1.0
    assert np.mean(late) < 0.9


def test_whole_volumes_are_centred_moved_and_padded(volumes):
    data = make(volumes, whole=True, size=(40, 48, 40))
    batch = data[3]
    assert batch.image.shape == (4, 1, 40, 48, 40)
    assert int(batch.target[0].sum()) in {int(v.target.sum()) for v in volumes}
    assert (batch.image[:, :, :, 0] == TissueLevels().outside).all()
    places = {tuple(torch.argwhere(t[0])[0].tolist()) for k in range(5) for t in data[k].target}
    assert len(places) > 4  # small translations and flips


def test_untraced_patches_join_after_the_warm_up(volumes):
    data = WithUnlabelled(make(volumes), make(volumes, seed=2, positive_share=0.0), 3)
    assert data[2].unlabelled is None
    assert data[4].unlabelled.shape == (4, 1, 16, 16, 16)
    parts = data[4].split(3)
    assert [len(p.image) for p in parts] == [3, 1]
    assert [len(p.unlabelled) for p in parts] == [3, 1]


@pytest.mark.parametrize('channels', [1, 2])
def test_values_stay_within_the_rule(volumes, paired, channels):
    rule = TissueLevels()
    image = make(volumes if channels == 1 else paired)[1].image
    assert image.shape[1] == channels
    assert rule.low <= image.min() <= image.max() <= rule.high


def test_turns_are_the_symmetries_of_a_cube_and_move_the_target_along(rng):
    image = rng.normal(size=(2, 3, 3, 3))
    target = image[:1].copy()
    seen = {}
    for _ in range(1000):
        turned, moved = turn(image, target, rng, every=True)
        np.testing.assert_array_equal(turned[:1], moved)
        seen[turned.tobytes()] = np.sort(turned[1], None)
    assert len(seen) == 48
    assert all((values == np.sort(image[1], None)).all() for values in seen.values())


def test_without_turns_the_mid_sagittal_flip_alone(rng):
    image = rng.normal(size=(1, 2, 3, 4))
    seen = {turn(image, image, rng, every=False)[0].tobytes() for _ in range(50)}
    assert seen == {image.tobytes(), np.ascontiguousarray(image[:, ::-1]).tobytes()}
