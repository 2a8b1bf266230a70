"""Hostile input from end to end: labels and names that climb out, links, markup, escapes, huge files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from fuzz.page import check_group_page, check_page
from layouts import put, put_images
from program import pvs, pvs_here, pvs_measured

from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort

#: Names that mean something to a page, a terminal, a shell or a reader's eyes.
MARKUP = (
    '<script>alert(1)<', 'a\nb', '\x1b[31mred', '\u202egz', '"onload=x', '$(touch x)', '..\\x',
)  # fmt: skip


def listing(folder: Path) -> dict[str, int]:
    """All entries below a folder, links as such, with their times."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob('*')}


def check_lines(done: subprocess.CompletedProcess[str]) -> None:
    """Check that a terminal shows what was printed as it is, and that there was no traceback."""
    for line in (done.stdout + done.stderr).split('\n'):
        assert line.replace('\t', ' ').isprintable(), repr(line)
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('option', ['--participant-label', '--session-label'])
def test_labels_that_climb_out(tmp_path, option):
    put_images(tmp_path / 'bids', 'sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz')
    labels = ('../../etc', '/etc', '..', '*', '\x1b[2J', '<script>', 'x' * 5000)
    before = listing(tmp_path)
    done = pvs_here(tmp_path / 'bids', tmp_path / 'out', 'participant', '--modality', 'T1w', option, *labels)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()[-1]) < 2000
    check_lines(done)
    assert listing(tmp_path) == before


@pytest.fixture
def hostile(tmp_path):
    """A dataset of two people whose scans are damaged, among names and links of all kinds."""
    root = tmp_path / 'bids'
    put(root, 'sub-01/anat/sub-01_T1w.nii.gz', content=b'\x1f\x8b no gzip')
    put(root, *(f'sub-01/anat/sub-01_acq-{name}_T1w.nii.gz' for name in MARKUP))
    put(root, *(f'sub-{name}/anat/x_T1w.nii' for name in MARKUP), *MARKUP)
    put(
        root,
        'layout_config.json',
        content=b'{"name": "x", "entities": [{"name": "suffix", "pattern": "(a+)+$"}]}',
    )
    (root / 'sub-03').symlink_to('sub-03')
    (root / 'sub-04').symlink_to('/')
    (root / 'sub-02' / 'anat').mkdir(parents=True)
    (root / 'sub-02' / 'anat' / 'anat').symlink_to('..')
    for label, target in (
        ('1', '/etc/passwd'),
        ('2', '/dev/zero'),
        ('3', 'sub-02_run-3_T1w.nii'),
        ('4', '..'),
    ):
        (root / 'sub-02' / 'anat' / f'sub-02_run-{label}_T1w.nii').symlink_to(target)
    os.mkfifo(root / 'sub-02' / 'anat' / 'sub-02_run-5_T1w.nii')
    (root / 'sub-01' / 'ses-1').symlink_to('../..')
    return root


def test_names_and_links(hostile, tmp_path):
    before, out = listing(hostile), tmp_path / 'out <b>'
    done = pvs(hostile, out, 'participant', '--modality', 'T1w', '--nprocs', '1', timeout=300)
    assert done.returncode == 1
    check_lines(done)
    assert listing(hostile) == before
    assert {p.name for p in tmp_path.iterdir()} == {'bids', out.name}
    names = {p.name for p in out.iterdir()}
    assert {'sub-01.html', 'sub-02.html', 'sub-03.html'} <= names
    assert all(name.isprintable() and '<' not in name for name in names)
    for page in out.glob('*.html'):
        text = check_page(page)
    assert 'Perivascular spaces: sub-' in text


def test_scans_without_bids(tmp_path):
    put(tmp_path / 'scans', *(f'{name}.nii.gz' for name in MARKUP), content=b'no image')
    done = pvs('predict', tmp_path / 'scans', tmp_path / 'out', '--nprocs', '1')
    assert done.returncode == 1
    check_lines(done)
    assert {p.name for p in tmp_path.iterdir()} == {'scans', 'out'}
    for page in (tmp_path / 'out').glob('*.html'):
        check_page(page)


def test_a_table_of_participants_full_of_formulas(tmp_path):
    write_cohort(tmp_path, 6, Effects(), seed=1)
    path = tmp_path / 'bids' / 'participants.tsv'
    header, *rows = path.read_text().splitlines()
    values = [
        '=cmd()',
        '@SUM(1)',
        '<img src=x onerror=alert(1)>',
        '</script><script>alert(1)',
        '"x',
        '=cmd()',
    ]
    rows = [f'{row}\t{value}' for row, value in zip(rows, values, strict=True)]
    path.write_text('\n'.join([f'{header}\t<b>note</b>', *rows]) + '\n')
    done = pvs_here(
        tmp_path / 'bids', tmp_path / 'out', 'group', '--cohort', '<b>note</b>', '--covariates', 'age'
    )
    assert done.returncode == 0, done.stderr
    check_lines(done)
    check_group_page(tmp_path / 'out' / 'group.html')
    # a table repeats the columns of the dataset as they are; a spreadsheet would take them for formulas
    assert '=cmd()' in (tmp_path / 'out' / 'group_scans.tsv').read_text()
    assert all(p.name.replace('-', '').replace('_', '').isascii() for p in (tmp_path / 'out').iterdir())


def test_huge_files_beside_the_scans(tmp_path):
    """Sidecars of 100 MB are not read, and tables of this size are refused; memory stays bounded."""
    write_cohort(tmp_path, 3, Effects(), seed=1)
    bids = put_images(tmp_path / 'bids', 'sub-00000/anat/sub-00000_T1w.nii.gz')
    numbers = b'{"a": [' + b'1,' * 50_000_000 + b'1]}'
    put(bids, 'sub-00000/anat/sub-00000_T1w.json', 'participants.json', content=numbers)
    done, peak = pvs_measured(bids, tmp_path / 'new', 'participant', '--dry-run', '--modality', 'T1w')
    assert peak < 2
    assert done.returncode == 0, done.stderr
    done, peak = pvs_measured(bids, tmp_path / 'out', 'group')
    assert done.returncode == 0, done.stderr
    assert peak < 2
    assert 'participants.json: is not used (more than 5 MB)' in done.stderr
    put(bids, 'participants.tsv', content=b'participant_id\tage\n' + b'sub-00000\t1\n' * 9_000_000)
    done, peak = pvs_measured(bids, tmp_path / 'out', 'group')
    assert done.returncode == 2
    assert 'participants.tsv: has 108 MB, more than 20 MB' in done.stderr
    assert peak < 2
