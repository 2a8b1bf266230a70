import tempfile

import ants
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.linalg import block_diag
from scipy.spatial.transform import Rotation

from pvs_bidsapp.anatomy import template
from pvs_bidsapp.anatomy.ants_images import array_to_ants
from pvs_bidsapp.anatomy.registration import (
    Transform,
    apply,
    apply_points,
    deterministic,
    matrix_of,
    register,
    register_deformable,
    search_start,
    write_composite,
)
from pvs_bidsapp.anatomy.resampling import Grid

SHIFT = np.array([3.0, -2.0, 1.0])


def smooth_noise(rng, shape=(40, 44, 36), sigma=2.5):
    image = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return (100 + 30 * image / image.std()).astype(np.float32)


@pytest.fixture
def affine():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-40, -30, -35)
    return affine


@pytest.fixture
def shift(tmp_path):
    """Takes points of the fixed space to the moving one: + SHIFT in RAS+ mm."""
    transform = ants.create_ants_transform(
        transform_type='AffineTransform', dimension=3, translation=SHIFT * [-1, -1, 1]
    )
    ants.write_transform(transform, str(tmp_path / 'shift.mat'))
    return Transform((tmp_path / 'shift.mat',), (False,))


def test_the_matrix_of_a_transform_moves_points_as_it_does(shift):
    points = np.array([[0.0, 0, 0], [10, -20, 5]])
    np.testing.assert_allclose(apply_points(points, shift), points + SHIFT, atol=1e-4)
    np.testing.assert_allclose(matrix_of(shift)[:3, 3], SHIFT, atol=1e-4)


def test_folders_of_any_name(rng, affine, tmp_path, monkeypatch):
    """Brackets and commas in a path are no syntax."""
    image = smooth_noise(rng)
    fixed, grid = array_to_ants(image, affine), Grid(image.shape, affine)
    steps = {'aff_iterations': (5,), 'aff_shrink_factors': (2,), 'aff_smoothing_sigmas': (1,)}
    deterministic(1)
    found = []
    for name in ('plain', 'study [v1], ü'):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / name))
        start = search_start(fixed, fixed, tmp_path / name)
        files = [str(path) for path in start.files]
        for transform in register(
            fixed, fixed, 'Affine', tmp_path / name, 'a', initial_transform=files, **steps
        ):
            assert all(path.parent == tmp_path / name for path in transform.files)
            found.append((apply(image, affine, grid, transform), apply_points(np.eye(3), transform)))
    for plain, odd in zip(found[:2], found[2:], strict=True):
        np.testing.assert_allclose(plain[0], odd[0], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(plain[1], odd[1], rtol=1e-4, atol=1e-3)


def deformed_pair(rng, affine):
    """An image, and the same drawn 6 mm to the side in its middle."""
    fixed = smooth_noise(rng)
    places = np.indices(fixed.shape).astype(np.float64)
    centre = np.array(fixed.shape) / 2
    distance = np.linalg.norm(places - centre[:, None, None, None], axis=0)
    places[0] += 3 * np.exp(-((distance / 8) ** 2))
    moving = ndimage.map_coordinates(fixed, places, order=3, mode='nearest')
    return fixed, moving.astype(np.float32)


def test_a_deformation_is_found_the_same_with_any_number_of_threads(rng, affine, tmp_path):
    deterministic(0)
    fixed, moving = deformed_pair(rng, affine)
    identity = tmp_path / 'with a blank'
    identity.mkdir()
    ants.write_transform(
        ants.create_ants_transform(transform_type='AffineTransform', dimension=3), str(identity / 'i.mat')
    )
    linear = Transform((identity / 'i.mat',), (False,))
    mask = array_to_ants(np.ones(fixed.shape), affine)
    one, two = (array_to_ants(i, affine) for i in (fixed, moving))
    found = [
        register_deformable(one, two, mask, linear, identity, f't{threads}', threads=threads)
        for threads in (1, 2, 1)
    ]
    grid = Grid(fixed.shape, affine)
    moved = [apply(moving, affine, grid, forward) for forward, _ in found]
    np.testing.assert_array_equal(moved[0], moved[1])
    np.testing.assert_array_equal(moved[0], moved[2])
    inner = (slice(8, -8),) * 3
    before, after = (np.corrcoef(i[inner].ravel(), fixed[inner].ravel())[0, 1] for i in (moving, moved[0]))
    assert before < 0.98
    assert after > 0.99
    points = np.random.default_rng(1).uniform(-10, 10, (50, 3))
    forward, inverse = found[0]
    there = apply_points(points, forward)
    assert np.abs(there - points).max() > 1
    np.testing.assert_allclose(apply_points(there, inverse), points, atol=0.5)


def test_nothing_is_printed(capfd, rng, affine, shift, tmp_path):
    image = array_to_ants(smooth_noise(rng), affine)
    mask = array_to_ants(np.ones(image.shape), affine)
    register_deformable(image, image, mask, shift, tmp_path, 'quiet')
    assert capfd.readouterr().out == ''


def test_a_chain_in_one_file_moves_points_as_the_chain_does(rng, shift, tmp_path):
    """An affine and a deformation, in both directions; SimpleITK applies the file."""
    field = np.zeros((12, 14, 10, 3))
    field[..., 1] = 2 * smooth_noise(rng, field.shape[:3]) / 100
    warp = nib.Nifti1Image(field[:, :, :, None].astype(np.float32), np.diag([-8.0, -8.0, 8.0, 1.0]))
    warp.header.set_intent('vector')
    nib.save(warp, tmp_path / 'warp.nii')
    inside = np.array([[-30.0, -40.0, 20.0], [-52.0, -31.0, 45.0]])
    for number, (names, inverted) in enumerate(
        ((('warp.nii', 'shift.mat'), (False, False)), (('shift.mat', 'warp.nii'), (True, False)))
    ):
        chain = Transform(tuple(tmp_path / name for name in names), inverted)
        path = tmp_path / f'{number}.h5'
        write_composite(chain, path)
        whole = sitk.ReadTransform(str(path))
        flip = np.array([-1, -1, 1])
        moved = [np.array(whole.TransformPoint((flip * point).tolist())) * flip for point in inside]
        np.testing.assert_allclose(moved, apply_points(inside, chain), atol=1e-3)


def test_a_tilted_head_is_laid_on_the_template_to_begin_with(tmp_path, capfd):
    atlas = template.load()
    turn = Rotation.from_euler('x', 30, degrees=True).as_matrix()
    tilted = block_diag(turn, 1.0) @ atlas.affine
    deterministic(1)
    head = atlas.head('T1w')
    start = search_start(array_to_ants(head, tilted), array_to_ants(head, atlas.affine), tmp_path)
    left = Rotation.from_matrix(matrix_of(start)[:3, :3] @ turn)
    assert np.degrees(left.magnitude()) < 5
    assert capfd.readouterr() == ('', '')
