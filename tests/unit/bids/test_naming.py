from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from pvs_bidsapp.bids.naming import Naming, entity_order, parse_entities
from pvs_bidsapp.errors import InputError
from pvs_bidsapp.messages import datasets

LABELS = st.from_regex(r'[a-zA-Z0-9+]{1,5}', fullmatch=True)
KEYS = st.sampled_from([e for e in entity_order() if e != 'sub']) | st.sampled_from(['foo', 'Bar'])
ENTITIES = st.tuples(LABELS, st.dictionaries(KEYS, LABELS, max_size=5)).map(
    lambda drawn: (('sub', drawn[0]), *drawn[1].items())
)


def test_all_entities_of_the_input_are_kept_in_bids_order():
    names = Naming.of(Path('/out'), Path('sub-01_ses-a_acq-mprage_rec-norm_run-2_echo-1_T1w.nii.gz'))
    stem = 'sub-01_ses-a_acq-mprage_rec-norm_run-2_echo-1'
    assert names.anat('mask', label='PVS') == Path(f'/out/sub-01/ses-a/anat/{stem}_label-PVS_mask.nii.gz')
    assert names.anat('T2w', space='T1w', desc='preproc').name == f'{stem}_space-T1w_desc-preproc_T2w.nii.gz'
    assert names.report == Path('/out/sub-01_ses-a.html')
    assert names.failure == Path(f'/out/logs/{stem}_failure.json')


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
    names = Naming(Path('/out'), base)
    for entity in entities:
        other = Naming(Path('/out'), tuple((k, '2' if k == entity else v) for k, v in base))
        assert other.anat('mask', label='PVS') != names.anat('mask', label='PVS')
        assert not names.shares_outputs(other)


@given(ENTITIES)
def test_a_name_that_is_made_and_parsed_keeps_its_entities(entities):
    names = Naming(Path('/out'), entities)
    parsed = parse_entities(f'{names.stem}_T1w.nii.gz')
    assert dict(parsed) == dict(entities)
    assert Naming(Path('/out'), parsed).stem == names.stem


def outputs(names):
    """Paths of the kinds of outputs that there are."""
    added = [{}, {'desc': 'pvs'}, {'seg': 'regions'}, {'label': 'PVS'}, {'space': 'T1w', 'desc': 'preproc'}]
    paths = [names.anat('x', **more) for more in added]
    return {str(path).casefold() for path in (*paths, names.figure('pvs'), names.status)}


@given(ENTITIES, ENTITIES)
def test_scans_that_share_no_outputs_by_their_names_share_none(one, other):
    first, second = Naming(Path('/out'), one), Naming(Path('/out'), other)
    if outputs(first) & outputs(second):
        assert first.shares_outputs(second)
        assert first.core == second.core


@given(st.text(max_size=20) | st.from_regex(r'sub-[^/]{0,8}_T1w', fullmatch=True))
def test_outputs_never_leave_the_output_folder(name):
    try:
        names = Naming.of(Path('/out'), Path(name))
    except InputError:
        return
    for path in (
        names.anat('mask'),
        names.report,
        names.status,
        names.failure,
        names.lock,
        names.figure('x'),
    ):
        assert '..' not in path.parts
        assert path.is_relative_to('/out')


def test_the_longest_stem_leaves_room_for_the_longest_name():
    names = Naming(Path('/out'), (('sub', 'a' * (Naming.LONGEST_STEM - 4)),))
    longest = names.anat('probseg', space='MNI152NLin2009cSym', label='PVS').name
    assert len(f'.pvs-tmp-{longest}') <= 255


@pytest.mark.parametrize(
    ('expectation', 'name'),
    [
        (refused(datasets.NO_SUB_ENTITY, naming='T1w'), 'T1w.nii.gz'),
        (refused(datasets.NO_SUB_ENTITY, naming='ses-1_T1w'), 'ses-1_T1w.nii.gz'),
        (refused(datasets.NO_SUB_ENTITY, naming='acq-a_sub-1_T1w'), 'acq-a_sub-1_T1w.nii.gz'),
        (refused(datasets.ENTITY, naming="'brain'"), 'brain_T1w.nii.gz'),
        (refused(datasets.ENTITY, naming="''"), 'sub-1__T1w.nii.gz'),
        (refused(datasets.ENTITY, naming="'acq-mp-rage'"), 'sub-1_acq-mp-rage_T1w.nii.gz'),
        (refused(datasets.ENTITY, naming="'sub-é'"), 'sub-é_T1w.nii.gz'),
        (refused(datasets.ENTITY, naming="'acq-'"), 'sub-1_acq-_T1w.nii.gz'),
        (refused(datasets.ENTITY_TWICE, naming='acq'), 'sub-1_acq-a_acq-b_T1w.nii.gz'),
        (refused(datasets.ENTITY_TWICE, naming='sub'), 'sub-1_sub-1_T1w.nii.gz'),
    ],
)
def test_a_name_that_is_no_bids_is_refused_by_name(expectation, name):
    with expectation:
        parse_entities(name)


def test_names_of_transforms(tmp_path):
    names = Naming.of(tmp_path, Path('sub-01_ses-a_run-2_T1w.nii.gz'))
    assert names.transform('T1w', 'MNI152NLin2009cSym').name == (
        'sub-01_ses-a_run-2_from-T1w_to-MNI152NLin2009cSym_mode-image_xfm.h5'
    )
