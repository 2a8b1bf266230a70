from __future__ import annotations

import numpy as np
import pytest
from refusals import refused

from pvs_bidsapp.messages import models
from pvs_bidsapp.segmentation.intensity import TissueNormalization, measure_levels


def test_white_matter_and_csf_get_fixed_values(rng):
    tissues = np.repeat([1, 2, 3], 12)[:, None, None] * np.ones((36, 12, 12), int)
    for csf, wm in ((20, 100), (300, 80)):  # T1w, T2w
        image = np.where(tissues == 1, csf, np.where(tissues == 2, (csf + wm) / 2, wm)).astype(float)
        values = TissueNormalization()
        scaled = values.apply(image, measure_levels(image, tissues))
        assert scaled[tissues == 3].mean() == pytest.approx(values.wm)
        assert scaled[tissues == 1].mean() == pytest.approx(values.csf)
        assert scaled.min() >= values.low
    with refused(models.NO_CONTRAST, naming='same intensity'):
        measure_levels(np.ones(tissues.shape), tissues)
    with refused(models.NO_TISSUES, naming='no white matter'):
        measure_levels(image, np.ones_like(tissues))


def test_the_entry_of_a_card_is_read_back_and_an_unknown_one_is_refused():
    values = TissueNormalization(wm=0.5, low=-3.0)
    assert values.card() == {
        'rule': 'wm-csf', 'wm': 0.5, 'csf': -2.0, 'low': -3.0, 'high': 3.0, 'outside': -2.0,
    }  # fmt: skip
    assert TissueNormalization.from_card(values.card()) == values
    with refused(models.INTENSITY, naming='other'):
        TissueNormalization.from_card({'rule': 'other'})
    with refused(models.INTENSITY, naming='grey'):
        TissueNormalization.from_card(values.card() | {'grey': 0.0})
