"""People on several scanners: which scanners, and what is fitted and written to a card."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.group.standard import COLUMNS
from pvs_bidsapp.segmentation.card import read_card
from pvs_bidsapp.segmentation.model import BUNDLED
from pvs_bidsapp.simulation.scanner import SUITES
from pvs_bidsapp.simulation.subjects import plan


@pytest.fixture(scope='module')
def scanners(script):
    with script('three_scanners') as module:
        yield module


def test_everybody_is_scanned_on_the_same_three_scanners(scanners):
    first, second = (dict(scanners.three_scanners(SUITES['mixed'], [50, 25])) for _ in range(2))
    assert list(first) == ['08x50', '08x25', '10x50', '10x25', '12x50', '12x25']
    assert first == second
    assert {s.snr for s in first.values()} == {50, 25}


def test_random_scanners_are_those_of_one_person(scanners):
    one, two = plan(2, [], 3)
    drawn = [dict(scanners.random_scanners(who, SUITES['mixed'], 3)) for who in (one, one, two)]
    assert drawn[0] == drawn[1]
    assert list(drawn[0]) == ['01', '02', '03']
    voxels = [s.spacing for each in drawn[1:] for s in each.values()]
    assert len(set(voxels)) == 6
    assert min(voxels) >= 0.8


def test_the_law_is_written_to_the_card_alone(scanners, tmp_path, monkeypatch, rng, capsys):
    noise, voxel = rng.uniform(0.03, 0.1, 12), rng.uniform(0.4, 1.8, 12)
    people = np.repeat(['sub-1', 'sub-2', 'sub-3'], 4)
    burden = 1e6 * noise**-0.9 * voxel**-0.5
    scans = pd.DataFrame(
        {'participant_id': people, 'qc_noise_to_csf': noise, 'qc_voxel_mm3': voxel}
        | dict.fromkeys(COLUMNS, burden)
    )
    monkeypatch.setattr(scanners, 'read_cohort', lambda bids, out, sizes: SimpleNamespace(scans=scans))
    folder = shutil.copytree(BUNDLED / 'm2ss-t1t2', tmp_path / 'model')
    before = read_card(folder / 'model.json')
    scanners.fit([tmp_path, tmp_path], folder)
    after = read_card(folder / 'model.json')
    assert after.standard['count_5mm3'] == pytest.approx({'noise': -0.9, 'voxel': -0.5}, abs=1e-4)
    assert (after.sha256, after.burden) == (before.sha256, before.burden)
    assert '24 scans of 6 people' in capsys.readouterr().out


def test_the_largest_difference_is_of_means(scanners):
    assert scanners.largest_difference(np.array([[1.0, 2, 4], [3, 2, 4]])) == pytest.approx(2 / 3)


def test_what_is_found_and_marked_is_told_by_scanner(scanners, tmp_path, capsys):
    table = pd.DataFrame({
        'scan': [f'sub-{scan}x50' for scan in ('1_ses-08', '1_ses-12', '2_ses-08', '2_ses-12', '2_ses-12')],
        'region': ['all', 'all', 'all', 'all', 'white-matter'],
        'min_size_mm3': 0.0,
        'dice': [0.8, 0.5, 0.6, 0.3, 0.0],
        'recall': [1.0, 0.5, 0.5, 0.5, 0.0],
        'reference_volume_mm3': [100.0, 100.0, 200.0, 200.0, 1.0],
        'predicted_volume_mm3': [150.0, 50.0, 100.0, 300.0, 9.0],
    })  # fmt: skip
    table.to_csv(tmp_path / 'evaluation.tsv', sep='\t', index=False)
    scanners.print_judgement(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == '| 08x50 | 2 | 150 | 1.00 | 0.75 | 0.25 | 0.700 |'
    assert lines[3] == '| 12x50 | 2 | 150 | 1.00 | 0.50 | 0.50 | 0.400 |'
