from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.training.patches import (
    PatchDataset,
    Sampling,
    SemiSupervisedDataset,
    random_orientation,
    reduce_contrast,
)

SAMPLING = Sampling(size=(16, 16, 16), batch_size=4, steps=9, seed=1)


def make(volumes, **changes) -> PatchDataset:
    return PatchDataset(volumes, TissueNormalization(), replace(SAMPLING, **changes))


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
    assert (batch.image[:, :, :, 0] == TissueNormalization().outside).all()
    places = {tuple(torch.argwhere(t[0])[0].tolist()) for k in range(5) for t in data[k].target}
    assert len(places) > 4  # small translations and flips


def test_untraced_patches_join_after_the_warm_up(volumes):
    data = SemiSupervisedDataset(make(volumes), make(volumes, seed=2, positive_share=0.0), 3)
    assert data[2].unlabelled is None
    assert data[4].unlabelled.shape == (4, 1, 16, 16, 16)
    parts = data[4].split(3)
    assert [len(p.image) for p in parts] == [3, 1]
    assert [len(p.unlabelled) for p in parts] == [3, 1]


@pytest.mark.parametrize('channels', [1, 2])
def test_values_stay_within_the_rule(volumes, paired, channels):
    rule = TissueNormalization()
    image = make(volumes if channels == 1 else paired)[1].image
    assert image.shape[1] == channels
    assert rule.low <= image.min() <= image.max() <= rule.high


def test_turns_are_the_symmetries_of_a_cube_and_move_the_target_along(rng):
    image = rng.normal(size=(2, 3, 3, 3))
    target = image[:1].copy()
    seen = {}
    for _ in range(1000):
        turned, moved = random_orientation(image, target, rng, every=True)
        np.testing.assert_array_equal(turned[:1], moved)
        seen[turned.tobytes()] = np.sort(turned[1], None)
    assert len(seen) == 48
    assert all((values == np.sort(image[1], None)).all() for values in seen.values())


def test_without_turns_the_mid_sagittal_flip_alone(rng):
    image = rng.normal(size=(1, 2, 3, 4))
    seen = {random_orientation(image, image, rng, every=False)[0].tobytes() for _ in range(50)}
    assert seen == {image.tobytes(), np.ascontiguousarray(image[:, ::-1]).tobytes()}


def test_faded_spaces_lose_contrast_and_keep_their_shape_and_noise(rng):
    target = np.zeros((40, 40, 40), np.float32)
    target[10:13, 10:13, 5:35] = target[25:28, 22:25, 5:35] = 1
    noise = rng.normal(0, 0.1, target.shape).astype(np.float32)
    image = 0.4 - 1.2 * ndimage.gaussian_filter(target, 0.5) + noise
    faded = reduce_contrast(image, target, 0.5, rng)
    inside, far = target > 0, ndimage.distance_transform_edt(target == 0) > 4
    rim = ndimage.binary_dilation(inside) & ~inside
    for part in (inside, rim):
        assert (0.4 - faded[part]).mean() == pytest.approx(0.5 * (0.4 - image[part]).mean(), abs=0.03)
    assert np.diff(faded, axis=2)[inside[..., 1:] & inside[..., :-1]].std() == pytest.approx(0.141, rel=0.2)
    np.testing.assert_allclose(faded[far], image[far], atol=2e-3)
    np.testing.assert_allclose(reduce_contrast(image, target, 0.0, rng), image, atol=1e-5)
    assert np.array_equal(reduce_contrast(image, np.zeros_like(target), 0.7, rng), image)


def test_spaces_fade_towards_what_is_around_them(rng):
    target = np.zeros((30, 30, 30), np.float32)
    target[14:16, 14:16, 5:25] = 1
    image = np.where(target > 0, -1.5, -0.5).astype(np.float32)  # in grey matter, not in white
    faded = reduce_contrast(image, target, 0.6, rng)
    assert faded[target > 0].mean() == pytest.approx(-0.9, abs=0.05)
    assert faded.max() < -0.49
