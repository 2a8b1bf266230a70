"""Pages show all that the output folder holds, whichever run it comes from."""

from __future__ import annotations

import json
import os

import pytest
from layouts import put

from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.bids.query import Query, Scan, Selection, find_scans
from pvs_bidsapp.outputs import reports
from pvs_bidsapp.outputs.records import write_failure
from pvs_bidsapp.outputs.reports import find_outdated, write_pages
from pvs_bidsapp.reports.subject_page import CLUSTER_COLUMNS, REGION_COLUMNS

RUNS = [f'sub-1/ses-a/anat/sub-1_ses-a_run-{n}_T1w.nii' for n in (1, 2)]


def finish(settings, path):
    """Write what a page needs of a finished scan."""
    names = Naming.of(settings.out_dir, path)
    regions, clusters = ('\t'.join(columns) + '\n' for columns in (REGION_COLUMNS, CLUSTER_COLUMNS))
    for suffix, extension, text in (
        ('stats', '.tsv', regions), ('dseg', '.tsv', clusters), ('stats', '.json', '{"ModelName": "m"}'),
    ):  # fmt: skip
        file = names.anat(suffix, extension, desc='pvs')
        put(file.parent, file.name, content=text.encode())
    record = json.dumps({'inputs': {'t1w': [path.name, 1, 1]}, 'files': []})
    put(names.status.parent, names.status.name, content=record.encode())
    return names


@pytest.fixture
def scans(settings):
    put(settings.bids_dir, *RUNS)
    return find_scans(settings.bids_dir, Query()).scans


def page(settings, name='sub-1_ses-a'):
    return (settings.out_dir / f'{name}.html').read_text()


def sections(text):
    return [part.split('</h2>')[0] for part in text.split('<h2>')[1:]]


def test_a_run_of_some_scans_leaves_the_others_on_the_page(settings, scans):
    for scan in scans:
        finish(settings, scan.anat)
    for some in (scans, scans[:1], scans[1:]):
        write_pages(Selection(scans=some, subjects=('1',)), settings)
        assert sections(page(settings)) == [scan.anat.name for scan in scans]


def test_the_methods_are_those_of_the_scans_not_of_this_call(settings, scans):
    for scan, threshold in zip(scans, (0.21, 0.43), strict=True):
        names = finish(settings, scan.anat)
        analysis = settings.dump()['analysis'] | {'threshold': threshold, 'architecture': 'm2ss'}
        record = json.loads(names.status.read_text()) | {'analysis': analysis}
        names.status.write_text(json.dumps(record))
    write_pages(Selection(scans=scans, subjects=('1',)), settings)
    text = page(settings)
    assert 'at least 0.21' in text
    assert 'at least 0.43' in text
    assert f'at least {settings.analysis.threshold:g}' not in text
    assert 'Chai et al., M2SS-PVS' in text


def test_failures_of_other_runs_stay_on_the_page(settings, scans):
    finish(settings, scans[0].anat)
    write_failure(Naming.of(settings.out_dir, scans[1].anat), RUNS[1], 'too <small>')
    write_pages(Selection(scans=scans[:1], subjects=('1',)), settings)
    assert f'{scans[1].anat.name} failed:</b> too &lt;small&gt;' in page(settings)


def test_results_of_an_earlier_run_are_told_from_a_failure_of_this_one(settings, scans):
    names = finish(settings, scans[0].anat)
    write_failure(names, RUNS[0], 'no memory')
    write_pages(Selection(scans=scans, subjects=('1',)), settings)
    assert f'no memory{reports.EARLIER}' in page(settings)
    assert sections(page(settings)) == [scans[0].anat.name]
    assert f'{scans[1].anat.name} failed:</b> {reports.NOT_DONE}' in page(settings)


def test_pages_can_be_written_of_scans_that_are_no_longer_there(settings, scans, tmp_path):
    finish(settings, scans[0].anat)
    finish(settings, settings.bids_dir / 'sub-1_ses-b_T1w.nii')
    finish(settings, settings.bids_dir / 'sub-2_T1w.nii')
    selection = Selection(scans=scans, subjects=('1',))
    pages = write_pages(selection, settings, all_records=True)
    assert [p.name for p in pages] == ['sub-1_ses-a.html', 'sub-1_ses-b.html']
    assert [p.name for p in write_pages(selection, settings)] == ['sub-1_ses-a.html']


