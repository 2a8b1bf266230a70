"""Training of several networks on the same patches: what is kept, what counts, what each network gets."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from phantoms import small_anatomy

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.simulation.patch_source import prepare_source

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def together(script):
    with script('train_together') as module:
        yield module


@pytest.fixture(scope='module')
def patches(together):
    source = prepare_source(small_anatomy(scale=0.7, step=2))
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
    memory = together.Memory(held=together.Store(1, 2, 32, CPU), **stores)
    batches = together.Batches(memory, 8, np.random.default_rng(1))
    outside = TissueNormalization().outside
    both, targets = batches.draw((0, 1))
    assert both.shape == (8, 2, 32, 32, 32)
    assert targets.shape == (8, 1, 32, 32, 32)
    spread = torch.stack([one[0][one[0] != outside].std() for one in both])
    assert len(spread.unique()) > 1
    assert (both[:, 0] == outside).sum() == 8 * (image[0].float() == outside).sum()
    alone, _ = batches.draw((1,))
    assert abs(float(alone.mean()) - 1.5) < 0.05
    from_scans = sum(float((batches.draw((0,), real=0.2)[0].mean((1, 2, 3, 4)) > 5).sum()) for _ in range(20))
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
    dice, entropy, in_lesions = together.look(pupil, store)
    assert 0 <= dice <= 1
    assert 0 <= in_lesions <= 1
    assert entropy > 0
    pupil.save(tmp_path / 'm2ss-t1t2.pt')
    state = torch.load(tmp_path / 'm2ss-t1t2.pt', weights_only=True)
    assert state['steps'] == 30
    build(state['architecture']).load_state_dict(state['weights'])
    again = together.Pupil.new('m2ss-t1t2', architecture, CPU)
    again.start(tmp_path / 'm2ss-t1t2.pt')
    for name, weight in again.network.state_dict().items():
        torch.testing.assert_close(weight, pupil.average.module.state_dict()[name], rtol=2e-3, atol=1e-4)
    other = together.Pupil.new('m2ss-t1t2', architecture | {'filters': 3}, CPU)
    with pytest.raises(SystemExit, match='another network'):
        other.start(tmp_path / 'm2ss-t1t2.pt')


def test_patches_that_are_kept_are_the_same(together, tmp_path):
    memory = together.Memory.new(8, CPU, has_scans=False)
    memory.held = together.Store(2, 2, 8, CPU)
    memory.simulated = together.Store(4, 2, 8, CPU)
    for number in range(3):
        target = torch.full((8, 8, 8), number, dtype=torch.uint8)
        memory.simulated.add(torch.full((2, 8, 8, 8), number + 0.5), target, is_aligned=number == 1)
    memory.write(tmp_path / 'patches.pt')
    again = together.Memory.read(tmp_path / 'patches.pt', CPU)
    assert [len(store) for store in (again.held, again.simulated, again.on_scans)] == [0, 3, 0]
    assert torch.equal(again.simulated.images, memory.simulated.images[:3])
    assert torch.equal(again.simulated.targets, memory.simulated.targets[:3])
    assert again.simulated.are_aligned.tolist() == [False, True, False]


def test_lesions_are_a_class_of_their_own(together, tmp_path):
    architecture = together.architecture_of('lesion-class', 2) | {'levels': 2}
    torch.manual_seed(2)
    pupil = together.Pupil.new('lesion-class', architecture, CPU)
    image = torch.randn(2, 1, 16, 16, 16)
    target = torch.zeros((2, 1, 16, 16, 16), dtype=torch.uint8)
    target[:, :, :4, :4] = together.PVS
    target[:, :, 8:, 8:] = together.LESION
    image[target == together.PVS] -= 4  # as dark as a lesion, and of another shape
    image[target == together.LESION] -= 4
    for _ in range(200):
        pupil.learn(image, target, 0.02)
    probability = pupil.network.eval()(image).sigmoid()
    assert probability.shape[1] == 2
    assert probability[:, 1:][target == together.LESION].mean() > 0.7
    assert probability[:, 1:][target != together.LESION].mean() < 0.3
    pupil.save(tmp_path / 'x.pt')
    state = torch.load(tmp_path / 'x.pt', weights_only=True)
    build(architecture).load_state_dict(state['weights'])


def test_every_network_has_its_share_of_the_time(together, patches, tmp_path, monkeypatch):
    # a clock of its own, so that the machine's load is no matter: each look at it takes 0.02 s
    clock = SimpleNamespace(monotonic=itertools.count(0.0, 0.02).__next__)
    monkeypatch.setattr(together, 'time', clock)
    memory = together.Memory(*(together.Store(together.START, n, 32, CPU) for n in (2, 2, 1)))
    _, _, image, target = patches[together.HELD]
    for _ in range(together.START):
        memory.held.add(image, target, is_aligned=True)
        memory.simulated.add(image, target, is_aligned=True)
        memory.on_scans.add(image[:1], target, is_aligned=True)
    names = ('m2ss-t1', 't2', 'semi-mono')
    pupils = [together.Pupil.new(name, together.architecture_of(name, 1), CPU) for name in names]
    batches = together.Batches(memory, 1, np.random.default_rng(1))
    monkeypatch.setattr(together, 'WARM', 0.2)
    monkeypatch.setattr(together, 'REPORT', 1.0)
    together.Training(batches, None, pupils, tmp_path, minutes=0.1, rate=1e-3, pause=60).run()
    first, second, third = (pupil.seconds for pupil in pupils)
    assert first == pytest.approx(2 * second, rel=0.3)
    assert second == pytest.approx(third, rel=0.3)
    lines = [line.split('\t') for line in (tmp_path / 'log.tsv').read_text().splitlines()]
    assert {len(line) for line in lines} == {8}
    assert {line[2] for line in lines[1:]} == set(names)
    assert {path.stem for path in tmp_path.glob('*.pt')} == set(names)
