from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pvs_bidsapp.segmentation.engine import OpenVinoEngine, TorchEngine, has_bf16, make_engine
from pvs_bidsapp.segmentation.model import bundled_names, load_model
from pvs_bidsapp.segmentation.networks import build

ROOT = Path(__file__).resolve().parents[3]
SMALL = {'name': 'joliot2021', 'blocks': 3, 'filters': 4}


@pytest.mark.parametrize('name', bundled_names())
def test_both_engines_give_the_same_probabilities_on_any_number_of_threads(rng, name):
    model = load_model(name)
    shape = (len(model.card.channels), *(model.card.patch_size,) * 3)
    patches = rng.normal(0, 1, (1, *shape)).astype(np.float32)
    network = model.network()
    first, again = (OpenVinoEngine(network, shape, num_threads=1)(patches) for _ in range(2))
    two = OpenVinoEngine(network, shape, num_threads=2)(patches)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, two)
    # a comparison sums over thousands of voxels of such noise, where both round differently
    np.testing.assert_allclose(first, TorchEngine(network, 'cpu')(patches), atol=1e-4)


@pytest.mark.parametrize(
    'architecture',
    [
        {'name': 'm2ss', 'in_channels': 1, 'filters': 2, 'side_filters': 2, 'levels': 3},
        {'name': 'm2ss', 'in_channels': 1, 'filters': 2, 'levels': 2, 'multi_scale': False},
        {'name': 'ensemble', 'members': 2, 'of': SMALL},
        SMALL | {'refine': 4},
        SMALL | {'refine': 2, 'compare': 4},
        SMALL,
    ],
)
@pytest.mark.parametrize('size', [16, 21])
def test_every_architecture_and_patch_size_is_converted(rng, architecture, size):
    network = build(architecture).eval()
    for part in (getattr(network, 'refinement', None), getattr(network, 'comparison', None)):
        for layer in () if part is None else part.children():  # untrained, they would change nothing
            if hasattr(layer, 'weight'):
                torch.nn.init.normal_(layer.weight, std=0.3)
    patches = rng.normal(0, 1, (3, 1, size, size, size)).astype(np.float32)
    converted = OpenVinoEngine(network, patches.shape[1:])
    np.testing.assert_allclose(converted(patches), TorchEngine(network, 'cpu')(patches), atol=1e-5)


def test_bf16_is_near(rng):
    network = build(SMALL).eval()
    patches = rng.normal(0, 1, (1, 1, 16, 16, 16)).astype(np.float32)
    engines = [make_engine(network, patches.shape[1:], 'cpu', precision=name) for name in ('auto', 'bf16')]
    exact, half = (engine(patches) for engine in engines)
    np.testing.assert_allclose(half, exact, atol=0.05)
    assert [engine.precision for engine in engines] == ['fp32', 'bf16' if has_bf16() else 'fp32']
    assert (half != exact).any() == has_bf16()
    assert engines[0].name.startswith('OpenVINO 20')


def test_a_processor_without_bf16_says_so(rng, monkeypatch, caplog):
    monkeypatch.setattr('pvs_bidsapp.segmentation.engine.has_bf16', lambda: False)
    engine = make_engine(build(SMALL).eval(), (1, 16, 16, 16), 'cpu', precision='bf16')
    assert engine.precision == 'fp32'
    assert 'no units for bf16' in caplog.text


def test_without_openvino_torch_does_the_work(rng, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    network = build(SMALL).eval()
    patches = rng.normal(0, 1, (2, 1, 16, 16, 16)).astype(np.float32)
    engine = make_engine(network, patches.shape[1:], 'cpu')
    assert isinstance(engine, TorchEngine)
    assert engine.precision == 'fp32'
    assert 'OpenVINO cannot run this network' in caplog.text
    np.testing.assert_array_equal(engine(patches), TorchEngine(network, 'cpu')(patches))


def test_a_network_that_openvino_cannot_convert_is_run_by_torch(rng, caplog):
    class Sorts(nn.Module):
        def forward(self, volume: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(volume).real[..., None].expand_as(volume)

    engine = make_engine(Sorts(), (1, 8, 8, 8), 'cpu')
    assert isinstance(engine, TorchEngine)
    assert 'OpenVINO cannot run this network' in caplog.text


ALONE = """
import socket, sys
def no_network(*args, **kwargs):
    raise SystemExit('a socket was opened')
socket.socket.connect = socket.getaddrinfo = no_network
import numpy as np
from pvs_bidsapp.segmentation.engine import OpenVinoEngine
from pvs_bidsapp.segmentation.networks import build
network = build({'name': 'joliot2021', 'blocks': 2, 'filters': 2}).eval()
print(OpenVinoEngine(network, (1, 16, 16, 16))(np.zeros((1, 1, 16, 16, 16), np.float32)).shape)
print(sorted(m for m in sys.modules if m.startswith('monai')))
"""


def test_it_writes_no_file_and_sends_nothing(tmp_path):
    """HOME cannot be made, not even by root; the cache and the reports of OpenVINO would go there."""
    places = {'HOME': '/proc/none', 'TMPDIR': str(tmp_path), 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, '-B', '-c', ALONE],
        cwd=tmp_path, env=os.environ | places, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.split('\n')[:2] == ['(1, 16, 16, 16)', '[]'], done.stderr
    assert not list(tmp_path.iterdir())
