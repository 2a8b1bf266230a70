"""The second look at the image: it changes nothing at first, and draws borders that a network has blurred."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.segmentation.networks.refinement import Refinement

NETWORKS = {
    'joliot2021': {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 2},
    'm2ss': {'name': 'm2ss', 'in_channels': 2, 'filters': 2, 'side_filters': 2, 'levels': 2},
}


@pytest.mark.parametrize('architecture', NETWORKS.values(), ids=NETWORKS)
def test_it_changes_nothing_before_it_is_trained(architecture):
    refined, plain = build(architecture | {'refine': 4}).eval(), build(architecture | {'refine': 0}).eval()
    assert plain.refinement is None
    missing = plain.load_state_dict(refined.state_dict(), strict=False)
    assert all(name.startswith('refinement.') for name in missing.unexpected_keys)
    assert not missing.missing_keys
    volume = torch.randn(1, architecture['in_channels'], 16, 20, 16)
    torch.testing.assert_close(refined(volume), plain(volume))


def test_the_autoencoder_has_none():
    assert build(NETWORKS['joliot2021'] | {'name': 'joliot2021-autoencoder', 'refine': 4}).refinement is None


def test_it_sees_a_voxel_and_its_neighbours_only():
    torch.manual_seed(1)
    refinement = Refinement(1, 2, 4)
    nn.init.normal_(refinement.head.weight)
    volume = torch.zeros(1, 1, 9, 9, 9, requires_grad=True)
    features, logits = torch.zeros(1, 2, 9, 9, 9), torch.zeros(1, 1, 9, 9, 9)
    refinement(volume, features, logits)[0, 0, 4, 4, 4].backward()
    touched = volume.grad[0, 0].nonzero()
    assert touched.min() == 3
    assert touched.max() == 5
    assert len(touched) == 27


def test_what_is_beyond_doubt_is_seen_as_just_beyond():
    refinement = Refinement(1, 1, 2)
    nn.init.normal_(refinement.head.weight)
    image, features = torch.randn(1, 1, 4, 4, 4), torch.randn(1, 1, 4, 4, 4)
    sure, surer = (torch.full((1, 1, 4, 4, 4), value) for value in (6.0, 60.0))
    change = refinement(image, features, sure) - sure
    torch.testing.assert_close(refinement(image, features, surer) - surer, change, atol=1e-4, rtol=0)


def test_it_learns_a_border_that_blurred_logits_hide():
    rng = torch.Generator().manual_seed(2)
    image = torch.rand(8, 1, 8, 8, 8, generator=rng)
    label = (image > 0.6).float()
    logits = nn.functional.avg_pool3d(label, 3, 1, 1) * 4 - 2  # knows about where, not which voxel
    refinement = Refinement(1, 1, 8)
    optimizer = torch.optim.Adam(refinement.parameters(), 0.02)
    loss = nn.functional.binary_cross_entropy_with_logits
    before = float(loss(logits, label))
    for _ in range(80):
        optimizer.zero_grad()
        now = loss(refinement(image, torch.zeros_like(image), logits), label)
        now.backward()
        optimizer.step()
    assert float(now.detach()) < 0.5 * before
