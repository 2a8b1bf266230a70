"""The networks, compared with the papers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.segmentation.networks.convolution import Conv3
from pvs_bidsapp.training.recipes import RECIPES

M2SS = RECIPES['m2ss'].architecture
SMALL = {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 2, 'dropout': 0.1}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def layers(network: nn.Module, layer: type) -> list:
    return [m for m in network.modules() if isinstance(m, layer)]


def test_the_autoencoder_is_the_u_net_without_skips():
    auto = build({'name': 'joliot2021-autoencoder'})
    whole = build({'name': 'joliot2021'})
    assert [b[0].in_channels for b in auto.decoder] == [512, 256, 128, 64, 32, 16]
    assert [b[0].in_channels for b in whole.decoder] == [768, 384, 192, 96, 48, 24]
    skips = sum(27 * w * w for w in (8, 16, 32, 64, 128, 256))
    assert count(whole) - count(auto) == skips
    assert auto.eval()(torch.zeros(1, 1, 64, 64, 64)).shape == (1, 1, 64, 64, 64)


def test_m2ss_has_four_side_inputs_that_alternate():
    network = build(M2SS)
    order = [[type(part).__name__ for part in side] for side in network.sides]
    assert order == [['ConvUnit', 'AvgPool3d'], ['AvgPool3d', 'ConvUnit']] * 2
    scales = [layers(side, nn.AvgPool3d)[0].kernel_size for side in network.sides]
    assert scales == [2, 4, 8, 16]
    image = torch.zeros(1, 2, 32, 32, 32)
    assert [side.eval()(image).shape[-1] for side in network.sides] == [16, 8, 4, 2]


def test_m2ss_layers_filters_and_parameters():
    network = build(M2SS)
    convolutions = layers(network, nn.Conv3d)
    assert all(c.kernel_size == (3, 3, 3) for c in convolutions[:-1])
    assert convolutions[-1].kernel_size == (1, 1, 1)
    assert len(convolutions) == 4 + 2 * 5 + 2 * 4 + 1
    assert [b[0][0].out_channels for b in network.encoder] == [16, 32, 64, 128, 256]
    assert [b[0][0].in_channels for b in network.encoder] == [2, 24, 40, 72, 136]
    weights = [(2, 16), (16, 16), (24, 32), (32, 32), (40, 64), (64, 64), (72, 128), (128, 128),
               (136, 256), (256, 256), (384, 128), (128, 128), (192, 64), (64, 64), (96, 32), (32, 32),
               (48, 16), (16, 16), (2, 8), (2, 8), (2, 8), (2, 8)]  # fmt: skip
    assert count(network) == sum(27 * i * o + 2 * o for i, o in weights) + 16 + 1


def test_the_systems_of_table_1_differ_as_it_says():
    mono = build(RECIPES['m2ss-mono'].architecture)
    assert len(mono.sides) == 0
    assert RECIPES['supervised-mono'].architecture == RECIPES['m2ss-mono'].architecture
    names = ('m2ss', 'm2ss-mono', 'supervised-multi', 'supervised-mono')
    assert [RECIPES[name].semisupervised for name in names] == [True, True, False, False]
    for name in names:
        recipe = RECIPES[name]
        assert (recipe.patch_size, recipe.stride, recipe.spacing) == (32, 16, 0.8)
        assert (recipe.channels, recipe.warmup_epochs, recipe.confidence) == (('T1w', 'T2w'), 20, 0.8)
        assert recipe.loss == 'focal'


def test_the_recipe_of_joliot_is_the_papers():
    recipe = RECIPES['joliot2021']
    assert recipe.patch_size is None  # whole volumes
    assert (recipe.box, recipe.batch_size, recipe.pretraining) == ((160, 214, 176), 4, True)


@pytest.mark.parametrize(
    'architecture',
    [
        M2SS | {'filters': 2, 'side_filters': 2},
        M2SS | {'filters': 2, 'multi_scale': False},
        {'name': 'joliot2021-autoencoder', 'blocks': 3, 'filters': 2, 'in_channels': 2},
        {'name': 'ensemble', 'members': 2, 'of': M2SS | {'filters': 2, 'side_filters': 2}},
    ],
)
@pytest.mark.parametrize('shape', [(32, 32, 32), (35, 41, 38)])
def test_any_shape_and_gradients_everywhere(architecture, shape):
    network = build(architecture)
    out = network(torch.randn(2, 2, *shape))
    assert out.shape[2:] == shape
    (out * torch.randn_like(out)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_an_ensemble_averages_probabilities():
    one = {'name': 'joliot2021', 'blocks': 2, 'filters': 2}
    network = build({'name': 'ensemble', 'members': 3, 'of': one}).eval()
    image = torch.randn(1, 1, 8, 8, 8)
    mean = torch.stack([torch.sigmoid(m(image)) for m in network.members]).mean(0)
    torch.testing.assert_close(torch.sigmoid(network(image)), mean, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('shape', [(1, 1, 1), (2, 2, 2), (2, 5, 4), (4, 4, 2), (3, 3, 3), (8, 8, 8)])
def test_half_precision_gradients_are_right_in_small_volumes(shape):
    torch.manual_seed(0)
    layer = Conv3(16, 16).to(memory_format=torch.channels_last_3d)
    features, upstream = torch.randn(4, 16, *shape), torch.randn(4, 16, *shape)
    gradients = []
    for is_half in (False, True):
        layer.weight.grad = None
        junk = [torch.full((n,), 1e6, dtype=torch.bfloat16) for n in (10**4, 10**5, 10**6)]
        del junk  # so that memory which is read before it is written holds this
        with torch.autocast('cpu', torch.bfloat16, enabled=is_half):
            out = layer(features.contiguous(memory_format=torch.channels_last_3d))
        out.backward(upstream.to(out.dtype))
        gradients.append(layer.weight.grad)
    single, halved = gradients
    assert float((single - halved).abs().max()) < 0.02 * float(single.abs().max())


def test_the_network_is_the_papers():
    network = build({'name': 'joliot2021'})
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv3d)]
    assert len(network.encoder) == 7
    assert len(network.decoder) == 6
    assert [b[0].out_channels for b in network.encoder] == [8, 16, 32, 64, 128, 256, 512]
    assert all(c.kernel_size == (3, 3, 3) for c in convolutions[:-1])
    assert len(convolutions) == 2 * 13 + 1
    assert sum(isinstance(m, torch.nn.BatchNorm3d) for m in network.modules()) == 26
    assert sum(isinstance(m, torch.nn.SiLU) for m in network.modules()) == 26
    assert network.dropout.p == 0.1
    assert sum(p.numel() for p in network.parameters()) == 23_595_233


@pytest.mark.parametrize('shape', [(16, 16, 16), (17, 23, 19), (20, 27, 22)])
def test_output_has_the_inputs_shape(shape):
    assert build(SMALL).eval()(torch.zeros(1, 1, *shape)).shape == (1, 1, *shape)


def test_gradients_reach_every_parameter():
    network = build(SMALL)
    network(torch.randn(2, 1, 16, 16, 16)).sum().backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0
        for n, p in network.named_parameters()
        if 'head' not in n
    )