def test_results_that_are_no_longer_complete_are_told(settings, scans):
    finish(settings, scans[0].anat).anat('stats', '.json', desc='pvs').unlink()
    write_pages(Selection(scans=scans[:1], subjects=('1',)), settings)
    assert reports.INCOMPLETE in page(settings)


@pytest.mark.parametrize('content', [b'', b'[]', b'{', b'\xff', b'[' * 100_000, b'name\n', b'\r', b'a\0b'])
@pytest.mark.parametrize('file', [('stats', '.json'), ('stats', '.tsv'), ('dseg', '.tsv')])
def test_damaged_results_are_told(settings, scans, file, content):
    finish(settings, scans[0].anat).anat(*file, desc='pvs').write_bytes(content)
    write_pages(Selection(scans=scans[:1], subjects=('1',)), settings)
    assert reports.INCOMPLETE in page(settings)


@pytest.mark.parametrize('entry', [None, 5, 'x', [5], {'a': 5}, [{}], {'a': {'Value': 1}}, [{'Finding': 1}]])
def test_damaged_entries_of_a_sidecar_are_left_out(settings, scans, entry):
    path = finish(settings, scans[0].anat).anat('stats', '.json', desc='pvs')
    path.write_text(json.dumps({'InputFindings': entry, 'EstimatedVisualGrades': entry, 'Threshold': 0.25}))
    write_pages(Selection(scans=scans[:1], subjects=('1',)), settings)
    assert '<code>0.25</code>' in page(settings)


def test_refused_scans_stand_on_their_page(settings):
    put(settings.bids_dir, 'sub-1/ses-a/anat/sub-1_T1w.nii')
    write_pages(find_scans(settings.bids_dir, Query()), settings)
    assert 'rename it to sub-1_ses-a_T1w.nii' in page(settings)


def test_a_scan_that_another_job_finishes_meanwhile_is_shown(settings, scans, monkeypatch):
    finish(settings, scans[0].anat)
    render, calls = reports.render, []

    def render_slowly(*arguments, **options):
        if not calls:
            finish(settings, scans[1].anat)
        calls.append(arguments)
        return render(*arguments, **options)

    monkeypatch.setattr(reports, 'render', render_slowly)
    write_pages(Selection(scans=scans[:1], subjects=('1',)), settings)
    assert sections(page(settings)) == [scan.anat.name for scan in scans]
    assert len(calls) == 2


def test_a_file_name_with_markup_is_shown_as_text(settings):
    scan = Scan(settings.bids_dir / 'sub-1_T1w.nii', source=settings.bids_dir / '<script>.nii')
    write_failure(Naming.of(settings.out_dir, scan.anat), str(scan.source), '<b>bold</b>')
    write_pages(Selection(scans=(scan,), subjects=('1',)), settings)
    assert '&lt;b&gt;bold' in page(settings, 'sub-1')
    assert '<script>' not in page(settings, 'sub-1')
    assert '<b>bold' not in page(settings, 'sub-1')


def test_a_page_is_outdated_until_it_shows_the_newest_records(settings, scans):
    names = [finish(settings, scan.anat) for scan in scans]
    selection = Selection(scans=scans, subjects=('1',))
    assert find_outdated(names) == names  # there is no page
    write_pages(selection, settings)
    assert find_outdated(names) == []
    write_failure(names[1], RUNS[1], 'it could not')
    assert find_outdated(names[:1]) == names[:1]  # they share the page
    write_pages(selection, settings)
    for path in (names[0].report, names[0].status):
        os.utime(path, (0, 0))  # a clock was set
    assert find_outdated(names) == []
    names[0].status.write_text(json.dumps({'fingerprint': 'of other settings'}))
    os.utime(names[0].status, (0, 0))
    assert find_outdated(names) == names
    assert find_outdated([]) == []
