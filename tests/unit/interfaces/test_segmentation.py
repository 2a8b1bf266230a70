"""What the step of segmentation refuses."""

from __future__ import annotations

import numpy as np
from model_cards import card
from refusals import refused

from pvs_bidsapp.interfaces.segmentation import Segment
from pvs_bidsapp.messages import models
from pvs_bidsapp.runtime.files import save_image
from pvs_bidsapp.segmentation.model import write_model
from pvs_bidsapp.segmentation.networks import build


def test_a_model_of_two_channels_needs_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    architecture = {'name': 'm2ss', 'in_channels': 2, 'filters': 2, 'side_filters': 2, 'levels': 2}
    two = card(name='two', channels=('T1w', 'T2w'), architecture=architecture)
    write_model(tmp_path / 'two', build(architecture), two)
    scan = tmp_path / 'scan.nii'
    save_image(scan, np.ones((4, 4, 4), np.float32), np.eye(4))
    step = Segment(t1w=str(scan), brain=str(scan), tissues=str(scan), model=str(tmp_path / 'two'))
    with refused(models.NEEDS_CHANNEL, naming='the model two needs a T2w'):
        step.run()
