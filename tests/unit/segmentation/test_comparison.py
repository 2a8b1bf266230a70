"""The comparison with the sure voxels of a patch: it changes nothing at first, and doubt by what is sure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.segmentation.networks.comparison import (
    LOWEST,
    NUMBER_SCALE,
    PRIOR,
    Comparison,
    neighbourhoods,
    summarise,
)

NETWORKS = {
    'joliot2021': {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 2, 'refine': 2},
    'm2ss': {'name': 'm2ss', 'in_channels': 2, 'filters': 2, 'side_filters': 2, 'levels': 2},
}


@pytest.fixture
def comparison():
    """A comparison that changes something."""
    torch.manual_seed(1)
    comparison = Comparison(1, 2, 4)
    for layer in (comparison.head, comparison.first, comparison.second):
        nn.init.normal_(layer.weight)
    return comparison


def scene(sure: float = 9.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image, features and logits of a patch with doubt in its middle and a sure corner far from it."""
    torch.manual_seed(2)
    logits = torch.full((1, 1, 9, 9, 9), -9.0)
    logits[0, 0, 4, 4, 4], logits[0, 0, 0, 0, 0] = 0.5, sure
    return torch.randn(1, 1, 9, 9, 9), torch.randn(1, 2, 9, 9, 9), logits


@pytest.mark.parametrize('limit', [0.01, 0.5, 100.0])
def test_changes_stay_within_a_limit(comparison, limit):
    image, features, logits = scene()
    change = comparison(image, features, logits) - logits
    comparison.limit = limit
    limited = comparison(image, features, logits) - logits
    torch.testing.assert_close(limited, limit * torch.tanh(change / limit), atol=1e-6, rtol=1e-4)
    assert limited.abs().max() < limit + 1e-5  # of logits to 9, in single precision


def test_a_limit_of_0_is_none(comparison):
    unlimited = comparison(*scene())
    comparison.limit = 1e6
    torch.testing.assert_close(comparison(*scene()), unlimited)


@pytest.mark.parametrize('architecture', NETWORKS.values(), ids=NETWORKS)
def test_the_limit_of_a_card_is_that_of_the_network(architecture):
    assert build(architecture | {'compare': 4, 'compare_limit': 0.5}).comparison.limit == 0.5
    assert build(architecture | {'compare': 4}).comparison.limit == 0.0


@pytest.mark.parametrize('architecture', NETWORKS.values(), ids=NETWORKS)
def test_it_changes_nothing_before_it_is_trained(architecture):
    compared, plain = build(architecture | {'compare': 4}).eval(), build(architecture).eval()
    assert plain.comparison is None
    missing = plain.load_state_dict(compared.state_dict(), strict=False)
    assert missing.unexpected_keys
    assert all(name.startswith('comparison.') for name in missing.unexpected_keys)
    volume = torch.randn(1, architecture['in_channels'], 16, 20, 16)
    torch.testing.assert_close(compared(volume), plain(volume))


def test_the_autoencoder_has_none():
    assert build(NETWORKS['joliot2021'] | {'name': 'joliot2021-autoencoder', 'compare': 4}).comparison is None


def test_the_summary_of_known_probabilities():
    logits, patch = torch.tensor([100.0, 100.0, -100.0, 100.0]), torch.tensor([0, 0, 0, 2])
    features = torch.tensor([[3.0], [5.0], [1000.0], [9.0]])
    rows = []
    for number, total in ((2, 8.0), (0, 0.0), (1, 9.0)):
        row = [math.log(1 + number) / NUMBER_SCALE, total / (number + PRIOR)]
        rows.append(row + row)
    torch.testing.assert_close(summarise(features, logits, patch, 3), torch.tensor(rows))


def test_neighbours_beyond_a_face_are_0():
    volume = torch.randn(2, 3, 4, 5, 6)
    near = neighbourhoods(volume, torch.tensor([[0, 1, 2, 3], [1, 3, 0, 5]]))
    torch.testing.assert_close(near[0], volume[0, :, 0:3, 1:4, 2:5])
    expected = torch.zeros(3, 3, 3, 3)
    expected[:, :2, 1:, :2] = volume[1, :, 2:4, 0:2, 4:6]
    torch.testing.assert_close(near[1], expected)
    assert neighbourhoods(volume, torch.zeros((0, 4), dtype=torch.long)).shape == (0, 3, 3, 3, 3)


def test_what_is_sure_far_away_counts(comparison):
    image, features, logits = scene()
    other = image.clone()
    other[0, 0, :2, :2, :2] += 1
    change, otherwise = (comparison(each, features, logits)[0, 0, 4, 4, 4] for each in (image, other))
    assert abs(float((change - otherwise).detach())) > 1e-3
    # without anything sure there, its image does not matter
    image, features, logits = scene(sure=-9.0)
    torch.testing.assert_close(
        comparison(image, features, logits)[0, 0, 4, 4, 4], comparison(other, features, logits)[0, 0, 4, 4, 4]
    )


def test_patches_of_a_batch_do_not_mix(comparison):
    image, features, logits = scene()
    both = [torch.cat([each, each.roll(1, 2)]) for each in (image, features, logits)]
    torch.testing.assert_close(comparison(*both)[:1], comparison(image, features, logits))


def test_what_is_surely_outside_stays(comparison):
    image, features, logits = scene()
    changed = comparison(image, features, logits) != logits
    torch.testing.assert_close(changed, logits > LOWEST)


def test_a_patch_without_doubt_gets_the_offset_alone(comparison):
    image, features, logits = scene()
    nn.init.constant_(comparison.offset, 0.5)
    logits = torch.full_like(logits, LOWEST - 1)
    torch.testing.assert_close(comparison(image, features, logits), logits + 0.5)


def test_kept_voxels_are_corrected_as_in_the_patch(comparison):
    """Where no voxel near the faces is in doubt, training sees what the network sees."""
    from pvs_bidsapp.training.comparison import FACES, doubtful_voxels

    torch.manual_seed(3)
    size = 12
    image, features = torch.randn(1, 1, *[size] * 3), torch.randn(1, 2, *[size] * 3)
    logits = torch.full((1, 1, *[size] * 3), -100.0)
    inner = (slice(FACES, -FACES),) * 3
    logits[0, 0][inner] = torch.randn(6, 6, 6) * 2
    found = doubtful_voxels(image[0], features[0], logits[0], torch.zeros(*[size] * 3).numpy())
    near, seen, few = (torch.from_numpy(each).float() for each in (found.near, found.features, found.logits))
    with torch.no_grad():
        single = comparison.correct_voxels(near, seen, few, torch.zeros(len(few), dtype=torch.long), 1)
        whole = comparison(image, features, logits)[0, 0]
    torch.testing.assert_close(single, whole[logits[0, 0] > LOWEST], atol=0.02, rtol=0.01)
