"""A comparison learns from the doubtful voxels of patches, and from what is sure in each of them."""

from __future__ import annotations

import numpy as np
import torch

from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.segmentation.networks.comparison import LOWEST, Comparison
from pvs_bidsapp.training.comparison import (
    FACES,
    ORIENTATIONS,
    Collector,
    DoubtfulVoxels,
    doubtful_voxels,
    fit_comparison,
)
from pvs_bidsapp.training.datasets import Batch

SMALL = {'name': 'm2ss', 'in_channels': 1, 'filters': 2, 'side_filters': 2, 'levels': 1, 'compare': 4}


def test_doubtful_voxels_with_their_neighbours():
    image = torch.arange(8.0**3).reshape(1, 8, 8, 8)
    features = 2 * image
    logits = torch.full((1, 8, 8, 8), -9.0)
    logits[0, 4, 3, 4], logits[0, 0, 4, 4] = 10.0, 2.0  # the second lies by a face
    label = np.zeros((8, 8, 8), np.int8)
    label[4, 3, 4] = 1
    found = doubtful_voxels(image, features, logits, label)
    assert found.label.tolist() == [1]
    assert found.logits.tolist() == [10.0]
    assert found.features.tolist() == [[2 * float(image[0, 4, 3, 4])]]
    np.testing.assert_array_equal(found.near[0, 0], image[0, 3:6, 2:5, 3:6])
    expected = np.full((3, 3, 3), -1.0)
    expected[1, 1, 1] = 1
    np.testing.assert_array_equal(found.near[0, 1], expected)


def test_they_are_written_and_read(tmp_path):
    found = doubtful_voxels(
        torch.randn(1, 8, 8, 8), torch.randn(2, 8, 8, 8), torch.ones(1, 8, 8, 8), np.ones((8, 8, 8), np.int8)
    )
    found.write(tmp_path / 'patch.npz')
    again = DoubtfulVoxels.read(tmp_path / 'patch.npz')
    assert len(again.label) == (8 - 2 * FACES) ** 3
    for name in ('near', 'features', 'logits', 'label'):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_a_batch_goes_through_the_network_once():
    torch.manual_seed(0)
    network = build(SMALL)
    torch.nn.init.constant_(network.head.bias, LOWEST + 1)
    image, label = torch.randn(2, 1, 16, 16, 16), (torch.rand(2, 1, 16, 16, 16) > 0.5).float()
    counted = torch.ones_like(label)
    counted[0, 0, :8] = 0
    found = Collector(network, torch.device('cpu')).collect(Batch(image, label, counted=counted > 0))
    with torch.no_grad():
        logits = network(image)[:, 0]  # the comparison is untrained
    inner = (slice(FACES, -FACES),) * 3
    for k in range(2):
        there = logits[k][inner][logits[k][inner] > LOWEST]
        torch.testing.assert_close(torch.from_numpy(found[k].logits), there)
    assert set(found[0].label) == {-1, 0, 1}
    assert set(found[1].label) == {0, 1}


def test_all_orientations_are_there_once():
    cube = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
    turned = [cube.permute(0, 1, *order).flip(axes) for order, axes in ORIENTATIONS]
    assert len({tuple(each.flatten().tolist()) for each in turned}) == 48


def contrast_patch(rng: np.random.Generator) -> DoubtfulVoxels:
    """A patch whose spaces are as dark or as bright as its sure voxels: the image alone does not tell."""
    is_bright = rng.random() < 0.5
    values = np.concatenate([np.full(40, 1.0 if is_bright else -1.0), rng.normal(0, 1, 60)])
    near = np.zeros((100, 2, 3, 3, 3), np.float16)
    near[:, 0] = values[:, None, None, None]
    logits = np.concatenate([np.full(40, 6.0), np.zeros(60)]).astype(np.float32)
    near[:, 1] = np.clip(logits, -5, 5)[:, None, None, None] / 5
    label = np.concatenate([np.ones(40), (values[40:] > 0) == is_bright]).astype(np.int8)
    return DoubtfulVoxels(near=near, features=np.zeros((100, 1), np.float16), logits=logits, label=label)


def test_it_learns_what_only_the_sure_voxels_tell():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    comparison = Comparison(1, 1, 8)
    chance = np.log(2) * 60 / 100  # of the doubtful voxels; at least a hundred voxels count
    patches = [contrast_patch(rng) for _ in range(64)]
    assert fit_comparison(comparison, patches, seed=1, passes=60) < 0.5 * chance
    unseen = contrast_patch(rng)
    corrected = comparison.correct_voxels(
        *(torch.from_numpy(each).float() for each in (unseen.near, unseen.features, unseen.logits)),
        torch.zeros(100, dtype=torch.long),
        1,
    )
    assert ((corrected > 0).numpy() == unseen.label).mean() > 0.9


def test_the_seed_decides():
    def fitted(seed: int) -> list[float]:
        torch.manual_seed(0)
        comparison = Comparison(1, 1, 4)
        rng = np.random.default_rng(0)
        fit_comparison(comparison, [contrast_patch(rng) for _ in range(20)], seed=seed, passes=2)
        return torch.cat([each.flatten() for each in comparison.parameters()]).tolist()

    assert fitted(1) == fitted(1) != fitted(2)


def test_voxels_that_do_not_count_are_left_out_of_the_loss():
    patch = contrast_patch(np.random.default_rng(0))
    losses = []
    for label in (patch.label[40:], -1):  # the others are sure, and right
        patch.label[40:] = label
        losses.append(fit_comparison(Comparison(1, 1, 4), [patch], seed=1, passes=1))
    assert losses[1] < 0.01 < 0.2 < losses[0]


def test_it_ends_when_it_is_told_to():
    comparison = Comparison(1, 1, 4)
    before = [each.clone() for each in comparison.parameters()]
    patches = [contrast_patch(np.random.default_rng(0))]
    fit_comparison(comparison, patches, seed=1, wants_to_end=lambda: True)
    assert all(torch.equal(a, b) for a, b in zip(before, comparison.parameters(), strict=True))
