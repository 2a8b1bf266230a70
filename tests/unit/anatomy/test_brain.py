import numpy as np
import pytest
from phantoms import ball, no_field, uneven_brain
from scipy import ndimage

from pvs_bidsapp.anatomy import brain, tissues


def test_bias_field_and_classes_correct_each_other(rng):
    image, white, grey, mask, affine = uneven_brain(rng, 0.25)
    soft = [ndimage.gaussian_filter(tissue.astype(np.float32), 2) for tissue in (white, grey)]
    priors = [1 - soft[1], soft[1] - soft[0], soft[0]]
    plain = no_field(image.shape, affine)
    refined = brain.refine_bias_field(plain, image, affine, mask, priors)
    before, after = (
        tissues.classify(image / f.sample(image.shape, affine), affine, mask, priors) == tissues.WM
        for f in (plain, refined)
    )
    assert before[white].mean() < 0.9
    assert before[grey & ~white].mean() > 0.2
    assert after[white].mean() > 0.98
    assert after[grey & ~white].mean() < 0.05


def test_skull_stripped_scans_are_told_from_whole_heads(rng):
    shape = (160, 190, 160)
    inside = ball(shape, (80, 95, 80), 65)
    stripped = np.where(inside, 80 + rng.normal(0, 5, shape), 0)
    head = np.where(ball(shape, (80, 95, 80), 79), 80, 0) + np.abs(rng.normal(0, 2, shape))
    assert brain.is_stripped(stripped.astype(np.float32))
    assert not brain.is_stripped(head.astype(np.float32))


def test_the_foreground_is_the_head_with_its_dark_parts(rng):
    shape = (80, 80, 80)
    head, dark = ball(shape, (40, 40, 40), 30), ball(shape, (40, 40, 40), 8)
    image = np.where(head & ~dark, 80.0, 0.0) + np.abs(rng.normal(0, 2, shape))
    found = brain.foreground(image.astype(np.float32))
    assert found[head].all()
    assert (found & ~ball(shape, (40, 40, 40), 33)).sum() == 0


def test_the_neck_is_cut_off():
    image = np.zeros((100, 100, 256), np.float32)
    image[30:70, 30:70, :240] = 100
    slices = brain.head_slices(image)
    assert slices.stop >= 240
    assert 240 - slices.start == pytest.approx(brain.HEAD_HEIGHT, abs=4)


def test_refinement_removes_what_thin_bridges_connect():
    shape = (90, 90, 90)
    classes = np.where(ball(shape, (40, 45, 45), 25), tissues.WM, 0)
    classes[64:80, 45, 45] = tissues.GM  # a vein
    classes |= np.where(ball(shape, (82, 45, 45), 5), tissues.GM, 0)  # an eye
    mask = brain.refine_mask(classes, np.ones(shape, bool))
    assert mask[40, 45, 45]
    assert not mask[75:].any()
