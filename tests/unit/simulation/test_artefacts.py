import numpy as np
import pytest

from pvs_bidsapp.simulation import artefacts, label_maps


def test_a_truncated_k_space_rings_and_a_filter_damps_it():
    edge = np.ones((64, 8, 8), np.float32)
    edge[16:48] = 2
    kept = np.array([0.5, 1.0, 1.0])
    rings, damped = (artefacts.truncate(edge, kept, ringing).max() for ringing in (1.0, 0.0))
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
