"""Ageing, mimics, artefacts, scanners, painting into scans, and the plan of a data set."""

import numpy as np
import pytest

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation import (
    ageing,
    artefacts,
    insertion,
    label_maps,
    mimics,
    patch_synthesis,
    scanner,
    vessels,
)
from pvs_bidsapp.simulation.subjects import plan, rate


@pytest.fixture(scope='module')
def brain():
    return label_maps.crop(label_maps.template_anatomy(), 10)


def test_the_old_have_larger_ventricles_and_less_cortex(brain):
    young, old = (ageing.grow_old(brain, np.random.default_rng(1), age) for age in (25, 85))
    for codes, grows in ((label_maps.LATERAL_VENTRICLES, True), (label_maps.CORTEX, False)):
        sizes = [a.select(*codes).sum() for a in (young, old)]
        assert (sizes[1] > 1.05 * sizes[0]) == grows
        assert (sizes[1] < 0.98 * sizes[0]) != grows


def test_mimics_of_all_common_kinds_clear_of_the_spaces(brain):
    occupied = np.zeros(brain.labels.shape, bool)
    occupied[60:64, 80:110, 90:95] = True
    found = np.zeros(len(mimics.KINDS) + 1, int)
    for seed in range(3):
        made = mimics.draw(brain, occupied, np.random.default_rng(seed), amount=1.0)
        assert made.fluid[occupied].max() == 0
        assert made.kind[occupied].max() == 0
        assert made.lesion.min() >= 0
        assert made.lesion.max() <= 1
        found += np.bincount(made.kind.ravel(), minlength=len(found))
    assert (found[[1, 2, 4, 5, 6, 7, 8, 9]] > 0).all()
    assert not mimics.draw(brain, occupied, np.random.default_rng(0), amount=0).kind.any()


def test_a_head_is_put_about_a_bare_brain(brain):
    bare = label_maps.Anatomy(
        np.where(brain.labels < label_maps.FIRST_HEAD_CODE, brain.labels, 0), brain.affine, 'bare'
    )
    whole = label_maps.with_head(bare)
    assert {24, 511, 515, 516} <= set(np.unique(whole.labels))
    assert (whole.labels == 41).sum() == (bare.labels == 41).sum()


def test_a_truncated_k_space_rings_and_a_filter_damps_it():
    edge = np.ones((64, 8, 8), np.float32)
    edge[16:48] = 2
    kept = np.array([0.5, 1.0, 1.0])
    rings, damped = (artefacts.truncate(edge, kept, share).max() for share in (1.0, 0.0))
    assert rings == pytest.approx(2.09, abs=0.04)  # Gibbs: 9 % of the jump
    assert damped < 2.04
    np.testing.assert_allclose(artefacts.truncate(edge, np.ones(3), 1.0), edge, atol=1e-5)


def test_rician_noise_has_the_published_mean_where_there_is_no_signal():
    noise = artefacts.rician(np.zeros((60, 60, 60), np.float32), 2.0, np.random.default_rng(0))
    assert noise.mean() == pytest.approx(2.0 * np.sqrt(np.pi / 2), rel=0.01)  # Gudbjartsson & Patz 1995


def test_motion_spoils_an_image_but_keeps_its_signal(brain):
    image = (brain.labels == 41).astype(np.float32) + 0.5
    moved = artefacts.motion(image, brain.spacing, np.random.default_rng(2))
    assert 0.005 < np.abs(moved - image).mean() < 0.2
    assert moved.mean() == pytest.approx(image.mean(), rel=0.05)


def test_defacing_and_stripping_leave_the_brain(brain):
    inside = label_maps.brain_mask(brain)
    image = np.ones(brain.labels.shape, np.float32)
    defaced, stripped = artefacts.deface(image, inside, brain.spacing), artefacts.strip(image, inside)
    assert (defaced[inside] == 1).all()
    assert (stripped[inside] == 1).all()
    assert (defaced == 0).mean() > 0.02
    assert stripped.sum() < 1.2 * inside.sum()


def test_shifted_scanners_are_none_of_the_others():
    rng = np.random.default_rng(0)
    shifted = [scanner.draw_scanner(scanner.SUITES['shift'], rng) for _ in range(20)]
    others = [scanner.draw_scanner(scanner.SUITES['mixed'], rng) for _ in range(200)]
    low, high = (f([o.t1w.fluid for o in others]) for f in (min, max))
    assert not any(low <= s.t1w.fluid <= high for s in shifted)


