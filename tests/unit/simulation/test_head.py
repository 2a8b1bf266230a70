from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from pvs_bidsapp.anatomy.resampling import Grid, resample
from pvs_bidsapp.simulation import head, label_maps
from pvs_bidsapp.simulation.scanner import SUITES, draw_scanner


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


def test_spaces_are_easier_to_detect_with_less_noise(template_head):
    easy = SUITES['easy']
    rng = np.random.default_rng(1)
    person = head.draw_person(template_head, rng, easy, spacing=2.0, age=60)
    scanner = replace(draw_scanner(easy, rng, spacing=2.0), snr=50.0)
    scans = [
        head.scan(person, replace(scanner, snr=snr), easy, np.random.default_rng(2)) for snr in (50.0, 25.0)
    ]
    clear, noisy = (s.detectability for s in scans)
    assert clear.shape == (len(person.vessels),)
    assert np.allclose(clear, 2 * noisy)
    volume = np.bincount(person.rendering.index.ravel(), person.rendering.occupancy.ravel())[1:]
    assert np.corrcoef(volume, clear[: len(volume)])[0, 1] > 0.7


def test_a_person_is_the_same_on_another_grid(simulated):
    person = head.Person(
        anatomy=simulated.anatomy,
        vessels=simulated.vessels,
        rendering=simulated.rendering,
        mimics=simulated.mimics,
        burden=simulated.burden,
    )
    coarse = head.on_grid(person, 2.0)
    for before, after in (
        (person.rendering.occupancy, coarse.rendering.occupancy),
        (person.mimics.lesion, coarse.mimics.lesion),
        (person.anatomy.select(*label_maps.WHITE_MATTER), coarse.anatomy.select(*label_maps.WHITE_MATTER)),
    ):
        assert after.sum() * 2.0**3 == pytest.approx(before.sum() * 1.6**3, rel=0.05)
    for image in (coarse.rendering.occupancy, coarse.mimics.codes):
        assert image.shape == coarse.anatomy.labels.shape
    middles = []
    for drawn in (person, coarse):
        middle = ndimage.center_of_mass(drawn.rendering.occupancy)
        middles.append(nib.affines.apply_affine(drawn.anatomy.affine, middle))
    np.testing.assert_allclose(*middles, atol=0.1)


def test_the_motion_lays_the_t2w_on_the_t1w(simulated):
    """Structures are of one brightness where the T2w lies on the labels, and mixed where it does not."""
    labels = simulated.anatomy.labels

    def mixed(affine):
        on_labels = resample(simulated.t2w, affine, Grid(labels.shape, simulated.affine), order=1)
        parts = [on_labels[labels == code] for code in np.unique(labels[labels > 0])]
        return sum(part.var() * part.size for part in parts)

    assert mixed(simulated.motion @ simulated.t2w_affine) < 0.9 * mixed(simulated.t2w_affine)
    np.testing.assert_allclose(simulated.motion[:3, :3] @ simulated.motion[:3, :3].T, np.eye(3), atol=1e-9)


def test_the_truth_of_the_t2w_lies_where_the_head_is_in_it(simulated):
    truth = simulated.on_t2w()
    assert truth.rendering.occupancy.shape == truth.mimics.codes.shape == simulated.t2w.shape
    volumes = [t.rendering.occupancy.sum() * np.prod(t.anatomy.spacing) for t in (simulated, truth)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.02)
    for before, after in zip(simulated.vessels, truth.vessels, strict=True):
        moved = nib.affines.apply_affine(simulated.motion, truth.scanner_points(after))
        np.testing.assert_allclose(moved, simulated.scanner_points(before), atol=1e-6)
    white = truth.anatomy.select(*label_maps.WHITE_MATTER)
    spaces, others = (simulated.t2w[white & part] for part in (truth.mask, truth.rendering.occupancy == 0))
    assert spaces.mean() > 1.1 * others.mean()
    assert truth.detectability.shape == (len(truth.vessels),)


def test_people_of_the_dense_suite_have_the_burdens_and_densities_that_it_says(template_head, monkeypatch):
    asked = []

    def draw(anatomy, rng, **options):
        asked.append(options)
        return []

    monkeypatch.setattr(head.vessels, 'draw', draw)
    # the anatomy does not matter here
    monkeypatch.setattr(head.ageing, 'age_anatomy', lambda anatomy, rng, age: anatomy)
    monkeypatch.setattr(head.label_maps, 'deform', lambda anatomy, rng, spacing: anatomy)
    monkeypatch.setattr(head.Distances, 'of', lambda anatomy: None)
    monkeypatch.setattr(head.mimics, 'draw', lambda *_, **__: None)
    for suite, age in (('dense', 25), ('dense', 85), ('easy', 25)):
        rng = np.random.default_rng(1)
        person = head.draw_person(template_head, rng, SUITES[suite], spacing=2.0, age=age)
        assert person.burden == asked[-1]['burden']
    young, old, easy = asked
    assert 0.85 <= young['burden'] < old['burden'] <= 1
    assert easy['burden'] < 0.85
    assert [options['is_dense'] for options in asked] == [True, True, False]
