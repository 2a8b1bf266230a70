import numpy as np
import pytest
from scipy import ndimage

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation import patch_synthesis, scanner


def test_patches_are_in_the_networks_units(brain):
    labels = brain.labels
    occupancy = np.zeros(labels.shape, np.float32)
    white = np.argwhere(ndimage.binary_erosion(labels == 41, iterations=5))
    x, y, z = white[len(white) // 2]
    occupancy[x : x + 2, y : y + 2, z - 4 : z + 4] = 1
    geometry = patch_synthesis.make_head_geometry(
        'a',
        labels=labels,
        occupancy=occupancy,
        index=occupancy.astype(int),
        mimics=np.zeros_like(labels),
        brain=labels > 0,
        spacing=1.0,
    )
    normalization, easy = TissueNormalization(), scanner.SUITES['easy']
    centre = np.argwhere(geometry.pvs_mask).mean(0).astype(int)
    box = tuple(slice(c - 16, c + 16) for c in centre)
    one, two, other = (
        patch_synthesis.synthesize_patch(
            geometry, box, np.random.default_rng(s), easy, normalization, ('T1w', 'T2w')
        )
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert one.shape == (2, 32, 32, 32)
    pvs = geometry.pvs_mask[box]
    plain = (geometry.labels[box] == 41) & ~pvs
    for channel in one:  # PVS are dark in both
        assert np.median(channel[plain]) == pytest.approx(normalization.wm, abs=0.3)
        assert channel[pvs].mean() < np.median(channel[plain]) - 0.5
