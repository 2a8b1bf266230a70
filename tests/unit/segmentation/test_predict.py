from __future__ import annotations

import numpy as np
import pytest
import torch
from model_cards import SMALL, card
from refusals import refused

from pvs_bidsapp.anatomy.resampling import Grid
from pvs_bidsapp.messages import models
from pvs_bidsapp.segmentation.model import Model, load_model, write_model
from pvs_bidsapp.segmentation.network_input import BrainAnatomy
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.segmentation.predict import Prediction, predict, run_network


def test_prediction_is_a_probability(tmp_path):
    write_model(tmp_path, build(SMALL), card())
    out = run_network(load_model(tmp_path), np.zeros((1, 16, 18, 16), np.float32), 'cpu')
    assert out.probability.shape == (16, 18, 16)
    assert ((out.probability >= 0) & (out.probability <= 1)).all()
    assert (out.engine, out.precision) == (f'torch {torch.__version__}', 'fp32')  # whole volumes


def test_a_network_that_gives_no_numbers_does_not_pass_for_one_that_finds_nothing(tmp_path):
    network = build(SMALL)
    with torch.no_grad():
        network.encoder[0][0].weight[:, :, 0] = 3e38  # finite, but their sums are infinite
        network.encoder[0][0].weight[:, :, 2] = -3e38
    write_model(tmp_path, network, card())
    with refused(models.OUTPUT_NOT_FINITE, naming=str(tmp_path)):
        run_network(load_model(tmp_path), np.ones((1, 16, 16, 16), np.float32), 'cpu')


@pytest.mark.parametrize(('spacing', 'kept'), [((0.6, 1.2), True), (1.0, False)])
def test_the_scans_own_voxels_decide_and_not_those_of_its_anatomy(rng, tmp_path, monkeypatch, spacing, kept):
    model = Model(card(spacing=spacing), tmp_path)
    monkeypatch.setattr(
        'pvs_bidsapp.segmentation.predict.run_network',
        lambda model, volume, device, **_: Prediction(
            probability=volume[0] / 10 + 0.5, engine='', precision='fp32'
        ),
    )
    grid = Grid((40, 40, 40), np.diag([0.7, 0.7, 0.7, 1.0]))
    image = rng.uniform(0.9, 1.1, grid.shape).astype(np.float32)
    brain, tissues = np.zeros((28, 28, 28), bool), np.full((28, 28, 28), 3, np.uint8)
    brain[4:24, 4:24, 4:24] = True
    tissues[10:14, 10:14, 10:14] = 1
    image[14:21, 14:21, 14:21] -= 0.7
    anatomy = BrainAnatomy(brain=brain, tissues=tissues, affine=np.eye(4))
    probability = predict([image], grid, anatomy, model).probability
    inner = (slice(8, 30),) * 3
    gain = np.polyfit(image[inner].ravel(), probability[inner].ravel(), 1)
    exact = np.abs(np.polyval(gain, image[inner]) - probability[inner]).max() < 1e-4
    assert exact == kept
