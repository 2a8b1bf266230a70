"""Training of several networks on the same patches: what is kept, what counts, what each network gets."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.simulation.label_maps import template_anatomy
from pvs_bidsapp.simulation.patch_source import prepare_source

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def together(script):
    with script('train_together') as module:
        yield module


@pytest.fixture(scope='module')
def patches(together):
    source = prepare_source(template_anatomy())
    return together.Patches([source], [source], [], size=32, seed=3)


def test_a_patch_depends_on_seed_and_number_only(together, patches):
    (kind, is_aligned, image, target), again = patches[together.HELD + 5], patches[together.HELD + 5]
    assert (kind, patches[0][0]) == (together.SIMULATED, together.HELD_OUT)
    assert is_aligned == again[1]
    assert torch.equal(image, again[2])
    assert torch.equal(target, again[3])
    assert image.shape == (2, 32, 32, 32)
    assert not torch.equal(image, patches[together.HELD + 6][2])


def test_a_store_keeps_the_newest(together):
    store = together.Store(3, 1, 4, CPU)
    for number in range(5):
        store.add(torch.full((1, 4, 4, 4), float(number)), torch.zeros(4, 4, 4), is_aligned=number == 4)
    assert len(store) == 3
    assert sorted(store.images[:, 0, 0, 0, 0].tolist()) == [2, 3, 4]
    assert store.are_aligned.sum() == 1


def test_unknown_voxels_do_not_count(together):
    target = torch.zeros((1, 1, 8, 8, 8), dtype=torch.uint8)
    target[..., :2] = 1
    target[..., 6:] = 2
    logits = torch.zeros(target.shape, requires_grad=True)
    loss = together.cross_entropy(logits, target)
    assert float(loss.detach()) == pytest.approx(6 * 64 * np.log(2) / 128)
    loss.backward()
    assert not logits.grad[..., 6:].any()
    assert logits.grad[..., :6].all()


def test_batches_are_patches_mirrored_and_with_noise_in_the_brain(together, patches):
    stores = {
        name: together.Store(together.START, n, 32, CPU) for name, n in (('simulated', 2), ('on_scans', 1))
    }
    _, _, image, target = patches[together.HELD]
    for place in range(4):
        stores['simulated'].add(image, target, is_aligned=place == 2)
    stores['simulated'].images[2, 1] = 1.5  # the only one that a network of the T2w alone may get
    for _ in range(together.START):
        stores['on_scans'].add(torch.full((1, 32, 32, 32), 9.0), target, is_aligned=True)
    batches = together.Batches(SimpleNamespace(**stores), 8, np.random.default_rng(1))
    outside = TissueNormalization().outside
    both, targets = batches.draw((0, 1))
    assert both.shape == (8, 2, 32, 32, 32)
    assert targets.shape == (8, 1, 32, 32, 32)
    spread = torch.stack([one[0][one[0] != outside].std() for one in both])
    assert len(spread.unique()) > 1
    assert (both[:, 0] == outside).sum() == 8 * (image[0].float() == outside).sum()
    alone, _ = batches.draw((1,))
    assert abs(float(alone.mean()) - 1.5) < 0.05
    from_scans = sum(float((batches.draw((0,))[0].mean((1, 2, 3, 4)) > 5).sum()) for _ in range(20))
    assert 0.1 < from_scans / 160 < 0.35


def test_a_network_learns_and_is_written(together, patches, tmp_path):
    architecture = {'name': 'm2ss', 'in_channels': 2, 'filters': 2, 'side_filters': 2, 'levels': 2}
    torch.manual_seed(1)
    pupil = together.Pupil.new('m2ss-t1t2', architecture, CPU)
    items = [patches[together.HELD + k] for k in range(2)]
    image = torch.stack([item[2] for item in items]).float()
    target = torch.stack([item[3] for item in items])[:, None]
    losses = [float(pupil.learn(image, target, 0.01)) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    store = together.Store(2, 2, 32, CPU)
    for _, is_aligned, one, label in items:
        store.add(one, label, is_aligned=is_aligned)
    dice, entropy = together.look(pupil, store)
    assert 0 <= dice <= 1
    assert entropy > 0
    pupil.save(tmp_path / 'x.pt', architecture)
    state = torch.load(tmp_path / 'x.pt', weights_only=True)
    assert state['steps'] == 30
    build(state['architecture']).load_state_dict(state['weights'])
