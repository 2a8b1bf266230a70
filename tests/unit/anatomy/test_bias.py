import numpy as np
from phantoms import ball, no_field, uneven_brain

from pvs_bidsapp.anatomy import bias


def unevenness(image, field, affine, white):
    corrected = (image / field.sample(image.shape, affine))[white]
    return corrected.std() / corrected.mean()


def test_bias_field_is_found(rng):
    shape, affine = (60, 70, 60), np.diag([2.0, 2, 2, 1])
    mask = ball(shape, (30, 35, 30), 26)
    image = np.where(ball(shape, (30, 35, 30), 15), 100.0, 60.0) * mask
    field = np.exp(0.4 * (np.arange(60) - 30) / 30)[:, None, None]
    noisy = (image * field + rng.normal(0, 1, shape) * mask).astype(np.float32)
    corrected = bias.correct(noisy, affine, mask)
    core = ball(shape, (30, 35, 30), 13)
    assert corrected[core].std() / corrected[core].mean() < 0.4 * noisy[core].std() / noisy[core].mean()


def test_white_matter_corrects_what_is_left_of_the_field(rng):
    image, white, _, _, affine = uneven_brain(rng, 0.15)
    plain = no_field(image.shape, affine)
    field = bias.correct_with_white_matter(plain, image, affine, white)
    again = bias.correct_with_white_matter(field, image, affine, white)
    before, once, twice = (unevenness(image, f, affine, white) for f in (plain, field, again))
    assert once < 0.5 * before
    assert twice < once
    # no correction without white matter near
    assert np.abs(field.logarithm[0, 0, 0]) < 1e-3
    nothing = bias.correct_with_white_matter(field, image, affine, np.zeros_like(white))
    np.testing.assert_array_equal(nothing.logarithm, field.logarithm)
