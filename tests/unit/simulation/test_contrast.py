"""Contrast between PVS and the tissue around them, in white and in grey matter."""

from __future__ import annotations

import numpy as np
import pytest

from pvs_bidsapp.simulation import contrast
from pvs_bidsapp.simulation.label_maps import Anatomy
from pvs_bidsapp.simulation.mimics import Mimics
from pvs_bidsapp.simulation.rendering import Rendering

WHITE, PUTAMEN = 2, 12


@pytest.mark.parametrize('draw', [contrast.draw_t1w, contrast.draw_t2w])
def test_lesions_have_the_given_fraction_of_the_contrast_with_csf(draw):
    for seed in range(20):
        tissue = draw(np.random.default_rng(seed), lesion_contrast=(0.55, 0.6))
        scale = tissue.fluid - 1
        assert 0.55 <= (tissue.lesion - 1) / scale <= 0.6
        own = {(tissue.lookup[code] - 1) / scale for code in (25, 57, 77)}  # those of the label map
        assert len(own) == 1
        assert 0 <= own.pop() <= 0.8 * 0.6


@pytest.mark.parametrize(('draw', 'darker'), [(contrast.draw_t1w, True), (contrast.draw_t2w, False)])
@pytest.mark.parametrize('fraction', [0.4, 1.0])
def test_pvs_have_the_given_fraction_of_the_contrast_with_csf(draw, darker, fraction):
    labels = np.full((24, 24, 24), WHITE, np.int16)
    labels[12:] = PUTAMEN
    occupancy = np.zeros(labels.shape, np.float32)
    occupancy[4:8, 8:16, 8:16] = occupancy[16:20, 8:16, 8:16] = 1
    some = Rendering(occupancy, (occupancy > 0).astype(np.int32))
    none = Rendering(np.zeros_like(occupancy), np.zeros(labels.shape, np.int32))
    tissue = draw(np.random.default_rng(2), pvs_contrast=(fraction, fraction))
    anatomy, mimics = Anatomy(labels, np.eye(4), 'two tissues'), Mimics.none(labels.shape)
    without, with_spaces = (
        contrast.synthesize(anatomy, rendering, mimics, tissue, np.random.default_rng(3))
        for rendering in (none, some)
    )
    for code in (WHITE, PUTAMEN):
        voxels = (occupancy > 0) & (labels == code)
        fractions = ((with_spaces - without) / (tissue.fluid - without))[voxels]
        assert fractions == pytest.approx(fraction, rel=0.31)  # vessels vary by 10 %, 30 % at most
        assert np.ptp(fractions) == pytest.approx(0, abs=1e-3)
        assert ((with_spaces < without)[voxels] == darker).all()
