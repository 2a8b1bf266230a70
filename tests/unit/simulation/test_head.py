import numpy as np
import pytest

from pvs_bidsapp.simulation import head, label_maps, vessels
from pvs_bidsapp.simulation.scanner import SUITES


@pytest.fixture(scope='module')
def source():
    return label_maps.template_anatomy()


@pytest.fixture(scope='module')
def made(source):
    return head.simulate(source, np.random.default_rng(5), SUITES['easy'], spacing=1.6, age=70)


def test_the_same_seed_gives_the_same_head(source, made):
    again = head.simulate(source, np.random.default_rng(5), SUITES['easy'], spacing=1.6, age=70)
    np.testing.assert_array_equal(made.t1w, again.t1w)
    np.testing.assert_array_equal(made.mask, again.mask)


def test_spaces_lie_in_their_regions_and_are_darker_on_t1w(made):
    labels = made.anatomy.labels
    allowed = (*label_maps.WHITE_MATTER, *label_maps.BASAL_GANGLIA, *label_maps.ACCUMBENS, *label_maps.BRAINSTEM,
               *label_maps.VENTRAL_DC, *label_maps.HIPPOCAMPUS)  # fmt: skip
    assert made.mask.sum() > 50
    assert np.isin(labels[made.rendering.occupancy > 0.9], allowed).mean() > 0.97
    white = np.isin(labels, (2, 41))
    full = white & (made.rendering.occupancy > 0.7)
    assert made.t1w[full].mean() < 0.85 * made.t1w[white & ~made.mask].mean()


def test_mirror_exchanges_the_sides(source):
    other = label_maps.mirror(source)
    np.testing.assert_array_equal(other.select(11)[::-1], source.select(50))
    np.testing.assert_array_equal(label_maps.mirror(other).labels, source.labels)


def test_brain_mask_holds_all_brain_labels_but_csf(source):
    brain = (source.labels > 0) & (source.labels < label_maps.FIRST_HEAD_CODE) & (source.labels != 24)
    mask = label_maps.brain_mask(source)
    assert mask[brain].all()
    assert mask.sum() < 1.25 * brain.sum()


def test_medullary_spaces_point_from_the_cortex_to_the_ventricle(source):
    territory = vessels.territories(source, vessels.Depths.of(source))[0]
    to_ventricle = label_maps.distance(source.select(*label_maps.VENTRICLES), source.spacing)
    points = np.argwhere(territory.mask & (to_ventricle < 20))[::5000] * source.spacing
    closer = 0
    for point in points:
        heading = territory.direction(point)
        heading /= np.linalg.norm(heading)
        there = np.rint((point + 3 * heading) / source.spacing).astype(int)
        here = np.rint(point / source.spacing).astype(int)
        closer += to_ventricle[tuple(there)] < to_ventricle[tuple(here)]
    assert closer > 0.8 * len(points)
