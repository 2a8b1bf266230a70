"""Experts' datasets are found as they are downloaded: names, raters, scans and where the labels lie."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from expert_layouts import put_ds005595, put_valdo, unfetch
from layouts import put
from refusals import refused

from pvs_bidsapp.bids.label_layouts import LAYOUTS, default_labels_dir, select_valdo_scans
from pvs_bidsapp.bids.labelled_scans import find_labelled_scans
from pvs_bidsapp.bids.labels import ANY_LABELS, LabelChoice, find_labels
from pvs_bidsapp.bids.query import Query
from pvs_bidsapp.cli.arguments import LAYOUTS as OFFERED
from pvs_bidsapp.messages import datasets, masks

SHARED = Path(__file__).resolve().parents[4] / 'shared/data/layout-ds005595.tar.gz'


def labels_of(folder: Path, choice: LabelChoice = ANY_LABELS) -> dict[str, str]:
    """Names of the labels by their scans."""
    found, findings = find_labels(folder, choice)
    assert findings == []
    return {mask.scan: mask.path.name for (mask,) in found.values()}


def names_in(root: Path) -> set[str]:
    """Names of all files of subjects, relative to their dataset."""
    return {path.relative_to(root).as_posix() for path in root.rglob('sub-*_*')}


def test_the_command_line_offers_the_layouts_that_there_are():
    assert tuple(LAYOUTS) == OFFERED


@pytest.mark.parametrize(
    ('name', 'layout'),
    [
        ('sub-01_label-PVS_mask.nii.gz', 'bids'),
        ('sub-01_desc-mask_label-PVS_mask.nii', 'bids'),
        ('sub-01_space-T1_desc-Rater1_label-PVS_mask.nii.gz', 'bids'),
        ('sub-001_desc-mask_PVS.nii.gz', 'ds005595'),
        ('sub-001_desc-mask_PVS.nii', 'ds005595'),
        ('sub-101_space-T1_desc-Rater1_PVSSeg.nii.gz', 'valdo'),
        ('sub-001_desc-mask_PVS.json', None),
        ('sub-101_space-T1_desc-masked_T1.nii.gz', None),
        ('sub-101_space-T1_desc-masked_Regions.nii.gz', None),
    ],
)
def test_a_name_is_that_of_one_layout_or_no_label(name, layout):
    assert [one.name for one in LAYOUTS.values() if one.pattern.fullmatch(name)] == [layout] * bool(layout)


@pytest.mark.skipif(not SHARED.exists(), reason='the layout of ds005595 is not in ../shared')
def test_the_layout_of_ds005595_itself(tmp_path):
    with tarfile.open(SHARED) as archive:
        archive.extractall(tmp_path, filter='data')
    root = tmp_path / 'ds005595'
    traced = [f'sub-00{k}' for k in (1, 2, 3, 5, 6)]  # the mask of the fourth is missing
    assert labels_of(root) == {subject: f'{subject}_desc-mask_PVS.nii.gz' for subject in traced}
    assert default_labels_dir(root) == root / 'derivatives/mask'
    assert names_in(put_ds005595(tmp_path / 'made', *traced)) < names_in(root)
    assert names_in(root) - names_in(tmp_path / 'made') == {'sub-004/anat/sub-004_T2w.nii.gz'}


@pytest.mark.parametrize('below', ['', 'derivatives/mask'])
def test_masks_of_ds005595_are_found_from_the_dataset_or_from_their_folder(tmp_path, below):
    put_ds005595(tmp_path, 'sub-001')
    assert labels_of(tmp_path / below) == {'sub-001': 'sub-001_desc-mask_PVS.nii.gz'}
    assert labels_of(tmp_path / below, LabelChoice(layout='bids')) == {}


def test_masks_of_two_layouts_are_refused_until_one_is_chosen(tmp_path):
    """The program's own outputs may lie in the dataset of the experts."""
    put_ds005595(tmp_path, 'sub-001')
    put(tmp_path, 'derivatives/labels/sub-001/anat/sub-001_label-PVS_mask.nii.gz')
    with refused(masks.SEVERAL_LAYOUTS, naming='ds005595 (sub-*_desc-mask_PVS.nii.gz)'):
        find_labels(tmp_path)
    with refused(masks.SEVERAL_LAYOUTS, naming=str(tmp_path)):
        default_labels_dir(tmp_path)
    assert labels_of(tmp_path, LabelChoice(layout='ds005595')) == {'sub-001': 'sub-001_desc-mask_PVS.nii.gz'}
    assert labels_of(tmp_path, LabelChoice(layout='bids')) == {'sub-001': 'sub-001_label-PVS_mask.nii.gz'}


def test_the_folder_of_the_labels_is_that_of_the_layout(tmp_path):
    for name, make, below in (
        ('a', put_ds005595, 'derivatives/mask'),
        ('b', put_valdo, ''),
        ('c', lambda root, _: root.mkdir(), 'derivatives/labels'),
    ):
        make(tmp_path / name, 'sub-101')
        assert default_labels_dir(tmp_path / name) == tmp_path / name / below
    assert default_labels_dir(tmp_path / 'c', 'ds005595') == tmp_path / 'c/derivatives/mask'


def test_labels_on_the_t2w_are_those_of_the_t2w_alone(tmp_path):
    assert default_labels_dir(tmp_path, channels=('T2w',)) == tmp_path / 'derivatives/labels'
    on_t2w = tmp_path / 'derivatives/labels-T2w'
    on_t2w.mkdir(parents=True)
    assert default_labels_dir(tmp_path, channels=('T2w',)) == on_t2w
    for channels in (('T1w',), ('T1w', 'T2w')):
        assert default_labels_dir(tmp_path, channels=channels) == tmp_path / 'derivatives/labels'


