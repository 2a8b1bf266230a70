import numpy as np
import pytest

from pvs_bidsapp.simulation import head, label_maps
from pvs_bidsapp.simulation.scanner import SUITES


@pytest.fixture(scope='module')
def simulated(template_head):
    return head.simulate(template_head, np.random.default_rng(5), SUITES['easy'], spacing=1.6, age=70)


def test_the_same_seed_gives_the_same_head(template_head, simulated):
    again = head.simulate(template_head, np.random.default_rng(5), SUITES['easy'], spacing=1.6, age=70)
    np.testing.assert_array_equal(simulated.t1w, again.t1w)
    np.testing.assert_array_equal(simulated.mask, again.mask)


def test_pvs_lie_in_their_regions_and_are_darker_on_t1w(simulated):
    labels = simulated.anatomy.labels
    allowed = (
        *label_maps.WHITE_MATTER, *label_maps.BASAL_GANGLIA, *label_maps.ACCUMBENS, *label_maps.BRAINSTEM,
        *label_maps.VENTRAL_DC, *label_maps.HIPPOCAMPUS,
    )  # fmt: skip
    assert simulated.mask.sum() > 50
    assert np.isin(labels[simulated.rendering.occupancy > 0.9], allowed).mean() > 0.97
    white = np.isin(labels, (2, 41))
    full = white & (simulated.rendering.occupancy > 0.7)
    assert simulated.t1w[full].mean() < 0.85 * simulated.t1w[white & ~simulated.mask].mean()
