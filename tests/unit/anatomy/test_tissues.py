import numpy as np
from phantoms import ball

from pvs_bidsapp.anatomy import tissues


def phantom(rng):
    shape = (70, 70, 70)
    white, grey, all_ = (ball(shape, (35, 35, 35), r) for r in (18, 25, 31))
    reference = np.where(white, 3, np.where(grey, 2, np.where(all_, 1, 0)))
    image = np.array([0, 20, 60, 100])[reference] + rng.normal(0, 5, shape) * all_
    priors = [(0.2 + 0.6 * (reference == k)).astype(np.float32) for k in (1, 2, 3)]
    return image.astype(np.float32), all_, priors, reference


def test_tissues_of_a_phantom(rng):
    image, mask, priors, reference = phantom(rng)
    found, mixture = tissues.classify(image, mask, priors)
    assert (found == reference)[mask].mean() > 0.99
    assert not found[~mask].any()
    np.testing.assert_allclose(mixture.means, (20, 60, 100), atol=1)
    np.testing.assert_allclose(mixture.deviations, 5, atol=0.5)
    again, _ = tissues.classify(image, mask, priors)
    np.testing.assert_array_equal(found, again)


def test_classes_do_not_depend_on_the_scale_of_the_image(rng):
    image, mask, priors, _ = phantom(rng)
    found, _ = tissues.classify(image, mask, priors)
    scaled, _ = tissues.classify(64 * image, mask, priors)
    np.testing.assert_array_equal(found, scaled)


def test_a_fit_goes_on_from_another_one(rng):
    """As that of a coarser image: with its intensities, priors that say nothing are enough."""
    image, mask, priors, reference = phantom(rng)
    _, mixture = tissues.classify(
        image[::2, ::2, ::2], mask[::2, ::2, ::2], [p[::2, ::2, ::2] for p in priors]
    )
    flat = [np.full(image.shape, 1 / 3, np.float32)] * 3
    found, _ = tissues.classify(image, mask, flat, start=mixture, iterations=2)
    assert (found == reference)[mask].mean() > 0.98


def test_neighbours_decide_where_noise_hides_the_class(rng):
    image, mask, priors, reference = phantom(rng)
    noisy = image + rng.normal(0, 18, image.shape).astype(np.float32)
    alone, _ = tissues.classify(noisy, mask, priors, smoothing=0.0)
    smooth, _ = tissues.classify(noisy, mask, priors)
    errors = [(found != reference)[mask].mean() for found in (alone, smooth)]
    assert errors[1] < 0.7 * errors[0]


def test_a_constant_image_has_classes_too():
    mask = np.ones((6, 6, 6), bool)
    found, mixture = tissues.classify(np.ones((6, 6, 6), np.float32), mask, [np.full((6, 6, 6), 1 / 3)] * 3)
    assert set(np.unique(found)) <= {1, 2, 3}
    assert np.isfinite(mixture.deviations).all()


def test_tissues_of_ready_made_segmentations():
    assert tissues.from_segmentation(np.array([0, 1, 2, 3])).tolist() == [0, 2, 3, 1]  # fMRIPrep
    codes = np.array([0, 2, 3, 4, 11, 16, 24, 41, 1012, 3001, 251])
    assert tissues.from_segmentation(codes).tolist() == [0, 3, 2, 1, 2, 3, 1, 3, 2, 3, 3]
