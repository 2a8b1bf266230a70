import json

import numpy as np
import pytest
import torch

from pvs_bidsapp.anatomy.resampling import Grid, isotropic_grid, resample
from pvs_bidsapp.errors import ImageError, InputError, ModelError
from pvs_bidsapp.segmentation import model as bundles
from pvs_bidsapp.segmentation.device import choose_device
from pvs_bidsapp.segmentation.grid import BOX, network_grid
from pvs_bidsapp.segmentation.intensity import TissueNormalization, measure_levels
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.segmentation.predict import predict, run_network

SMALL = {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 2, 'dropout': 0.1}


def card(**changes):
    values = {
        'name': 'small', 'version': '1', 'architecture': SMALL, 'channels': ('T1w',), 'spacing': 1.0,
        'box': (16, 16, 16), 'intensity': TissueNormalization().card(), 'threshold': 0.5, 'min_cluster_size': 0.0,
        'trained_on': '', 'limits': '', 'licence': '',
    }  # fmt: skip
    return bundles.ModelCard(**(values | changes))


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


@pytest.mark.parametrize('spacing', [0.8, (0.6, 1.2)])
def test_a_card_keeps_one_voxel_size_or_a_range(tmp_path, spacing):
    bundles.write_model(tmp_path / 'm', build(SMALL), card(spacing=spacing))
    assert bundles.find(tmp_path / 'm').card.spacing == spacing


def test_bundle_round_trip_and_tampering(tmp_path):
    network = build(SMALL).eval()
    bundles.write_model(tmp_path, network, card())
    bundle = bundles.find(tmp_path)
    again = bundle.network()
    image = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(network(image), again(image), atol=2e-2, rtol=2e-2)  # half precision
    data = bytearray(bundle.weights.read_bytes())
    data[-1] ^= 1
    bundle.weights.write_bytes(data)
    with pytest.raises(ModelError, match='checksum'):
        bundle.network()
    bundle.weights.unlink()
    with pytest.raises(ModelError, match='missing'):
        bundle.verify()


def test_bad_cards(tmp_path):
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        bundles.find('nowhere')
    (tmp_path / 'model.json').write_text('{"name": 1}')
    with pytest.raises(ModelError, match=r'model\.json'):
        bundles.find(tmp_path)
    bundles.write_model(tmp_path, build(SMALL), card(architecture={'name': 'other'}))
    with pytest.raises(ModelError, match='unknown architecture'):
        bundles.find(tmp_path).network()
    bundles.write_model(tmp_path, build(SMALL), card(architecture=SMALL | {'filters': 4}))
    with pytest.raises(ModelError, match='does not fit'):
        bundles.find(tmp_path).network()
    with pytest.raises(ModelError, match='intensity rule'):
        TissueNormalization.from_card({'rule': 'other'})


def test_bundled_models_match_their_cards():
    names = bundles.bundled_names()
    assert 'joliot2021-t1' in names
    for name in names:
        found = bundles.find(name)
        found.verify()
        assert found.weights.stat().st_size < 50e6
        assert 'simulated' in found.card.trained_on
        assert json.loads((found.folder / 'model.json').read_text())['licence']


def test_prediction_is_a_probability(tmp_path):
    bundles.write_model(tmp_path, build(SMALL), card())
    out = run_network(bundles.find(tmp_path), np.zeros((1, 16, 18, 16), np.float32), 'cpu')
    assert out.shape == (16, 18, 16)
    assert ((out >= 0) & (out <= 1)).all()


def test_a_scan_at_1_mm_reaches_the_grid_and_returns_untouched(rng):
    affine = np.array([[0, 0, -1, 90], [-1, 0, 0, 100], [0, 1, 0, -80], [0, 0, 0, 1.0]])
    image = rng.random((190, 180, 170)).astype(np.float32)
    brain = np.zeros(image.shape, bool)
    brain[30:160, 20:150, 20:150] = True
    grid = network_grid(brain, affine)
    assert grid.shape == BOX
    moved = resample(image, affine, grid, order=3)
    back = resample(moved, grid.affine, Grid(image.shape, affine), order=1)
    np.testing.assert_array_equal(back[brain], image[brain])


