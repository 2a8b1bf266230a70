"""Names of images, and the folders of subjects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from pvs_bidsapp.bids.image_files import list_subjects, split_name
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.messages import datasets


@pytest.mark.parametrize(
    'name', ['sub-01_t1w.nii.gz', 'sub-01_T1w.mgz', 'sub-01_T1w', 'T1w.nii', 'sub-01_T1w.NII']
)
def test_another_suffix_or_extension_is_refused(name):
    with refused(datasets.SUFFIX, naming=name):
        split_name(name)


@given(st.text(max_size=30) | st.from_regex(r'sub-[a-z0-9_.é-]{0,12}_T[12]w\.nii(\.gz)?', fullmatch=True))
def test_a_name_is_taken_apart_without_loss_or_refused(name):
    try:
        entities, suffix, extension = split_name(name)
    except InputError:
        return
    assert '_'.join(f'{k}-{v}' for k, v in entities) + f'_{suffix}{extension}' == name


def test_a_subject_whose_folder_leads_nowhere_is_listed(tmp_path):
    (tmp_path / 'sub-01').symlink_to('/nowhere')
    (tmp_path / 'sub-02').mkdir()
    (tmp_path / 'sub-03').touch()
    assert list_subjects(tmp_path) == ['01', '02']
