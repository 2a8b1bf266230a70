import gzip

import nibabel as nib
import numpy as np
import pytest

from pvs_bidsapp.anatomy.conform import load_scan, working_image
from pvs_bidsapp.errors import ImageError


def save(path, data, zoom=4.0):
    nib.save(nib.Nifti1Image(np.asarray(data, np.float32), np.diag([zoom] * 3 + [1])), path)
    return path


@pytest.fixture
def noise(rng):
    return rng.random((40, 40, 40)) + 1


def test_a_good_scan_is_read(tmp_path, noise):
    image = load_scan(save(tmp_path / 'a.nii.gz', noise[..., None]))
    assert image.shape == (40, 40, 40)
    assert working_image(image).shape == (160, 160, 160)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (np.ones((40, 40, 40, 3)), '4D'),
        (np.zeros((40, 40, 40)), 'empty'),
        (np.full((40, 40, 40), 7), 'constant'),
        (np.full((40, 40, 40), np.nan), 'NaN'),
        (np.arange(8).reshape(2, 2, 2), 'whole head'),
    ],
)
def test_bad_images_are_named_with_what_to_do(tmp_path, data, message):
    path = save(tmp_path / 'bad.nii.gz', data)
    with pytest.raises(ImageError, match=message) as caught:
        load_scan(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_few_nan_are_mended_and_said(tmp_path, noise, caplog):
    noise[3, 3, 3] = np.nan
    assert load_scan(save(tmp_path / 'a.nii.gz', noise)).get_fdata()[3, 3, 3] == 0
    assert '1 NaN' in caplog.text


@pytest.mark.parametrize('kept', [0, 200, 30_000])
def test_a_truncated_file(tmp_path, noise, kept):
    path = save(tmp_path / 'cut.nii.gz', noise)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ImageError, match=r'cut\.nii\.gz'):
        load_scan(path)


def test_a_file_that_is_no_image(tmp_path):
    path = tmp_path / 'text.nii.gz'
    path.write_bytes(gzip.compress(b'not an image'))
    with pytest.raises(ImageError, match=r'text\.nii\.gz'):
        load_scan(path)
