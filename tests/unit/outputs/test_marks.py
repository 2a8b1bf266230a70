"""Marks on clusters, as a page gives them, are a label."""

from __future__ import annotations

import numpy as np
import pytest
from finished_scans import AFFINE, finish_scan, head
from layouts import put
from refusals import refused

from pvs_bidsapp.bids.labels import find_labels
from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.commands import evaluate
from pvs_bidsapp.messages import masks
from pvs_bidsapp.outputs.evaluation import find_mask_pairs
from pvs_bidsapp.outputs.marks import files_of_label, read_label
from pvs_bidsapp.outputs.result_tables import read_rows
from pvs_bidsapp.reports.subject_page import MARK_COLUMNS
from pvs_bidsapp.runtime.files import save_image

GIVEN = {1: 'right', 2: 'wrong', 4: 'unsure'}


def write_marks(names, path=None, given=GIVEN, **changed):
    """The table that the page of a scan gives, whose columns may be changed; returns its path."""
    rows = read_rows(names.anat('dseg', '.tsv', desc='pvs'), ('index',))
    lines = [MARK_COLUMNS]
    for row in rows:
        if int(row['index']) in given:
            row |= {'mark': given[int(row['index'])]} | changed
            lines.append([row[name] for name in MARK_COLUMNS])
    path = path or names.anat('marks', '.tsv', desc='pvs')
    put(path.parent, path.name, content=('\n'.join(map('\t'.join, lines)) + '\n').encode())
    return path


@pytest.fixture
def names(tmp_path):
    made = finish_scan(tmp_path / 'out', drawn=False)
    save_image(made.anat('mask', label='PVS'), head()['clusters'] > 0, AFFINE, np.uint8)
    return made


def in_file_order(image):
    """Voxels as masks are read, nearest to RAS: the first axis of the file points to the left."""
    return image[::-1]


def test_the_right_clusters_are_the_label(names):
    label, clusters = read_label(write_marks(names)), in_file_order(head()['clusters'])
    np.testing.assert_array_equal(label.image.mask, clusters == 1)
    np.testing.assert_array_equal(label.unknown, np.isin(clusters, [3, 4]))
    assert (label.n_unsure, label.n_unmarked, label.is_of_marks) == (1, 1, True)


def test_marks_are_read_with_their_clusters(names):
    marks = write_marks(names)
    assert {path.name.split('desc-')[1] for path in files_of_label(marks)} == {
        'pvs_marks.tsv', 'pvs_dseg.tsv', 'pvs_dseg.nii.gz',
    }  # fmt: skip
    mask = names.anat('mask', label='PVS')
    assert files_of_label(mask) == (mask,)


def test_a_mask_is_a_label_without_doubt(names):
    label = read_label(names.anat('mask', label='PVS'))
    np.testing.assert_array_equal(label.image.mask, in_file_order(head()['clusters']) > 0)
    assert (label.unknown, label.is_of_marks) == (None, False)


@pytest.mark.parametrize('place', ['sub-01/anat', 'marks', '.'])
def test_marks_find_their_clusters_anywhere_in_the_output_folder(names, place):
    path = write_marks(names, names.root / place / 'sub-01_desc-pvs_marks.tsv')
    assert read_label(path).image.mask.any()


def test_marks_elsewhere_need_their_clusters(names, tmp_path):
    path = write_marks(names, tmp_path / 'elsewhere' / 'sub-01_desc-pvs_marks.tsv')
    with refused(masks.MARKS_WITHOUT_CLUSTERS, naming='sub-01_desc-pvs_dseg'):
        read_label(path)
    assert read_label(path, beside=(names.folder / 'anat',)).image.mask.any()


@pytest.mark.parametrize('changed', [{'index': '77'}, {'x_mm': '55.5'}, {'z_mm': 'n/a'}, {'y_mm': 'nan'}])
def test_marks_of_other_clusters_are_refused(names, changed):
    path = write_marks(names, given={2: 'right'}, **changed)
    with refused(masks.MARKS_OF_OTHERS, naming=f'cluster {changed.get("index", "2")} '):
        read_label(path)


@pytest.mark.parametrize(
    'content', [b'', b'index\tmark\n', b'\xff\xfe', b'index\tmark\tx_mm\ty_mm\tz_mm\n1\tright\n']
)
def test_what_is_no_table_of_marks_is_refused(names, content):
    path = (
        put(names.folder / 'anat', 'sub-01_desc-pvs_marks.tsv', content=content) / 'sub-01_desc-pvs_marks.tsv'
    )
    with refused(masks.MARKS_DAMAGED):
        read_label(path)


def test_an_unknown_mark_is_refused(names):
    with refused(masks.MARKS_DAMAGED, naming="'perhaps'"):
        read_label(write_marks(names, given={1: 'perhaps'}))


def test_where_there_are_marks_masks_are_no_labels(names):
    marks = write_marks(names)
    other = Naming.of(names.root, names.root / 'sub-02_T1w.nii.gz')
    put(other.folder / 'anat', other.anat('mask', label='PVS').name)
    found, findings = find_labels(names.root)
    assert [mask.path for part in found.values() for mask in part] == [marks]
    assert findings == []


def test_an_evaluation_takes_marks_on_its_own_predictions(names, tmp_path):
    write_marks(names)
    (pair,) = find_mask_pairs(names.root, names.root).pairs
    compared, findings = pair.read()
    clusters = in_file_order(head()['clusters'])
    np.testing.assert_array_equal(compared.reference, clusters == 1)
    np.testing.assert_array_equal(
        compared.predicted, np.isin(clusters, [1, 2])
    )  # the unknown ones are left out
    assert [f.code for f in findings] == [masks.MARKS_AS_REFERENCE.code]
    outcome = evaluate.run(names.root, names.root, tmp_path / 'evaluation', (0.0,))
    scores = outcome.evaluation.scans.iloc[0]
    assert (scores['cluster_recall'], scores['cluster_precision']) == (1.0, 0.5)
    assert outcome.exit_status == 0


def test_marks_that_cannot_be_used_fail_their_scan_alone(names, tmp_path):
    second = finish_scan(names.root, 'sub-02_T1w.nii.gz', drawn=False)
    save_image(second.anat('mask', label='PVS'), head()['clusters'] > 0, AFFINE, np.uint8)
    write_marks(names)
    write_marks(second, given={1: 'right'}, index='9')
    outcome = evaluate.run(names.root, names.root, tmp_path / 'evaluation', (0.0,))
    assert [failed.finding.code for failed in outcome.failed] == [masks.MARKS_OF_OTHERS.code]
    assert outcome.evaluation.scans['scan'].tolist() == ['sub-01']


def test_a_training_learns_from_marks(names, tmp_path, caplog):
    from pvs_bidsapp.bids.labelled_scans import find_labelled_scans
    from pvs_bidsapp.commands.training_cache import check_labels

    write_marks(names)
    t1w = tmp_path / 'bids/sub-01/anat/sub-01_T1w.nii.gz'
    t1w.parent.mkdir(parents=True)
    save_image(t1w, head()['t1w'], AFFINE)
    (scan,) = find_labelled_scans(tmp_path / 'bids', names.root)
    assert check_labels([scan]) == {scan: int((head()['clusters'] == 1).sum())}
    assert 'of which 1 are unsure, and 1 clusters are not marked' in caplog.text
