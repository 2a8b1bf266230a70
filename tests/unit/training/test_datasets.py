from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation.patch_generator import GeneratedPatch
from pvs_bidsapp.training.datasets import GeneratedPatchDataset, PatchDataset, SemiSupervisedDataset
from pvs_bidsapp.training.sampling import Sampling

SAMPLING = Sampling(shape=(16, 16, 16), batch_size=4, steps=9, seed=1)


def make(images, **changes) -> PatchDataset:
    return PatchDataset(images, TissueNormalization(), replace(SAMPLING, **changes))


def test_a_batch_depends_on_the_seed_and_the_step_only(images):
    torch.testing.assert_close(make(images)[5].image, make(images)[5].image)
    assert not torch.equal(make(images)[5].image, make(images, seed=2)[5].image)
    assert make(images)[4].image.shape == (4, 1, 16, 16, 16)


def test_processes_share_a_batch(images):
    whole = make(images)[4].image
    parts = [make(images, rank=k, world_size=2)[4].image for k in (0, 1)]
    torch.testing.assert_close(whole[0::2], parts[0])
    torch.testing.assert_close(whole[1::2], parts[1])
    assert len(make(images, batch_size=1, rank=1, world_size=2)[3].image) == 1  # no process is idle


def test_patches_of_the_warm_up_all_hold_spaces(images):
    empty = replace(images[0], name='sub-3', label=np.zeros_like(images[0].label))
    data = make([*images, empty], warmup_steps=5, positive_fraction=0.0, steps=200)
    early = [data[k].label.flatten(1).any(1).float().mean() for k in range(5)]
    late = [data[k].label.flatten(1).any(1).float().mean() for k in range(5, 60)]
    assert np.mean(early) == 1.0
    assert np.mean(late) < 0.9


def test_whole_volumes_are_centred_moved_and_padded(images):
    data = make(images, whole_volumes=True, shape=(40, 48, 40))
    batch = data[3]
    assert batch.image.shape == (4, 1, 40, 48, 40)
    assert int(batch.label[0].sum()) in {int(i.label.sum()) for i in images}
    assert (batch.image[:, :, :, 0] == TissueNormalization().outside).all()
    places = {tuple(torch.argwhere(t[0])[0].tolist()) for k in range(5) for t in data[k].label}
    assert len(places) > 4  # small translations and flips


def test_unlabelled_patches_join_after_the_warm_up(images):
    data = SemiSupervisedDataset(make(images), make(images, seed=2, positive_fraction=0.0), 3)
    assert data[2].unlabelled is None
    assert data[4].unlabelled.shape == (4, 1, 16, 16, 16)
    parts = data[4].split(3)
    assert [len(p.image) for p in parts] == [3, 1]
    assert [len(p.unlabelled) for p in parts] == [3, 1]


class Alternating:
    """Draws patches whose left half is a space; of every other one, a corner is left out."""

    def draw(self, rng: np.random.Generator) -> GeneratedPatch:
        label, corner = np.zeros((2, 4, 4, 4), np.float32)
        label[:2], corner[0, 0, 0] = 1, 1
        return GeneratedPatch(
            image=label[None], label=label, occupancy=label, brain=label >= 0, spacing=np.ones(3),
            left_out=corner > 0 if rng.random() < 0.5 else None,
        )  # fmt: skip


def test_voxels_that_are_left_out_turn_with_their_patch():
    data = GeneratedPatchDataset(Alternating(), replace(SAMPLING, shape=(4, 4, 4), all_orientations=True))
    batches = [batch for k in range(9) if (batch := data[k]).counted is not None]
    places = set()
    for batch in batches:
        out = ~batch.counted
        assert batch.counted.shape == batch.label.shape
        assert out.flatten(1).sum(1).max() == 1
        assert (batch.label[out] == 1).all()
        places |= {tuple(place) for place in torch.argwhere(out)[:, 2:].tolist()}
    assert len(places) > 1
    parts = batch.split(3)
    torch.testing.assert_close(torch.cat([part.counted for part in parts]), batch.counted)
    assert batch.to(torch.device('cpu')).counted is not None


@pytest.mark.parametrize('channels', [1, 2])
def test_values_stay_within_the_range_of_the_normalization(images, paired, channels):
    values = TissueNormalization()
    image = make(images if channels == 1 else paired)[1].image
    assert image.shape[1] == channels
    assert values.low <= image.min() <= image.max() <= values.high
