import numpy as np
from phantoms import ball
from scipy.spatial.transform import Rotation

from pvs_bidsapp.anatomy import tissues
from pvs_bidsapp.anatomy.registration import deterministic


def test_tissues_of_a_phantom(rng, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    deterministic(1)
    shape = (70, 70, 70)
    white, grey, all_ = (ball(shape, (35, 35, 35), r) for r in (18, 25, 31))
    reference = np.where(white, 3, np.where(grey, 2, np.where(all_, 1, 0)))
    image = np.array([0, 20, 60, 100])[reference] + rng.normal(0, 5, shape) * all_
    priors = [0.2 + 0.6 * (reference == k) for k in (1, 2, 3)]
    oblique = np.eye(4)
    oblique[:3, :3] = Rotation.from_euler('xyz', (11, 7, 3), degrees=True).as_matrix()
    oblique[:3, 3] = (92.80854123456, 76.7, -85.8)
    found = tissues.classify(image.astype(np.float32), oblique, all_, priors)
    assert (found == reference)[all_].mean() > 0.97
    again = tissues.classify(image.astype(np.float32), np.eye(4), all_, priors)
    np.testing.assert_array_equal(found, again)
    assert not list(tmp_path.iterdir())  # Atropos' own temporary files are gone


def test_tissues_of_ready_made_segmentations():
    assert tissues.from_segmentation(np.array([0, 1, 2, 3])).tolist() == [0, 2, 3, 1]  # fMRIPrep
    codes = np.array([0, 2, 3, 4, 11, 16, 24, 41, 1012, 3001, 251])
    assert tissues.from_segmentation(codes).tolist() == [0, 3, 2, 1, 2, 3, 1, 3, 2, 3, 3]
