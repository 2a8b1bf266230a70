"""Experts' data as they are downloaded: one command evaluates, one trains (docs/how-to/expert-data.md)."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from expert_layouts import make_ds005595, make_valdo, put_valdo, save_beside, unfetch
from tracings import plain, tubes, write

from pvs_bidsapp.bids.query import Query, find_scans
from pvs_bidsapp.cli.app import parser as app_parser
from pvs_bidsapp.cli.evaluate import parser as evaluate_parser
from pvs_bidsapp.cli.main import main
from pvs_bidsapp.cli.train import parser as train_parser
from pvs_bidsapp.segmentation.model import load_model

PAGE = Path(__file__).resolve().parents[2] / 'docs/how-to/expert-data.md'
MASK = tubes()
#: A network of a few parameters, on few patches.
SMALL = [
    '--recipe', 'joliot2021', '--no-pretraining', '--patch-size', '64', '--filters', '1', '--batch-size', '2',
    '--epochs', '1', '--steps', '1', '--device', 'cpu', '--validation', '0',
]  # fmt: skip


def predict(root: Path, *subjects: str) -> Path:
    """Outputs of the program that mark the tubes in each scan; returns their folder."""
    for subject in subjects:
        write(plain(MASK), root / subject / 'anat' / f'{subject}_label-PVS_mask.nii.gz')
    return root


def trace(root: Path, *subjects: str) -> Path:
    """Masks of ds005595 that mark the tubes, too; returns the dataset."""
    for subject in subjects:
        write(plain(MASK), root / 'derivatives/mask' / subject / f'{subject}_desc-mask_PVS.nii.gz')
    return root


def evaluate(predicted: Path, reference: Path, out: Path, *options: str) -> tuple[int, pd.DataFrame]:
    """Exit status of the command, and the scores of its main table by scan."""
    status = main(['evaluate', *map(str, (predicted, reference, out)), '--size-filters', '0', *options])
    return status, pd.read_csv(out / 'evaluation.tsv', sep='\t').set_index('scan')


def test_evaluate_on_ds005595_names_what_is_missing_and_compares_the_others(tmp_path, capsys, caplog):
    people = [f'sub-00{k}' for k in range(1, 5)]
    reference = trace(tmp_path / 'ds005595', *people[:3])
    (reference / 'derivatives/mask/sub-004').mkdir()
    annexed = unfetch(reference / 'derivatives/mask/sub-002/sub-002_desc-mask_PVS.nii.gz')
    status, scores = evaluate(predict(tmp_path / 'out', *people), reference, tmp_path / 'scores')
    assert status == 1
    assert scores['dice'].to_dict() == {'sub-001': 1, 'sub-003': 1}
    assert f'datalad get {annexed}' in caplog.text
    rows = pd.read_csv(tmp_path / 'scores/evaluation_unmatched.tsv', sep='\t').set_index('scan')
    assert rows['dataset'].to_dict() == {'sub-002': 'reference', 'sub-004': 'prediction'}
    assert 'git-annex' in rows.loc['sub-002', 'reason']
    assert 'sub-004_label-PVS_mask.nii.gz: a prediction without a reference' in caplog.text
    assert '2 scans compared' in capsys.readouterr().out
    write(plain(MASK), annexed.parent / 'fetched.nii.gz').rename(annexed)
    assert evaluate(tmp_path / 'out', reference, tmp_path / 'scores')[0] == 0


def test_evaluate_on_ds005595_of_which_nothing_was_fetched(tmp_path, capsys):
    reference = trace(tmp_path / 'ds005595', 'sub-001')
    unfetch(reference / 'derivatives/mask/sub-001/sub-001_desc-mask_PVS.nii.gz')
    predicted = predict(tmp_path / 'out', 'sub-001')
    assert main(['evaluate', str(predicted), str(reference), str(tmp_path / 'scores')]) == 1
    assert 'none of the 1 pairs of masks can be used' in capsys.readouterr().err


def test_evaluate_on_valdo_leaves_out_what_was_not_traced(tmp_path, caplog):
    """The rater has traced the first half of the tubes, in half of the scan."""
    predicted = predict(tmp_path / 'out', 'sub-201')
    half = np.indices(MASK.shape)[0] < MASK.shape[0] // 2
    stem = tmp_path / 'Task1/sub-201/sub-201_space-T1_desc-'
    write(plain(MASK & half), Path(f'{stem}Rater1_PVSSeg.nii.gz'))
    write(plain(np.zeros_like(MASK)), Path(f'{stem}Rater2_PVSSeg.nii.gz'))
    whole = evaluate(predicted, tmp_path / 'Task1', tmp_path / 'scores')[1]['precision']['sub-201']
    assert whole == pytest.approx((MASK & half).sum() / MASK.sum(), abs=1e-4)
    save_beside(plain(MASK), f'{stem}masked_Regions.nii.gz', 7 * half)
    status, scores = evaluate(predicted, tmp_path / 'Task1', tmp_path / 'scores')
    assert (status, scores['dice']['sub-201']) == (0, 1)
    assert 'as sub-201_space-T1_desc-masked_Regions.nii.gz says' in caplog.text
    second = evaluate(predicted, tmp_path / 'Task1', tmp_path / 'scores', '--rater', 'Rater2')[1]
    assert second['reference_volume_mm3']['sub-201'] == 0


def test_train_on_ds005595_and_what_it_says_of_a_mask_that_is_not_here(tmp_path, caplog, capsys):
    data = make_ds005595(tmp_path / 'ds005595', 'sub-001', 'sub-002')
    assert main(['train', str(data), str(tmp_path / 'model'), *SMALL, '--modality', 'T2w']) == 0
    assert load_model(tmp_path / 'model').card.channels == ('T2w',)
    assert json.loads((tmp_path / 'model/split.json').read_text())['training'] == ['sub-001', 'sub-002']
    annexed = unfetch(data / 'derivatives/mask/sub-002/sub-002_desc-mask_PVS.nii.gz')
    assert main(['train', str(data), str(tmp_path / 'other'), *SMALL, '--modality', 'T2w']) == 2
    assert '1 of 2 labelled scans cannot be used' in capsys.readouterr().err
    assert f'datalad get {annexed}' in caplog.text


def test_train_on_ds005595_as_if_it_had_a_t1w_names_the_option_for_t2w(tmp_path, capsys):
    data = make_ds005595(tmp_path / 'ds005595', 'sub-001')
    assert main(['train', str(data), str(tmp_path / 'model'), *SMALL]) == 2
    assert 'no T1w found, but T2w scans; for T2w scans alone: --modality T2w' in capsys.readouterr().err
    assert not (tmp_path / 'model/model.json').exists()


def test_train_on_valdo_takes_the_rater_that_is_chosen(tmp_path, capsys, monkeypatch):
    """What is trained on; the training itself is that of other datasets."""
    trained: list[list[str]] = []
    monkeypatch.setattr(
        'pvs_bidsapp.commands.train.train_split',
        lambda _, scans, *__: trained.append([scan.label.name for scan in scans]) or tmp_path,
    )
    data = make_valdo(tmp_path / 'Task1', 'sub-101', 'sub-102')
    assert main(['train', str(data), str(tmp_path / 'model'), *SMALL]) == 0
    assert trained == [[f'sub-10{k}_space-T1_desc-Rater1_PVSSeg.nii.gz' for k in (1, 2)]]
    assert main(['train', str(data), str(tmp_path / 'other'), *SMALL, '--rater', 'Rater2']) == 2
    assert 'no label of the dataset marks a single voxel' in capsys.readouterr().err


def commands_of_the_page() -> list[str]:
    """The blocks of commands on the page of the documentation, without their indentation."""
    blocks = re.findall(
        r'^ *```bash\n(.*?)^ *```', PAGE.read_text(encoding='utf-8'), re.MULTILINE | re.DOTALL
    )
    return [textwrap.dedent(block) for block in blocks]


def test_the_program_knows_every_command_of_the_page():
    parsers = {'evaluate': evaluate_parser, 'train': train_parser}
    lines = [line for block in commands_of_the_page() for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith('pvs ')]
    assert len(commands) == 8
    for command in commands:
        if command[0] in parsers:
            parsers[command[0]]().parse_args(command[1:])
        else:
            assert app_parser().parse_args(command).level == 'participant'


def test_the_links_of_the_page_make_a_bids_dataset_of_valdo(tmp_path):
    put_valdo(tmp_path / 'Task1', 'sub-101', 'sub-201')
    (block,) = (block for block in commands_of_the_page() if 'ln -s' in block)
    loop = block[: block.index('pvs ')]
    subprocess.run(['bash', '-euc', loop], cwd=tmp_path, check=True)
    scans = find_scans(tmp_path / 'valdo', Query()).scans
    assert [scan.t2w.resolve().name for scan in scans] == [
        f'sub-{k}01_space-T1_desc-masked_T2.nii.gz' for k in (1, 2)
    ]
