from __future__ import annotations

import pytest
import torch

from pvs_bidsapp.errors import InputError
from pvs_bidsapp.segmentation.device import choose_device, choose_devices, choose_precision


def test_only_auto_falls_back(caplog):
    if torch.cuda.is_available():
        pytest.skip('a GPU is present: the fall-back cannot be seen')
    assert choose_device('auto') == 'cpu'
    assert 'no usable GPU' in caplog.text
    with pytest.raises(InputError, match=r'--device cuda: .*; --device cpu runs without'):
        choose_device('cuda')
    with pytest.raises(InputError, match='auto, cpu'):
        choose_device('tpu')


def test_precision_and_devices_of_a_training_on_the_cpu():
    assert choose_precision('auto', 'cpu') == 'fp32'
    assert choose_precision('bf16', 'cpu') == 'bf16'
    assert choose_devices('cpu', 2) == ('cpu', 'cpu')
    assert choose_devices('cuda:1', 1) == ('cuda:1',)
    if torch.cuda.device_count() < 9:
        with pytest.raises(InputError, match='--devices 9'):
            choose_devices('cuda', 9)
