"""Training as its users start it, on tiny scans, killed and resumed, folded, by two processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from program import RUN, pvs

from pvs_bidsapp.bids.labelled_scans import find_all_labelled_scans, find_labelled_scans
from pvs_bidsapp.commands.train import split_scans
from pvs_bidsapp.commands.training_cache import load_training_image, load_training_images
from pvs_bidsapp.errors import ImageError, InputError
from pvs_bidsapp.runtime.signals import Stopped, StopRequest
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.model import load_model, write_model
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.training.recipes import JOLIOT, RECIPES
from pvs_bidsapp.training.splits import folds, hold_out

SHAPE = (64, 64, 64)
SCAN = np.diag([1.0, 1.0, 1.0, 1.0])


def save(path: Path, data: np.ndarray, affine: np.ndarray = SCAN) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


def make_person(root: Path, stem: str, seed: int, *, traced: bool = True) -> None:
    """A ball of white matter in a shell of cortex and CSF, with dark tubes."""
    rng = np.random.default_rng(seed)
    radius = np.sqrt(((np.indices(SHAPE) - 31.5) ** 2).sum(0))
    tissues = np.select([radius < 13, radius < 16, radius < 19], [3, 2, 1], 0).astype(np.uint8)
    target = np.zeros(SHAPE, np.uint8)
    for _ in range(8):
        x, y = rng.integers(25, 39, 2)
        target[x : x + 2, y : y + 2, 25:39] = 1
    contrast = {'T1w': (5, 30, 70, 100), 'T2w': (10, 400, 150, 100)}
    folder = root.joinpath(*[p for p in stem.split('_') if p[:3] in ('sub', 'ses')], 'anat')
    for suffix, values in contrast.items():
        image = np.array(values, np.float32)[tissues]
        image[target > 0] = values[1]
        image += rng.normal(0, 3, SHAPE)
        save(root / folder.relative_to(root) / f'{stem}_{suffix}.nii.gz', np.maximum(image, 0))
    labels = root / 'derivatives' / 'labels' / folder.relative_to(root)
    save(labels / f'{stem}_desc-brain_mask.nii.gz', (tissues > 0).astype(np.uint8))
    save(labels / f'{stem}_seg-tissue_dseg.nii.gz', tissues)
    if traced:
        save(labels / f'{stem}_label-PVS_mask.nii.gz', target)


@pytest.fixture(scope='module')
def bids(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('traced')
    (root / 'dataset_description.json').write_text('{"Name": "traced", "BIDSVersion": "1.10.0"}')
    for k in range(1, 4):
        make_person(root, f'sub-{k:02}', k)
    make_person(root, 'sub-05_ses-a', 5)
    make_person(root, 'sub-05_ses-b', 6)
    make_person(root, 'sub-06', 7, traced=False)
    return root


SMALL = ['--recipe', 'supervised-mono', '--batch-size', '2', '--epochs', '3', '--steps', '4', '--device', 'cpu',
         '--validation', '0.2']  # fmt: skip


@pytest.fixture(scope='module')
def cache(tmp_path_factory) -> list[object]:
    return ['--cache', tmp_path_factory.mktemp('cache')]


def pvs_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    return pvs('train', *arguments, timeout=600)


def losses(model: Path) -> dict[int, float]:
    with (model / 'checkpoints' / 'log.csv').open() as stream:
        return {int(row['step']): float(row['loss']) for row in csv.DictReader(stream)}


@pytest.fixture(scope='module')
def unbroken(bids, cache, tmp_path_factory) -> Path:
    model = tmp_path_factory.mktemp('models') / 'unbroken'
    done = pvs_train(bids, model, *SMALL, *cache)
    assert done.returncode == 0, done.stderr
    return model


def test_the_model_and_its_card(unbroken):
    made = load_model(unbroken)
    made.verify()
    assert made.card.channels == ('T1w', 'T2w')
    assert (made.card.spacing, made.card.patch_size, made.card.stride) == (0.8, 32, 16)
    assert 'traced scans' in made.card.trained_on
    assert made.card.training['steps'] > 0
    assert (unbroken / 'learning_curves.png').stat().st_size > 1000
    split = json.loads((unbroken / 'split.json').read_text())
    assert not set(split['training']) & set(split['validation'])


@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed_it_ends_as_unbroken(bids, cache, unbroken, tmp_path, how):
    arguments = map(str, [bids, tmp_path / 'm', *SMALL, *cache])
    process = subprocess.Popen([*RUN, 'train', *arguments], stderr=subprocess.DEVNULL, start_new_session=True)
    log = tmp_path / 'm' / 'checkpoints' / 'log.csv'
    deadline = time.monotonic() + 300
    while not (log.exists() and len(log.read_text().splitlines()) > 1) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, how)  # as a batch system does
    status = process.wait(timeout=300)
    assert status == (1 if how == signal.SIGTERM else -signal.SIGKILL)
    assert not (tmp_path / 'm' / 'model.json').exists()
    done = pvs_train(bids, tmp_path / 'm', *SMALL, *cache, '--resume')
    assert done.returncode == 0, done.stderr
    whole, resumed = losses(unbroken), losses(tmp_path / 'm')
    assert list(resumed) == list(whole)
    np.testing.assert_allclose(list(resumed.values()), list(whole.values()), rtol=1e-3)


def test_asked_to_stop_while_scans_are_prepared_it_does(bids, tmp_path):
    asked = StopRequest()
    asked.asked = True
    cases = find_labelled_scans(bids, bids / 'derivatives/labels', ('T1w', 'T2w'))
    options = {'spacing': 0.8, 'channels': ('T1w', 'T2w'), 'nprocs': 1}
    with pytest.raises(Stopped):
        load_training_images(cases, tmp_path, TissueNormalization(), **options, stop=asked)
    assert len(list(tmp_path.glob('*.npz'))) < len(cases)
    assert len(load_training_images(cases, tmp_path, TissueNormalization(), **options)) == len(cases)


def test_a_second_training_does_not_overwrite_the_first(bids, cache, unbroken):
    done = pvs_train(bids, unbroken, *SMALL, *cache)
    assert done.returncode == 2
    assert '--resume' in done.stderr
    assert 'Traceback' not in done.stderr


def test_two_processes_with_gloo(bids, cache, tmp_path):
    done = pvs_train(bids, tmp_path / 'm', *SMALL, *cache, '--devices', '2', '--epochs', '2')
    assert done.returncode == 0, done.stderr
    assert len(losses(tmp_path / 'm')) == 2
    assert not (tmp_path / 'm' / '.meeting').exists()
    load_model(tmp_path / 'm').verify()


def test_joliot_with_pretraining(bids, cache, tmp_path):
    options = ['--batch-size', '2', '--epochs', '1', '--steps', '2', '--device', 'cpu', '--validation', '0.2']
    done = pvs_train(bids, tmp_path / 'm', *options, *cache)
    assert done.returncode == 0, done.stderr
    assert 'pre-training as an autoencoder' in done.stderr
    assert 'few scans to validate on' in done.stderr
    assert (tmp_path / 'm' / 'pretraining' / 'encoder.pt').exists()
    assert load_model(tmp_path / 'm').card.training['pretrained']
    tuned = pvs_train(bids, tmp_path / 'n', *options, *cache, '--init', tmp_path / 'm')
    assert tuned.returncode == 0, tuned.stderr
    assert not (tmp_path / 'n' / 'pretraining').exists()


def test_folds_of_the_semi_supervised_recipe(bids, cache, tmp_path):
    options = ['--recipe', 'm2ss', '--batch-size', '2', '--epochs', '2', '--steps', '2', '--device', 'cpu']
    done = pvs_train(bids, tmp_path / 'm', *options, '--folds', '2', '--training-size', '2', *cache)
    assert done.returncode == 0, done.stderr
    table = np.genfromtxt(
        tmp_path / 'm' / 'crossval.tsv', names=True, dtype=None, delimiter='\t', encoding='utf-8'
    )
    assert set(table['fold']) == {1, 2}
    summary = json.loads((tmp_path / 'm' / 'crossval.json').read_text())
    assert summary['dice']['ci_low'] <= summary['dice']['mean'] <= summary['dice']['ci_high']
    assert (tmp_path / 'm' / 'crossval_sweep.png').exists()
    assert load_model(tmp_path / 'm').card.architecture['members'] == 2
    load_model(tmp_path / 'm').network()


def test_two_sessions_of_a_person_stay_together(bids):
    cases = find_labelled_scans(bids, bids / 'derivatives' / 'labels')
    assert len(cases) == 6
    for split in folds([c.person for c in cases if c.target], 3, seed=1):
        share = split_scans(cases, split, None)
        inside = {c.person for c in (*share.labelled, *share.unlabelled)}
        assert not inside & {*split.validation, *split.test}
        assert 'sub-06' in {c.person for c in share.unlabelled}
        both = [c.name for c in cases if c.person == 'sub-05']
        places = [[c.name in {x.name for x in part} for c in cases if c.name in both] for part in
                  (share.labelled, share.validation)]  # fmt: skip
        assert all(len(set(p)) == 1 for p in places)


def test_persons_of_two_data_sets_are_not_mixed_up(tmp_path):
    sets = []
    for name in ('here', 'there'):
        make_person(tmp_path / name, 'sub-01', 1)
        sets.append((tmp_path / name, tmp_path / name / 'derivatives' / 'labels'))
    cases = find_all_labelled_scans(sets, ('T1w',))
    assert [c.person for c in cases] == ['here/sub-01', 'there/sub-01']
    split = hold_out([c.person for c in cases], 0.5, seed=1)
    share = split_scans(cases, split, None)
    assert [c.t1w.parts[-4] for c in share.labelled] == [split.training[0].split('/')[0]]
    (tmp_path / 'cache').mkdir()
    assert (
        len(
            {
                load_training_image(c, tmp_path / 'cache', TissueNormalization(), 1.0, ('T1w',)).name
                for c in cases
            }
        )
        == 1
    )
    assert len(list((tmp_path / 'cache').glob('sub-01_tracing_*'))) == 2
    with pytest.raises(InputError, match='rename the folder'):
        find_all_labelled_scans([sets[0], sets[0]], ('T1w',))


def test_tracings_that_were_not_asked_for_count_as_untraced(bids):
    cases = find_labelled_scans(bids, bids / 'derivatives' / 'labels')
    split = hold_out([c.person for c in cases if c.target], 0.25, seed=1)
    share = split_scans(cases, split, 1)
    assert len({c.person for c in share.labelled}) == 1
    assert all(c.target is None for c in share.unlabelled)
    assert len(share.unlabelled) > 1


def volume(bids: Path, tmp_path: Path, name: str = 'sub-01'):
    case = next(c for c in find_labelled_scans(bids, bids / 'derivatives' / 'labels') if c.name == name)
    return load_training_image(case, tmp_path, TissueNormalization(), 1.0, ('T1w',))


def test_a_tracing_on_another_grid_is_resampled_aloud(tmp_path, caplog):
    make_person(tmp_path / 'd', 'sub-01', 1)
    tracing = tmp_path / 'd/derivatives/labels/sub-01/anat/sub-01_label-PVS_mask.nii.gz'
    before = volume(tmp_path / 'd', tmp_path)
    data = np.asarray(nib.load(tracing).dataobj)
    shifted = SCAN.copy()
    shifted[0, 3] = -10
    save(tracing, np.pad(data, [(10, 0), (0, 0), (0, 0)]), shifted)
    after = volume(tmp_path / 'd', tmp_path)
    assert 'resampled' in caplog.text
    np.testing.assert_array_equal(before.target, after.target)
    shifted[0, 3] = 500
    save(tracing, data, shifted)
    with pytest.raises(ImageError, match='is it the tracing of this scan'):
        volume(tmp_path / 'd', tmp_path)


def test_a_scan_is_prepared_once_with_and_without_its_tracing(bids, tmp_path):
    case = next(c for c in find_labelled_scans(bids, bids / 'derivatives' / 'labels') if c.name == 'sub-01')
    untraced = load_training_image(replace(case, target=None), tmp_path, TissueNormalization(), 1.0, ('T1w',))
    stored = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert len(stored) == 1
    traced = load_training_image(case, tmp_path, TissueNormalization(), 1.0, ('T1w',))
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in stored} == stored
    np.testing.assert_array_equal(traced.image, untraced.image)
    assert traced.target.any()
    assert not untraced.target.any()


def test_an_empty_tracing_is_said_and_used(tmp_path, caplog):
    for k in (1, 2, 3):
        make_person(tmp_path / 'd', f'sub-0{k}', k)
    save(
        tmp_path / 'd/derivatives/labels/sub-02/anat/sub-02_label-PVS_mask.nii.gz', np.zeros(SHAPE, np.uint8)
    )
    done = pvs_train(tmp_path / 'd', tmp_path / 'm', *SMALL, '--epochs', '1')
    assert done.returncode == 0, done.stderr
    assert 'sub-02_label-PVS_mask.nii.gz: the tracing is empty' in done.stderr


def test_other_entities_of_a_tracing_and_orphans(tmp_path):
    make_person(tmp_path / 'd', 'sub-01_acq-fine_run-1', 1)
    folder = tmp_path / 'd/derivatives/labels/sub-01/anat'
    own = folder / 'sub-01_acq-fine_run-1_label-PVS_mask.nii.gz'
    own.rename(folder / 'sub-01_acq-fine_run-1_space-T1w_label-PVS_desc-expert_mask.nii.gz')
    with pytest.raises(InputError, match='no sub-'):
        find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')
    own = folder / 'sub-01_acq-fine_run-1_desc-expert_label-PVS_mask.nii.gz'
    next(folder.glob('*desc-expert_mask*')).rename(own)
    assert find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')[0].target == own
    own.rename(folder / 'sub-01_acq-other_label-PVS_mask.nii.gz')
    with pytest.raises(InputError, match='no T1w with the same entities'):
        find_labelled_scans(tmp_path / 'd', tmp_path / 'd/derivatives/labels')


def test_bad_options_are_told_in_one_line(bids, tmp_path):
    for options, words in (
        (['--patch-size', '32'], 'at least 64'),
        (['--batch-size', '1'], 'two samples'),
        (['--folds', '1'], '--folds'),
        (['--labels', str(tmp_path / 'none')], '--labels'),
        (['--recipe', 'm2ss', '--patch-size', '0'], 'patches'),
    ):
        done = pvs_train(bids, tmp_path / 'm', '--device', 'cpu', *options)
        assert done.returncode == 2, options
        assert words in done.stderr
        assert 'Traceback' not in done.stderr


def test_recipes_of_the_command_line_are_those_there_are():
    from pvs_bidsapp.cli.train import RECIPES as NAMES

    assert set(NAMES) == set(RECIPES)


def test_a_model_is_trained_further_on_patches_as_before():
    from pvs_bidsapp.cli.train import choose_recipe, parser

    fresh, further = ['data', 'model'], ['data', 'model', '--init', 'joliot2021-t1']
    recipes = [choose_recipe(parser().parse_args(a), 'cuda:0') for a in (fresh, further)]
    bundled = load_model('joliot2021-t1').card
    assert [r.patch_size for r in recipes] == [None, bundled.patch_size]
    assert [r.spacing for r in recipes] == [1.0, bundled.spacing]
    assert bundled.patch_size
    own = choose_recipe(parser().parse_args([*further, '--spacing', '1.2', '0.6']), 'cuda:0')
    assert own.spacing == (0.6, 1.2)


@pytest.mark.parametrize(('name', 'of_model', 'asked'), [('filters', 2, 2), ('dropout', 0.25, 0)])
def test_the_network_is_as_asked_for_or_as_that_of_the_model_that_is_trained_further(
    tmp_path, name, of_model, asked
):
    from pvs_bidsapp.cli.train import choose_recipe, parser

    def chosen(*options: str) -> float:
        recipe = choose_recipe(parser().parse_args(['data', 'model', *options]), 'cpu')
        return recipe.architecture[name]

    card = replace(
        load_model('joliot2021-t1').card, architecture=JOLIOT.architecture | {'filters': 2, name: of_model}
    )
    write_model(tmp_path / 'other', build(card.architecture), card)
    further = ('--init', str(tmp_path / 'other'))
    assert chosen() == JOLIOT.architecture[name]
    assert chosen(*further) == of_model
    assert chosen(*further, f'--{name}', str(asked)) == chosen(f'--{name}', str(asked)) == asked
    with pytest.raises(InputError, match='filters 2 instead of 4'):
        chosen(*further, '--filters', '4')


def test_dropout_is_refused_where_a_network_has_none_or_nothing_would_be_left(bids, tmp_path):
    for options, said in [(['--recipe', 'm2ss', '--dropout', '0.1'], 'm2ss has none'),
                          (['--dropout', '1'], 'below 1')]:  # fmt: skip
        done = pvs_train(bids, tmp_path / 'model', *options)
        assert done.returncode == 2
        assert said in done.stderr
    assert not (tmp_path / 'model').exists()