@pytest.mark.parametrize(('spacing', 'kept'), [((0.6, 1.2), True), (1.0, False)])
def test_the_scans_own_voxels_decide_and_not_those_of_its_anatomy(rng, tmp_path, monkeypatch, spacing, kept):
    made = bundles.Model(card(spacing=spacing), tmp_path)
    monkeypatch.setattr(
        'pvs_bidsapp.segmentation.predict.run_network', lambda bundle, volume, device: volume[0] / 10 + 0.5
    )
    affine, anatomy = np.diag([0.7, 0.7, 0.7, 1.0]), np.eye(4)
    image = rng.uniform(0.9, 1.1, (40, 40, 40)).astype(np.float32)
    brain, tissues = np.zeros((28, 28, 28), bool), np.full((28, 28, 28), 3, np.uint8)
    brain[4:24, 4:24, 4:24] = True
    tissues[10:14, 10:14, 10:14] = 1
    image[14:21, 14:21, 14:21] -= 0.7
    found = predict([image], affine, brain, tissues, anatomy, made)
    inner = (slice(8, 30),) * 3
    gain = np.polyfit(image[inner].ravel(), found[inner].ravel(), 1)
    exact = np.abs(np.polyval(gain, image[inner]) - found[inner]).max() < 1e-4
    assert exact == kept


@pytest.mark.parametrize(
    ('voxels', 'expected'),
    [
        ((0.7, 0.7, 0.7), (0.7, 0.7, 0.7)),
        ((0.4, 1.0, 2.5), (0.6, 1.0, 1.2)),
        ((1.2, 1.1, 0.6), (1.2, 1.1, 0.6)),
    ],
)
def test_within_a_range_each_axis_keeps_its_own_voxels(rng, voxels, expected):
    image, brain = rng.normal(size=(20, 24, 22)).astype(np.float32), np.zeros((20, 24, 22), bool)
    brain[5:15, 6:18, 4:16] = True
    affine = np.diag([*voxels, 1.0])
    grid = network_grid(brain, affine, spacing=(0.6, 1.2), box=(8, 8, 8))
    np.testing.assert_allclose(np.diag(grid.affine)[:3], expected, rtol=1e-6)
    if voxels == expected:
        there = resample(image, affine, grid, order=3)
        back = resample(there, grid.affine, Grid(image.shape, affine), order=1)
        np.testing.assert_array_equal(back[brain], image[brain])


def test_the_box_grows_about_a_large_brain():
    brain = np.ones((220, 230, 200), bool)
    assert all(n >= m for n, m in zip(network_grid(brain, np.eye(4)).shape, brain.shape, strict=True))


def test_resampling_keeps_positions_on_oblique_grids():
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.7, 0.7, 1.3])
    affine[:3, 3] = (-20, 5, 7)
    grid = isotropic_grid(affine, (60, 60, 40), 1.0)
    world = np.stack(np.meshgrid(*[np.arange(n) for n in (60, 60, 40)], indexing='ij'), -1) @ affine[:3, :3].T
    image = (world + affine[:3, 3])[..., 0].astype(np.float32)
    moved = resample(image, affine, grid, order=1)
    expected = (np.array([15, 20, 25, 1]) @ grid.affine.T)[0]
    assert moved[15, 20, 25] == pytest.approx(expected, abs=0.05)


def test_white_matter_and_csf_are_sent_to_their_values(rng):
    tissues = np.repeat([1, 2, 3], 12)[:, None, None] * np.ones((36, 12, 12), int)
    for csf, wm in ((20, 100), (300, 80)):  # T1w, T2w
        image = np.where(tissues == 1, csf, np.where(tissues == 2, (csf + wm) / 2, wm)).astype(float)
        rule = TissueNormalization()
        scaled = rule.apply(image, measure_levels(image, tissues))
        assert scaled[tissues == 3].mean() == pytest.approx(rule.wm)
        assert scaled[tissues == 1].mean() == pytest.approx(rule.csf)
        assert scaled.min() >= rule.low
    with pytest.raises(ImageError, match='same intensity'):
        measure_levels(np.ones(tissues.shape), tissues)
    with pytest.raises(ImageError, match='no white matter'):
        measure_levels(image, np.ones_like(tissues))


def test_only_auto_falls_back(caplog):
    if torch.cuda.is_available():
        pytest.skip('a GPU is present: the fall-back cannot be seen')
    assert choose_device('auto') == 'cpu'
    assert 'no usable GPU' in caplog.text
    with pytest.raises(InputError, match=r'--device cuda: .*; --device cpu runs without'):
        choose_device('cuda')
    with pytest.raises(InputError, match='auto, cpu'):
        choose_device('tpu')
