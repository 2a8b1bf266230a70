import pytest

from pvs_bidsapp.commands.predict import find_images, stage
from pvs_bidsapp.errors import InputError


def test_each_scan_becomes_a_subject_named_after_its_file(tmp_path):
    for name in ('head 1.nii.gz', 'sub-7_T1w.nii'):
        (tmp_path / name).touch()
    stage(find_images(tmp_path), None, tmp_path / 'bids')
    made = sorted(p.relative_to(tmp_path / 'bids').as_posix() for p in (tmp_path / 'bids').rglob('*.nii*'))
    assert made == ['sub-7/anat/sub-7_T1w.nii', 'sub-head1/anat/sub-head1_T1w.nii.gz']


def test_two_files_of_one_label_are_refused_by_name(tmp_path):
    for name in ('a-b.nii.gz', 'ab.nii.gz'):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r'a-b\.nii\.gz and ab\.nii\.gz'):
        stage(find_images(tmp_path), None, tmp_path / 'bids')


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r'no \*\.nii'):
        find_images(tmp_path)
