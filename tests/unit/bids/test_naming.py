from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvs_bidsapp.bids.naming import Naming, entity_order, parse_entities
from pvs_bidsapp.errors import InputError


def test_all_entities_of_the_input_are_kept_in_bids_order():
    names = Naming.of(Path('/out'), Path('sub-01_ses-a_acq-mprage_rec-norm_run-2_echo-1_T1w.nii.gz'))
    stem = 'sub-01_ses-a_acq-mprage_rec-norm_run-2_echo-1'
    assert names.anat('mask', label='PVS') == Path(f'/out/sub-01/ses-a/anat/{stem}_label-PVS_mask.nii.gz')
    assert names.anat('T2w', space='T1w', desc='preproc').name == f'{stem}_space-T1w_desc-preproc_T2w.nii.gz'
    assert names.report == Path('/out/sub-01_ses-a.html')


@pytest.mark.parametrize(
    ('added', 'suffix', 'name'),
    [
        ({'desc': 'preproc'}, 'T1w', 'sub-01_desc-preproc_T1w.nii.gz'),
        ({'desc': 'brain'}, 'mask', 'sub-01_desc-brain_mask.nii.gz'),
        ({'seg': 'regions'}, 'dseg', 'sub-01_seg-regions_dseg.nii.gz'),
        ({'label': 'PVS'}, 'probseg', 'sub-01_label-PVS_probseg.nii.gz'),
        ({'desc': 'pvs'}, 'dseg', 'sub-01_desc-pvs_dseg.nii.gz'),
        (
            {'desc': 'x', 'label': 'y', 'seg': 'z', 'space': 'T1w'},
            'dseg',
            'sub-01_space-T1w_seg-z_label-y_desc-x_dseg.nii.gz',
        ),
    ],
)
def test_names_of_the_contract(added, suffix, name):
    assert Naming.of(Path('/out'), Path('sub-01_T1w.nii.gz')).anat(suffix, **added).name == name


@given(
    st.sets(st.sampled_from([e for e in entity_order() if e not in ('sub', 'desc', 'label', 'space', 'seg')]))
)
def test_two_scans_that_differ_in_an_entity_never_share_an_output(entities):
    base = (('sub', '01'), *((e, '1') for e in sorted(entities)))
    path = Naming(Path('/out'), base).anat('mask', label='PVS')
    for entity in entities:
        other = tuple((k, '2' if k == entity else v) for k, v in base)
        assert Naming(Path('/out'), other).anat('mask', label='PVS') != path


@pytest.mark.parametrize('name', ['T1w.nii.gz', 'brain_T1w.nii.gz', 'ses-1_T1w.nii.gz'])
def test_a_name_that_is_no_bids_is_refused_by_name(name):
    with pytest.raises(InputError, match=name):
        parse_entities(name)