def test_drawing_into_a_scan_changes_nothing_elsewhere():
    rng = np.random.default_rng(3)
    image = (100 + 3 * rng.standard_normal((40, 40, 40))).astype(np.float32)
    affine = np.diag([0.8, 0.8, 0.8, 1])
    line = np.stack([np.full(21, 16.0), np.full(21, 16.0), 10 + 0.5 * np.arange(21)], 1)
    tube = vessels.Vessel(line, np.full(21, 1.6), 'white-matter')
    drawn, made = insertion.draw_into(
        image, affine, [tube], np.ones(image.shape, bool), (100.0, 20.0), np.ones_like(image), np.array([0.8])
    )
    untouched = made.occupancy == 0
    np.testing.assert_array_equal(drawn[untouched], image[untouched])
    full = made.occupancy > 0.99
    assert drawn[full].mean() == pytest.approx(36, abs=3)
    assert drawn[full].std() == pytest.approx(3, abs=1)  # the scan's own noise is still there


def test_a_space_drawn_into_grey_matter_is_darker_than_it():
    image, affine = np.full((40, 40, 40), 60, np.float32), np.diag([0.8, 0.8, 0.8, 1])
    line = np.stack([np.full(21, 16.0), np.full(21, 16.0), 10 + 0.5 * np.arange(21)], 1)
    tube = vessels.Vessel(line, np.full(21, 1.6), 'basal-ganglia')
    drawn, made = insertion.draw_into(
        image, affine, [tube], np.ones(image.shape, bool), (100.0, 20.0), np.ones_like(image), np.array([0.5])
    )
    assert drawn[made.occupancy > 0.99].mean() == pytest.approx(40, abs=0.5)  # half of the way from 60 to 20


def test_vessels_keep_their_place_on_another_grid():
    affine = np.array([[0, -0.5, 0, 30], [0.7, 0, 0, -10], [0, 0, 1.1, 5], [0, 0, 0, 1.0]])
    source = np.diag([1, 1, 1, 1.0])
    source[:3, 3] = (1, 2, 3)
    tube = vessels.Vessel(np.array([[5.0, 6, 7], [5, 6, 8]]), np.ones(2), 'a')
    moved = insertion.to_grid([tube], source, affine)[0]
    voxels = moved.points / np.array([0.7, 0.5, 1.1])
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_allclose(world, tube.points + np.array([1, 2, 3]))


def test_patches_are_painted_in_the_networks_units(brain):
    labels = brain.labels
    occupancy = np.zeros(labels.shape, np.float32)
    white = np.argwhere(ndimage_erode(labels == 41))
    x, y, z = white[len(white) // 2]
    occupancy[x : x + 2, y : y + 2, z - 4 : z + 4] = 1
    scene = patch_synthesis.make_head_geometry(
        'a', labels, occupancy, occupancy.astype(int), np.zeros_like(labels), labels > 0, 1.0
    )
    rule, easy = TissueNormalization(), scanner.SUITES['easy']
    centre = np.argwhere(scene.target).mean(0).astype(int)
    box = tuple(slice(c - 16, c + 16) for c in centre)
    one, two, other = (
        patch_synthesis.synthesize_patch(scene, box, np.random.default_rng(s), easy, rule, ('T1w', 'T2w'))
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert one.shape == (2, 32, 32, 32)
    target = scene.target[box]
    plain = (scene.labels[box] == 41) & ~target
    for channel in one:  # spaces are low in both
        assert np.median(channel[plain]) == pytest.approx(rule.wm, abs=0.3)
        assert channel[target].mean() < np.median(channel[plain]) - 0.5


def ndimage_erode(mask):
    from scipy import ndimage

    return ndimage.binary_erosion(mask, iterations=5)


def test_more_subjects_do_not_change_the_earlier_ones():
    few, many = plan(3, [], 7, sites=2), plan(6, [], 7, sites=2)
    assert many[:3] == few
    assert {s.site for s in many} <= {1, 2}
    assert plan(1, [], 8)[0].seed != few[0].seed


def test_a_reliable_rater_follows_the_count():
    rng = np.random.default_rng(0)
    counts = rng.lognormal(4.1, 0.95, 400).astype(int)
    grades = {r: [rate(int(c), r, rng) for c in counts] for r in (1.0, 0.5)}
    assert set(grades[1.0]) == {0, 1, 2, 3}
    ordered = np.array(grades[1.0])[np.argsort(counts, kind='stable')]
    assert (np.diff(ordered) >= 0).all()
    correlation = np.corrcoef(np.log1p(counts), grades[0.5])[0, 1]
    assert 0.3 < correlation < 0.65