def test_of_two_raters_the_first_is_taken_with_a_word_or_the_one_that_is_chosen(tmp_path, caplog):
    put_valdo(tmp_path, 'sub-101')
    put_valdo(tmp_path, 'sub-201', raters=('Rater3',))
    assert labels_of(tmp_path) == {
        'sub-101': 'sub-101_space-T1_desc-Rater1_PVSSeg.nii.gz',
        'sub-201': 'sub-201_space-T1_desc-Rater3_PVSSeg.nii.gz',
    }
    assert '1 scans have masks of several raters (Rater1, Rater2)' in caplog.text
    assert labels_of(tmp_path, LabelChoice(rater='rater2')) == {
        'sub-101': 'sub-101_space-T1_desc-Rater2_PVSSeg.nii.gz'
    }
    with refused(masks.NO_RATER, naming='Rater1, Rater2, Rater3'):
        find_labels(tmp_path, LabelChoice(rater='Rater4'))


def test_a_rater_may_be_chosen_of_masks_with_bids_names(tmp_path):
    names = [f'sub-01_label-PVS_desc-{rater}_mask.nii.gz' for rater in ('ann', 'ben')]
    put(tmp_path, *(f'sub-01/anat/{name}' for name in names))
    assert labels_of(tmp_path, LabelChoice(rater='ben')) == {'sub-01': names[1]}


def test_scans_of_valdo_have_bids_names_and_the_files_of_the_dataset(tmp_path):
    put_valdo(tmp_path, 'sub-101', 'sub-201')
    (tmp_path / 'sub-201/sub-201_space-T1_desc-masked_T2.nii.gz').unlink()
    selection = select_valdo_scans(tmp_path, Query())
    assert [scan.anat.name for scan in selection.scans] == ['sub-101_T1w.nii.gz', 'sub-201_T1w.nii.gz']
    assert [[path.name for path in scan.files.values()] for scan in selection.scans] == [
        ['sub-101_space-T1_desc-masked_T1.nii.gz', 'sub-101_space-T1_desc-masked_T2.nii.gz'],
        ['sub-201_space-T1_desc-masked_T1.nii.gz'],
    ]
    assert select_valdo_scans(put_ds005595(tmp_path / 'other', 'sub-001'), Query()) is None


def test_labelled_scans_of_valdo(tmp_path, caplog):
    put_valdo(tmp_path, 'sub-101')
    put_valdo(tmp_path, 'sub-201', raters=())
    one, two = find_labelled_scans(tmp_path, default_labels_dir(tmp_path), ('T1w', 'T2w'))
    assert [path.name for path in (one.anat, one.t2w, one.label)] == [
        f'sub-101_space-T1_desc-{end}.nii.gz' for end in ('masked_T1', 'masked_T2', 'Rater1_PVSSeg')
    ]
    assert (one.name, two.name, two.label) == ('sub-101', 'sub-201', None)
    assert '1 scans have no label (sub-201)' in caplog.text


def test_scans_of_valdo_by_what_the_network_gets(tmp_path):
    """A T2w that nobody uses may be missing."""
    put_valdo(tmp_path, 'sub-101')
    t2w = tmp_path / 'sub-101/sub-101_space-T1_desc-masked_T2.nii.gz'
    (alone,) = find_labelled_scans(tmp_path, tmp_path, ('T2w',))
    assert (alone.anat, alone.t2w) == (t2w, None)
    unfetch(t2w)
    (scan,) = find_labelled_scans(tmp_path, tmp_path, ('T1w',))
    assert (scan.anat.name, scan.t2w) == ('sub-101_space-T1_desc-masked_T1.nii.gz', None)
    with refused(datasets.NONE_USABLE, naming=str(tmp_path)):
        find_labelled_scans(tmp_path, tmp_path, ('T1w', 'T2w'))


def test_a_scan_of_valdo_that_is_not_here_is_named(tmp_path):
    put_valdo(tmp_path, 'sub-101')
    unfetch(tmp_path / 'sub-101/sub-101_space-T1_desc-masked_T1.nii.gz')
    (refusal,) = select_valdo_scans(tmp_path, Query()).refused
    assert refusal.finding.code == datasets.NOT_FETCHED.code
    with refused(datasets.NONE_USABLE, naming=str(tmp_path)):
        find_labelled_scans(tmp_path, tmp_path)


def test_labelled_scans_of_ds005595(tmp_path, caplog):
    """With the T1w of the same people; without, what is missing is named."""
    put_ds005595(tmp_path, 'sub-001', 'sub-002')
    folder = default_labels_dir(tmp_path)
    with refused(datasets.ONLY_T2W, naming=str(tmp_path)):
        find_labelled_scans(tmp_path, folder)
    put(tmp_path, *(f'sub-00{k}/anat/sub-00{k}_T1w.nii.gz' for k in (1, 2)))
    scans = find_labelled_scans(tmp_path, folder, ('T1w', 'T2w'))
    assert [(s.name, s.label.name) for s in scans] == [
        (f'sub-00{k}', f'sub-00{k}_desc-mask_PVS.nii.gz') for k in (1, 2)
    ]
    unfetch(tmp_path / 'sub-002/anat/sub-002_T1w.nii.gz')
    with refused(masks.NO_SCAN, naming='sub-002_desc-mask_PVS.nii.gz'):
        find_labelled_scans(tmp_path, folder)
    assert 'datalad get sub-002/anat/sub-002_T1w.nii.gz' in caplog.text


def test_a_layout_that_is_not_there_is_refused_by_the_name_that_is_wanted(tmp_path):
    put_ds005595(tmp_path, 'sub-001')
    with refused(masks.NONE_FOUND, naming='PVSSeg'):
        find_labelled_scans(tmp_path, tmp_path, choice=LabelChoice(layout='valdo'))
