"""Which masks are compared, on which grid, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from refusals import refused
from tracings import FORMS, plain, tubes, without_orientation, write

from pvs_bidsapp.commands.evaluate import run
from pvs_bidsapp.evaluation.masks import Evaluator
from pvs_bidsapp.messages import masks, scans
from pvs_bidsapp.outputs.evaluation import COLUMNS, find_mask_pairs, write_evaluation
from pvs_bidsapp.outputs.region_labels import region_labels

MASK = tubes()
NAME = 'sub-01_label-PVS_mask.nii.gz'


def save(root, name, data, affine):
    path = root / 'sub-01' / 'anat' / f'sub-01_{name}.nii.gz'
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path


@pytest.fixture
def data_sets(tmp_path):
    """Reference mask, and the same mask, its probability and regions on a mirrored grid."""
    mask = np.zeros((10, 12, 14), bool)
    mask[2:4, 5, 6] = mask[8, 2:9, 3] = True
    affine = np.diag([0.8, 0.8, 0.8, 1])
    mirrored = affine @ np.diag([-1, 1, 1, 1])
    mirrored[0, 3] = 0.8 * 9
    save(tmp_path / 'reference', 'label-PVS_mask', mask, affine)
    save(tmp_path / 'predicted', 'label-PVS_mask', mask[::-1], mirrored)
    save(tmp_path / 'predicted', 'label-PVS_probseg', 0.7 * mask[::-1], mirrored)
    save(tmp_path / 'predicted', 'seg-regions_dseg', np.full(mask.shape, 21), mirrored)
    return tmp_path / 'predicted', tmp_path / 'reference', mask


def test_predicted_images_come_to_the_grid_of_the_reference(data_sets):
    predicted, reference, mask = data_sets
    found = find_mask_pairs(predicted, reference)
    (files,) = found.pairs
    pair, findings = files.read()
    assert (pair.name, findings, found.unmatched) == ('sub-01', [], [])
    np.testing.assert_array_equal(pair.predicted, mask)
    np.testing.assert_array_equal(pair.reference, mask)
    np.testing.assert_allclose(pair.probability, 0.7 * mask, atol=1e-6)
    assert (pair.regions == 21).all()
    assert pair.voxel_volume == pytest.approx(0.8**3)


def test_tables_and_figure_are_written(data_sets, tmp_path):
    predicted, reference, _ = data_sets
    run(predicted, reference, tmp_path / 'out', (0.0, 5.0), (0.5, 0.9))
    names = {p.name for p in (tmp_path / 'out').iterdir()}
    assert names == {
        'evaluation.tsv', 'evaluation_summary.tsv', 'evaluation_agreement.tsv', 'evaluation_sweep.tsv',
        'evaluation_sweep.png', 'evaluation_unmatched.tsv', 'evaluation.json', 'evaluation_spaces.tsv',
        'evaluation_recall.tsv', 'evaluation.html',
    }  # fmt: skip
    tables = {p.name: pd.read_csv(p, sep='\t') for p in (tmp_path / 'out').glob('*.tsv')}
    assert (tables['evaluation.tsv']['dice'] == 1).all()
    assert tables['evaluation_unmatched.tsv'].empty
    assert set(json.loads((tmp_path / 'out' / 'evaluation.json').read_text())) == set(COLUMNS)
    assert {column for table in tables.values() for column in table} == set(COLUMNS)


def test_tables_of_an_earlier_evaluation_do_not_stay(data_sets, tmp_path):
    predicted, reference, _ = data_sets
    run(predicted, reference, tmp_path / 'out', (0.0,), (0.5,))
    next(predicted.rglob('*probseg*')).unlink()
    run(predicted, reference, tmp_path / 'out', (0.0,), (0.5,))
    assert not list((tmp_path / 'out').glob('*sweep*'))


TRUTH = 'index\tname\tdetectability\n1\tPVS1\t3.5\n2\tPVS2\tn/a\n9\tPVS9\t1.0\n'


@pytest.fixture
def numbered(data_sets):
    """The data sets, with both spaces numbered, and the brain."""
    predicted, reference, mask = data_sets
    affine = np.diag([0.8, 0.8, 0.8, 1])
    path = save(reference, 'desc-pvs_dseg', mask * np.where(np.arange(10) < 5, 1, 2)[:, None, None], affine)
    (path.parent / 'sub-01_desc-pvs_dseg.tsv').write_text(TRUTH)
    save(reference, 'desc-brain_mask', np.ones_like(mask), affine)
    return predicted, reference, path.parent / 'sub-01_desc-pvs_dseg.tsv'


def test_spaces_are_those_of_the_truth_with_their_detectability(numbered, tmp_path):
    predicted, reference, truth = numbered
    (files,) = find_mask_pairs(predicted, reference).pairs
    pair, _ = files.read()
    assert pair.brain.all()
    assert set(np.unique(pair.spaces)) == {0, 1, 2}
    run(predicted, reference, tmp_path / 'out', (0.0,), (0.5,))
    spaces = pd.read_csv(tmp_path / 'out' / 'evaluation_spaces.tsv', sep='\t')
    assert list(spaces['index']) == [1, 2]  # the third has no voxel
    assert spaces['detectability'].tolist()[0] == 3.5
    assert spaces['detectability'].isna()[1]
    assert (tmp_path / 'out' / 'evaluation_recall.png').exists()
    recall = pd.read_csv(tmp_path / 'out' / 'evaluation_recall.tsv', sep='\t')
    row = recall[(recall['measure'] == 'detectability') & (recall['low'] == 2)].iloc[0]
    assert (row['n_spaces'], row['recall']) == (1, 1)
    assert 0 < row['ideal_recall'] < 1
    truth.write_text(TRUTH.replace('detectability', 'other'))
    run(predicted, reference, tmp_path / 'out', (0.0,), (0.5,))
    assert not (tmp_path / 'out' / 'evaluation_recall.png').exists()
    truth.unlink()
    assert files.read()[0].spaces is None


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('name\tdetectability\nPVS1\t3\n', 'no column index'),
        (TRUTH.replace('9\t', '2\t'), 'other values than numbers'),
        (TRUTH.replace('9\t', 'x\t'), 'other values than numbers'),
        ('index\tdetectability\n1\t2\t3\n', 'more cells'),
        (None, ''),
    ],
)
def test_a_damaged_table_of_the_truth_is_refused(numbered, text, reason):
    predicted, reference, truth = numbered
    if text is None:
        truth.unlink()
        truth.mkdir()
    else:
        truth.write_text(text)
    (files,) = find_mask_pairs(predicted, reference).pairs
    with refused(masks.TRUTH_TABLE, naming=reason):
        files.read()


def pair_of(root: Path, reference: nib.Nifti1Image, name: str = NAME):
    """The plain mask as prediction, and a reference."""
    write(plain(MASK), root / 'predicted' / NAME)
    write(reference, root / 'reference' / name)
    (files,) = find_mask_pairs(root / 'predicted', root / 'reference').pairs
    return files


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('is_prediction', [False, True])
def test_a_mask_in_any_form_has_a_dice_of_1_with_the_plain_one(tmp_path, form, is_prediction):
    files = pair_of(tmp_path, FORMS[form](MASK))
    if is_prediction:
        files = type(files)(predicted=files.reference, reference=files.predicted)
    evaluator = Evaluator((0.0,), (0.5,))
    evaluator.add(files.read()[0])
    table = evaluator.tables().scans
    assert list(table['dice']) == [1.0]
    assert table['reference_volume_mm3'][0] == pytest.approx(MASK.sum() * 0.9 * 1.2)


@pytest.mark.parametrize(
    'name',
    [
        'sub-01_label-PVS_mask.nii', 'sub-01_desc-expert_label-PVS_mask.nii.gz',
        'sub-01_label-PVS_desc-expert_mask.nii', 'sub-01_space-T1w_label-PVS_mask.nii.gz',
        'sub-01_space-orig_res-high_label-PVS_mask.nii.gz',
    ],
)  # fmt: skip
def test_names_may_have_what_derivatives_add(tmp_path, name):
    pair, findings = pair_of(tmp_path, plain(MASK), name).read()
    assert (pair.name, findings) == ('sub-01', [])
    np.testing.assert_array_equal(pair.predicted, pair.reference)


def test_a_mask_without_orientation_is_compared_voxel_by_voxel_with_a_word(tmp_path):
    pair, findings = pair_of(tmp_path, without_orientation(MASK)).read()
    np.testing.assert_array_equal(pair.predicted, pair.reference)
    assert [f.code for f in findings] == ['mask-placed']
    with refused(masks.NO_PLACE, naming='predicted'):
        pair_of(tmp_path / 'other', without_orientation(MASK[:, :, :-1])).read()


def test_masks_of_different_heads_or_spaces_are_not_compared(tmp_path):
    moved = plain(MASK)
    moved.affine[2, 3] += 300
    with refused(masks.ELSEWHERE, naming='reference'):
        pair_of(tmp_path / 'away', nib.Nifti1Image(np.asarray(moved.dataobj), moved.affine)).read()
    with refused(masks.SPACES_DIFFER, naming='the space MNI152NLin6Asym'):
        pair_of(tmp_path / 'mni', plain(MASK), 'sub-01_space-MNI152NLin6Asym_label-PVS_mask.nii.gz').read()
    _, findings = pair_of(tmp_path / 'odd', plain(MASK), 'sub-01_space-lab_label-PVS_mask.nii.gz').read()
    assert [f.code for f in findings] == ['mask-other-space']


def test_of_several_spaces_the_one_that_both_have_is_compared(tmp_path):
    predicted, reference = tmp_path / 'predicted', tmp_path / 'reference'
    template = 'sub-01_space-MNI152NLin2009cSym_label-PVS_mask.nii.gz'
    for name in (NAME, template):
        write(plain(MASK), predicted / name)
    write(plain(MASK), reference / template)
    (files,) = find_mask_pairs(predicted, reference).pairs
    assert (files.predicted.path.name, files.reference.path.name) == (template, template)
    write(plain(MASK), reference / NAME)
    (files,) = find_mask_pairs(predicted, reference).pairs
    assert (files.predicted.path.name, files.reference.path.name) == (NAME, NAME)
    assert files.scan == 'sub-01'


def test_a_folder_may_be_compared_with_itself_with_a_word(tmp_path):
    write(plain(MASK), tmp_path / NAME)
    (files,) = find_mask_pairs(tmp_path, tmp_path).pairs
    assert [f.code for f in files.read()[1]] == ['mask-itself']


def test_two_raters_are_refused_by_name(tmp_path):
    reference = tmp_path / 'reference'
    write(plain(MASK), tmp_path / 'predicted' / NAME)
    for rater in ('1', '2'):
        write(plain(MASK), reference / f'rater{rater}' / NAME)
    with refused(masks.SECOND, naming=str(reference / 'rater1' / NAME)):
        find_mask_pairs(tmp_path / 'predicted', reference)
    with refused(masks.SECOND, naming='rater2'):
        find_mask_pairs(reference, tmp_path / 'predicted')


def test_masks_without_a_partner_are_listed(tmp_path):
    predicted, reference = tmp_path / 'predicted', tmp_path / 'reference'
    for folder, people in ((predicted, '12'), (reference, '13')):
        for k in people:
            write(plain(MASK), folder / f'sub-0{k}_label-PVS_mask.nii.gz')
    write(plain(MASK), reference / 'sub-04_acq-a-b_label-PVS_mask.nii.gz')
    found = find_mask_pairs(predicted, reference)
    assert [files.scan for files in found.pairs] == ['sub-01']
    rows = {mask.row()['scan']: mask.row() for mask in found.unmatched}
    assert rows['sub-02'] == {
        'scan': 'sub-02',
        'dataset': 'prediction',
        'file': str(predicted / 'sub-02_label-PVS_mask.nii.gz'),
        'reason': 'a prediction without a reference',
        'mend': masks.NO_REFERENCE.mend,
    }
    assert all(row['mend'] not in ('', 'n/a') for row in rows.values())
    assert (rows['sub-03']['dataset'], rows['sub-03']['reason']) == (
        'reference',
        'a reference without a prediction',
    )
    assert 'not a BIDS name' in rows['sub-04_acq-a-b_label-PVS_mask.nii.gz']['reason']
    evaluator = Evaluator((0.0,), (0.5,))
    evaluator.add(found.pairs[0].read()[0])
    write_evaluation(evaluator.tables(), found.unmatched, tmp_path / 'out')
    assert len(pd.read_csv(tmp_path / 'out' / 'evaluation_unmatched.tsv', sep='\t')) == 3


def test_no_masks_and_no_pairs_are_an_error(tmp_path):
    write(plain(MASK), tmp_path / 'predicted' / NAME)
    (tmp_path / 'empty').mkdir()
    for folders in (('predicted', 'empty'), ('empty', 'predicted')):
        with refused(masks.NONE_FOUND, naming=str(tmp_path / 'empty')):
            find_mask_pairs(*(tmp_path / folder for folder in folders))
    write(plain(MASK), tmp_path / 'reference' / 'sub-02_label-PVS_mask.nii.gz')
    with refused(masks.NO_PAIR, naming='sub-02_label-PVS_mask.nii.gz'):
        find_mask_pairs(tmp_path / 'predicted', tmp_path / 'reference')


@pytest.mark.parametrize('name', ['label-PVS_probseg', 'seg-regions_dseg'])
def test_a_damaged_map_beside_a_prediction_is_named(data_sets, name):
    predicted, reference, _ = data_sets
    path = predicted / f'sub-01/anat/sub-01_{name}.nii.gz'
    path.write_bytes(path.read_bytes()[:60])
    with refused(scans.DAMAGED, naming=path.name):
        find_mask_pairs(predicted, reference).pairs[0].read()


def test_a_region_map_of_another_version_is_named(data_sets):
    predicted, reference, _ = data_sets
    table = predicted / 'sub-01/anat/sub-01_seg-regions_dseg.tsv'
    table.write_text(region_labels())
    assert find_mask_pairs(predicted, reference).pairs[0].read()[0].regions is not None
    table.write_text('index\tname\n21\tbasal ganglia left\n')
    with refused(masks.OTHER_REGIONS, naming=table.name):
        find_mask_pairs(predicted, reference).pairs[0].read()
