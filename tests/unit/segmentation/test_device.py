from __future__ import annotations

import pytest
import torch
from refusals import refused

from pvs_bidsapp.messages import models
from pvs_bidsapp.segmentation.device import choose_device, choose_devices, choose_precision


def test_only_auto_falls_back(caplog):
    if torch.cuda.is_available():
        pytest.skip('a GPU is present: the fall-back cannot be seen')
    assert choose_device('auto') == 'cpu'
    assert 'no usable GPU' in caplog.text
    with refused(models.DEVICE_UNUSABLE, naming='--device cuda: '):
        choose_device('cuda')


@pytest.mark.parametrize('name', ['tpu', '', 'cuda:', 'cuda:-1', 'cuda:one', 'cpu:0', 'CUDA'])
def test_a_word_that_is_no_device(name):
    with refused(models.DEVICE_UNKNOWN, naming=f'--device {name}'.strip()):
        choose_device(name)


def test_precision_and_devices_of_a_training_on_the_cpu():
    assert choose_precision('auto', 'cpu') == 'fp32'
    assert choose_precision('bf16', 'cpu') == 'bf16'
    assert choose_devices('cpu', 2) == ('cpu', 'cpu')
    assert choose_devices('cuda:1', 1) == ('cuda:1',)
    if torch.cuda.device_count() < 9:
        with refused(models.FEW_GPUS, naming='--devices 9'):
            choose_devices('cuda', 9)
