"""Whether an input file is there, or only a pointer to its content elsewhere."""

from __future__ import annotations

import pytest
from layouts import put
from refusals import refused

from pvs_bidsapp.messages import datasets
from pvs_bidsapp.messages.message import error_of
from pvs_bidsapp.runtime.input_files import check_file


def test_a_large_file_is_not_opened(tmp_path):
    """A tape archive would have to fetch it."""
    path = put(tmp_path, 'a', content=b'/annex/objects/x' + bytes(2**16)) / 'a'
    assert check_file(path) is None


@pytest.mark.parametrize(
    'content', [b'/annex/objects/MD5E-s52--9a.nii.gz\n', b'../../.git/annex/objects/x/y/MD5E-s52--9a.nii.gz']
)
def test_an_unlocked_file_that_git_annex_has_not_fetched_is_named_with_the_command(tmp_path, content):
    """The second form is a link as Windows checks it out."""
    path = put(tmp_path, 'sub-001_desc-mask_PVS.nii.gz', content=content) / 'sub-001_desc-mask_PVS.nii.gz'
    with refused(datasets.NOT_FETCHED, naming=f'datalad get {path}'):
        raise error_of(check_file(path))


def test_a_link_into_git_annex_is_named_with_the_command_as_it_is_shown(tmp_path):
    path = tmp_path / 'sub-001_desc-mask_PVS.nii.gz'
    path.symlink_to('../../../.git/annex/objects/k3/9a/MD5E-s52--9a/MD5E-s52--9a.nii.gz')
    with refused(datasets.NOT_FETCHED, naming='datalad get sub-001/mask.nii.gz'):
        raise error_of(check_file(path, 'sub-001/mask.nii.gz'))


def test_a_file_of_the_size_of_a_pointer_may_be_an_image(tmp_path):
    assert check_file(put(tmp_path, 'small.nii', content=bytes(400)) / 'small.nii') is None
