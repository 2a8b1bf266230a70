"""``pvs predict`` from the arguments to the exit status; no step of the workflow is run."""

from __future__ import annotations

import pytest
from layouts import put, put_images, put_results

from pvs_bidsapp.cli.main import main
from pvs_bidsapp.workflows import engine


@pytest.fixture
def worked_on(monkeypatch):
    """Finish every scan at once; returns where the links led that the steps would have read."""
    given = []

    def run_scans(scans, settings, failures, *, total, on_end):
        for scan in scans:
            assert scan.anat.is_relative_to(settings.bids_dir)
            given.append([path and path.resolve() for path in (scan.anat, scan.t2w)])
            put_results(scan, settings)
            on_end(scan)

    monkeypatch.setattr(engine, 'run_scans', run_scans)
    return given


def predict(*arguments):
    return main(['predict', *map(str, arguments), '--device', 'cpu'])


def test_the_same_call_again_keeps_its_results(tmp_path, worked_on, capsys):
    put_images(tmp_path, 'in/T1.nii')
    assert predict(tmp_path / 'in', tmp_path / 'out') == 0
    assert predict(tmp_path / 'in' / 'T1.nii', tmp_path / 'out') == 0
    assert worked_on == [[tmp_path / 'in' / 'T1.nii', None]]
    assert 'T1.nii: done before with the same settings, kept' in capsys.readouterr().out
    assert not (tmp_path / 'out' / 'work').exists()


def test_another_file_of_the_same_name_is_refused_before_any_work(tmp_path, worked_on, capsys):
    put_images(tmp_path, 'a/T1.nii', 'b/T1.nii')
    assert predict(tmp_path / 'a' / 'T1.nii', tmp_path / 'out') == 0
    before = (tmp_path / 'out' / 'logs' / 'sub-T1_status.json').read_bytes()
    assert predict(tmp_path / 'b' / 'T1.nii', tmp_path / 'out') == 2
    error = capsys.readouterr().err
    assert str(tmp_path / 'a' / 'T1.nii') in error
    assert 'b/T1.nii' in error or str(tmp_path / 'b') in error
    assert len(worked_on) == 1
    assert (tmp_path / 'out' / 'logs' / 'sub-T1_status.json').read_bytes() == before


def test_neither_a_t2w_nor_scans_of_an_earlier_call_are_used(tmp_path, worked_on):
    put_images(tmp_path, 'a/T1.nii', 'a/T2.nii', 'b/T1.nii')
    work = ('-w', tmp_path / 'work')
    assert predict(tmp_path / 'a' / 'T1.nii', tmp_path / 'o1', '--t2w', tmp_path / 'a' / 'T2.nii', *work) == 0
    assert predict(tmp_path / 'b', tmp_path / 'o2', *work) == 0
    assert worked_on == [
        [tmp_path / 'a' / 'T1.nii', tmp_path / 'a' / 'T2.nii'],
        [tmp_path / 'b' / 'T1.nii', None],
    ]


def test_one_bad_file_stops_nobody(tmp_path, worked_on, capsys):
    put_images(tmp_path, 'in/good.nii', 'in/a-b.nii', 'in/ab.nii', 'in/._good.nii')
    put(tmp_path, 'in/empty.nii', content=b'')
    (tmp_path / 'in' / 'gone.nii').symlink_to('/nowhere')
    assert predict(tmp_path / 'in', tmp_path / 'out') == 1
    assert [path.name for path, _ in worked_on] == ['good.nii']
    lines = capsys.readouterr().err.splitlines()
    for name in ('a-b.nii', 'ab.nii', 'empty.nii', 'gone.nii'):
        assert any(line.startswith(f'pvs: error: {name}: ') for line in lines)
    failures = sorted(p.name for p in (tmp_path / 'out' / 'logs').glob('*_failure.json'))
    assert failures == ['sub-empty_failure.json', 'sub-gone_failure.json']
    put_images(tmp_path, 'in/empty.nii')
    assert predict(tmp_path / 'in' / 'empty.nii', tmp_path / 'out') == 0
    assert not (tmp_path / 'out' / 'logs' / 'sub-empty_failure.json').exists()


def test_outputs_within_the_folder_of_inputs_are_not_taken_for_inputs(tmp_path, worked_on):
    put_images(tmp_path, 'T1.nii')
    assert predict(tmp_path, tmp_path / 'out') == 0
    put(tmp_path, 'out/sub-T1/anat/sub-T1_desc-preproc_T1w.nii.gz')
    assert predict(tmp_path, tmp_path / 'out') == 0
    assert len(worked_on) == 1


def test_a_dry_run_writes_nothing_and_tells_all(tmp_path, capsys):
    put_images(tmp_path, 'in/T1.nii')
    put(tmp_path, 'in/empty.nii', content=b'')
    assert predict(tmp_path / 'in', tmp_path / 'out', '--dry-run') == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f'T1w {tmp_path}/in/T1.nii\tno T2w\tto do'.replace(f'{tmp_path}/in/', '')
    ]
    assert 'pvs: error: empty.nii: an empty file' in said.err
    assert not (tmp_path / 'out').exists()


def test_a_model_of_two_channels_is_told_without_a_t2w(tmp_path, worked_on, capsys):
    put_images(tmp_path, 'T1.nii')
    assert predict(tmp_path / 'T1.nii', tmp_path / 'out', '--model', 'm2ss-t1t2') == 2
    assert 'no T2w of the same session' in capsys.readouterr().err
    assert worked_on == []


def test_the_boilerplate_needs_no_work(tmp_path, worked_on, capsys):
    put_images(tmp_path, 'T1.nii')
    assert predict(tmp_path / 'T1.nii', tmp_path / 'out', '--boilerplate-only') == 0
    assert 'joliot2021-t1' in capsys.readouterr().out
    assert not (tmp_path / 'out').exists()


def test_a_hostile_file_name_reaches_neither_terminal_nor_page(tmp_path, worked_on, capsys):
    put_images(tmp_path, 'in/<script>alert(1)<b>\n\x1b[31m\u202e.nii')
    put(tmp_path, 'in/\x1b]0;x\x07<script>bad.nii', content=b'')
    assert predict(tmp_path / 'in', tmp_path / 'out', '--dry-run') == 1
    assert predict(tmp_path / 'in', tmp_path / 'out') == 1
    said = capsys.readouterr()
    assert not {'\x1b', '\x07', '\u202e'} & set(said.out + said.err)
    pages = [page.read_text() for page in (tmp_path / 'out').glob('*.html')]
    assert any('&lt;script&gt;' in page for page in pages)
    assert not any('<script>' in page for page in pages)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in', 'out']


def test_a_reason_names_the_file_and_not_the_link_to_it(tmp_path, monkeypatch, capsys):
    put_images(tmp_path, 'a/T1.nii')
    monkeypatch.setattr(engine, 'run_scans', lambda scans, *_, **__: list(scans))
    monkeypatch.setattr(engine.Failures, 'reason', lambda _, scan: f'{scan.anat}: it could not')
    assert predict(tmp_path / 'a' / 'T1.nii', tmp_path / 'out') == 1
    error = capsys.readouterr().err
    assert f'{tmp_path / "a" / "T1.nii"}: it could not' in error
    assert '.pvs-tmp' not in error
