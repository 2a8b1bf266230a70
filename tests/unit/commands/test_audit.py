"""What is told of the inputs before any work."""

from __future__ import annotations

import csv
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from disguises import write
from layouts import put_images

from pvs_bidsapp.bids.query import Query, find_scans
from pvs_bidsapp.commands import audit
from pvs_bidsapp.commands.audit import audit_inputs
from pvs_bidsapp.messages import datasets, scans

GOOD, SHEARED, BARE, SLAB = (f'sub-{k}/anat/sub-{k}_T1w.nii.gz' for k in ('good', 'sheared', 'bare', 'slab'))


@pytest.fixture
def dataset(settings):
    """A good scan, a sheared one, one without orientation, a slab beside a good T1w, and an unfetched one."""
    root, data = settings.bids_dir, np.zeros((70, 70, 70), np.uint8)
    put_images(root, GOOD, SLAB)
    tilted = np.array([[2, 0.4, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])
    write(nib.Nifti1Image(data, tilted), root / SHEARED)
    bare = nib.Nifti1Image(data, None)
    bare.header.set_zooms((2, 2, 2))
    bare.set_sform(None, 0)
    bare.set_qform(None, 0)
    write(bare, root / BARE)
    thin = nib.Nifti1Image(data[:, :, :10], np.diag([2.0, 2, 2, 1]))
    write(thin, root / SLAB.replace('T1w', 'T2w'))
    annex = root / 'sub-annex' / 'anat' / 'sub-annex_T1w.nii.gz'
    annex.parent.mkdir(parents=True)
    annex.symlink_to('../../.git/annex/objects/x/x.nii.gz')
    return find_scans(root, Query())


def rows(settings):
    with (settings.out_dir / 'logs' / 'input_audit.tsv').open() as stream:
        return list(csv.DictReader(stream, delimiter='\t'))


def test_each_finding_is_in_the_table_and_in_the_log(settings, dataset, caplog):
    selection = audit_inputs(dataset, settings)
    assert {s.anat.name.split('_')[0] for s in selection.scans} == {'sub-good', 'sub-bare', 'sub-slab'}
    refused = {r.path: r.finding.code for r in selection.refused}
    assert refused[SHEARED] == scans.SHEARED.code
    table = rows(settings)
    kept = [row for row in table if row['code'] != scans.THICK.code]
    found = {(row['file'], row['code'], row['is_refused']) for row in kept}
    assert found == {
        (SHEARED, scans.SHEARED.code, 'True'),
        (BARE, scans.NO_ORIENTATION.code, 'False'),
        ('sub-annex/anat/sub-annex_T1w.nii.gz', datasets.NOT_FETCHED.code, 'True'),
    }
    assert all(row['mend'] for row in table)
    assert all(row['file'] in caplog.text for row in table)


def test_a_bad_t2w_is_a_fault_only_if_the_model_needs_it(settings, dataset):
    both = replace(settings, analysis=replace(settings.analysis, channels=('T1w', 'T2w')))
    refused = {r.path: r.finding for r in audit_inputs(dataset, both).refused}
    assert refused[SLAB].code == scans.T2W_UNUSABLE.code
    assert 'whole head' in str(refused[SLAB])


def test_a_dry_run_writes_nothing(settings, dataset):
    audit_inputs(dataset, settings, is_dry_run=True)
    assert not settings.out_dir.exists()


def test_the_table_keeps_what_earlier_runs_found(settings, dataset, monkeypatch):
    audit_inputs(dataset, settings)
    whole = rows(settings)
    for scan in dataset.scans:
        audit_inputs(replace(dataset, scans=(scan,), refused=()), settings)
    assert rows(settings) == whole
    monkeypatch.setattr(audit, 'status', lambda *_: 'done')
    assert set(audit_inputs(dataset, settings).scans) == set(dataset.scans)  # a newer program may refuse more
    assert rows(settings) == whole
    (settings.bids_dir / SHEARED).unlink()
    audit_inputs(replace(dataset, scans=(), refused=()), settings)
    assert rows(settings) == [row for row in whole if row['file'] != SHEARED]
    assert [p.name for p in (settings.out_dir / 'logs').iterdir()] == ['input_audit.tsv']
