from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pvs_bidsapp.training.augmentation import random_orientation, reduce_contrast


def test_all_orientations_are_the_symmetries_of_a_cube_and_move_the_label_along(rng):
    image = rng.normal(size=(2, 3, 3, 3))
    label = image[:1].copy()
    seen = {}
    for _ in range(1000):
        oriented, moved = random_orientation(image, label, rng, all_orientations=True)
        np.testing.assert_array_equal(oriented[:1], moved)
        seen[oriented.tobytes()] = np.sort(oriented[1], None)
    assert len(seen) == 48
    assert all((values == np.sort(image[1], None)).all() for values in seen.values())


def test_otherwise_there_is_the_mid_sagittal_flip_only(rng):
    image = rng.normal(size=(1, 2, 3, 4))
    seen = {random_orientation(image, image, rng, all_orientations=False)[0].tobytes() for _ in range(50)}
    assert seen == {image.tobytes(), np.ascontiguousarray(image[:, ::-1]).tobytes()}


def test_fainter_spaces_lose_contrast_and_keep_their_shape_and_noise(rng):
    label = np.zeros((40, 40, 40), np.float32)
    label[10:13, 10:13, 5:35] = label[25:28, 22:25, 5:35] = 1
    noise = rng.normal(0, 0.1, label.shape).astype(np.float32)
    image = 0.4 - 1.2 * ndimage.gaussian_filter(label, 0.5) + noise
    fainter = reduce_contrast(image, label, 0.5, rng)
    inside, far = label > 0, ndimage.distance_transform_edt(label == 0) > 4
    rim = ndimage.binary_dilation(inside) & ~inside
    for part in (inside, rim):
        assert (0.4 - fainter[part]).mean() == pytest.approx(0.5 * (0.4 - image[part]).mean(), abs=0.03)
    difference = np.diff(fainter, axis=2)[inside[..., 1:] & inside[..., :-1]]
    assert difference.std() == pytest.approx(0.141, rel=0.2)
    np.testing.assert_allclose(fainter[far], image[far], atol=2e-3)
    np.testing.assert_allclose(reduce_contrast(image, label, 0.0, rng), image, atol=1e-5)
    assert np.array_equal(reduce_contrast(image, np.zeros_like(label), 0.7, rng), image)


def test_fainter_spaces_approach_their_surroundings(rng):
    label = np.zeros((30, 30, 30), np.float32)
    label[14:16, 14:16, 5:25] = 1
    image = np.where(label > 0, -1.5, -0.5).astype(np.float32)  # in grey matter, not in white
    fainter = reduce_contrast(image, label, 0.6, rng)
    assert fainter[label > 0].mean() == pytest.approx(-0.9, abs=0.05)
    assert fainter.max() < -0.49
