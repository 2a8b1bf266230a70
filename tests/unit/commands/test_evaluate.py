"""What an evaluation says of what it leaves out, and its exit status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from program import pvs
from refusals import refused
from tracings import plain, tubes, write

from pvs_bidsapp.commands.evaluate import _means, run
from pvs_bidsapp.messages import masks

MASK = tubes()
EMPTY = np.zeros_like(MASK)


def put(root: Path, **people: np.ndarray) -> Path:
    """A dataset with a mask of each person."""
    for label, mask in people.items():
        write(plain(mask), root / f'sub-{label}' / 'anat' / f'sub-{label}_label-PVS_mask.nii.gz')
    return root


def evaluate(root: Path):
    return run(root / 'predicted', root / 'reference', root / 'out', (0.0,), (0.5,))


def table(root: Path, name: str = '') -> pd.DataFrame:
    return pd.read_csv(root / 'out' / f'evaluation{name}.tsv', sep='\t')


def test_a_damaged_mask_is_named_and_the_others_are_compared(tmp_path, caplog):
    put(tmp_path / 'predicted', a=MASK, b=MASK, c=MASK)
    put(tmp_path / 'reference', a=MASK, b=MASK, c=MASK * 3)
    bad = tmp_path / 'reference/sub-b/anat/sub-b_label-PVS_mask.nii.gz'
    bad.write_bytes(bad.read_bytes()[:150])
    write(
        plain(MASK + np.roll(MASK, 9, 0) * 2), tmp_path / 'predicted/sub-c/anat/sub-c_label-PVS_mask.nii.gz'
    )
    outcome = evaluate(tmp_path)
    assert outcome.exit_status == 1
    assert f'{bad}: cannot be read' in caplog.text
    assert list(table(tmp_path)['scan']) == ['sub-a']
    rows = table(tmp_path, '_unmatched')
    assert list(zip(rows['scan'], rows['dataset'], strict=True)) == [
        ('sub-b', 'reference'),
        ('sub-c', 'prediction'),
    ]
    assert '2 scans left out, as a file cannot be used' in outcome.report()
    assert '1 scan compared' in outcome.report()


def test_masks_without_a_partner_are_named_and_counted_but_no_failure(tmp_path, caplog):
    put(tmp_path / 'predicted', a=MASK, b=MASK)
    put(tmp_path / 'reference', a=MASK, c=MASK, d=MASK)
    outcome = evaluate(tmp_path)
    assert outcome.exit_status == 0
    for label in 'bcd':
        assert f'sub-{label}_label-PVS_mask.nii.gz: a' in caplog.text
    report = outcome.report()
    assert '2 references left out, without a prediction' in report
    assert '1 prediction left out, without a reference' in report
    assert len(table(tmp_path, '_unmatched')) == 3


def test_scans_without_pvs_are_counted_and_avd_says_over_how_many_it_is_taken(tmp_path):
    put(tmp_path / 'predicted', a=MASK, b=MASK, c=EMPTY, d=EMPTY)
    put(tmp_path / 'reference', a=MASK, b=EMPTY, c=EMPTY, d=MASK)
    report = evaluate(tmp_path).report()
    summary = table(tmp_path, '_summary').set_index('score')
    assert list(summary.loc['avd', ['n_scans', 'n_finite']]) == [4, 3]
    assert summary.loc['avd', 'mean'] == pytest.approx((0 + 0 + 100) / 3, rel=1e-4)
    assert list(summary.loc['dice', ['n_scans', 'n_finite', 'mean']]) == [4, 4, 0.5]
    assert '3 of 4 scans' in report
    assert '1 scan with both masks empty: scores of 1' in report
    assert '1 scan with an empty reference: Dice 0' in report
    scans = table(tmp_path).set_index('scan')
    assert np.isinf(scans.loc['sub-b', 'avd'])
    assert list(scans['reference_volume_mm3'] > 0) == [True, False, False, True]


def test_scans_stand_on_the_page_and_are_counted_whatever_the_smallest_size_filter(tmp_path):
    put(tmp_path / 'predicted', a=MASK, b=EMPTY)
    put(tmp_path / 'reference', a=MASK, b=EMPTY)
    for label in 'ab':  # regions have rows without a filter
        path = tmp_path / 'predicted' / f'sub-{label}' / 'anat' / f'sub-{label}_seg-regions_dseg.nii.gz'
        write(plain(np.ones(MASK.shape, np.uint8)), path)
    outcome = run(tmp_path / 'predicted', tmp_path / 'reference', tmp_path / 'out', (1.0, 2.0), (0.5,))
    assert '1 scan with both masks empty' in outcome.report()
    page = (tmp_path / 'out' / 'evaluation.html').read_text()
    assert all(f'>sub-{label}</td>' in page for label in 'ab')


def test_the_interval_of_one_scan_is_not_printed():
    names = ['region', 'min_size_mm3', 'score', 'n_scans', 'mean', 'ci_low', 'ci_high', 'n_finite']
    one = pd.DataFrame([['all', 0.0, 'dice', 1, 0.5, np.nan, np.nan, 1]], columns=names)
    assert 'dice: 0.500 (95 % interval n/a)' in _means(one)
    two = one.assign(ci_low=0.4, ci_high=0.6)
    assert 'dice: 0.500 (95 % interval 0.400 to 0.600)' in _means(two)


def test_references_that_are_all_empty_are_told(tmp_path, caplog):
    put(tmp_path / 'predicted', a=MASK, b=EMPTY)
    put(tmp_path / 'reference', a=EMPTY, b=EMPTY)
    evaluate(tmp_path)
    assert 'no reference marks a single voxel' in caplog.text


def test_nothing_that_can_be_used_is_an_error(tmp_path):
    put(tmp_path / 'predicted', a=MASK)
    put(tmp_path / 'reference', a=~EMPTY)
    with refused(masks.NONE_EVALUATED, naming='1 pairs'):
        evaluate(tmp_path)


def test_the_program_says_so_on_stderr_and_by_its_exit_status(tmp_path):
    put(tmp_path / 'predicted', a=MASK, b=MASK)
    put(tmp_path / 'reference', a=MASK, b=MASK, c=MASK)
    folders = (tmp_path / 'predicted', tmp_path / 'reference', tmp_path / 'out')
    done = pvs('evaluate', *folders)
    assert done.returncode == 0, done.stderr
    assert 'sub-c_label-PVS_mask.nii.gz: a reference without a prediction' in done.stderr
    assert '1 reference left out, without a prediction' in done.stdout
    assert 'dice: 1.000' in done.stdout
    damaged = tmp_path / 'reference/sub-b/anat/sub-b_label-PVS_mask.nii.gz'
    damaged.write_bytes(damaged.read_bytes()[:150])
    done = pvs('evaluate', *folders)
    assert done.returncode == 1
    assert 'sub-b_label-PVS_mask.nii.gz: cannot be read' in done.stderr
    assert 'Traceback' not in done.stderr
    assert '1 scan compared' in done.stdout
    write(plain(MASK), tmp_path / 'reference/sub-a/anat/sub-a_desc-rater2_label-PVS_mask.nii.gz')
    done = pvs('evaluate', *folders)
    assert done.returncode == 2
    assert 'a second label of a scan' in done.stderr
    assert sum('error:' in line for line in done.stderr.splitlines()) == 1
