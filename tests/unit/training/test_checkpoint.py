"""Checkpoints keep the layout of the first version, whatever the names in the code are."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refused

from pvs_bidsapp.messages import training
from pvs_bidsapp.training.checkpoint import check_resumable, plan_entries, read_checkpoint
from pvs_bidsapp.training.datasets import Batch
from pvs_bidsapp.training.recipes import M2SS
from pvs_bidsapp.training.trainer import Trainer

CPU = torch.device('cpu')
#: As written by version 0.1.0 of the program.
PLAN = {
    'architecture': {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 4, 'dropout': 0.1},
    'epochs': 4, 'steps_per_epoch': 12, 'micro_batch': 1_000_000, 'learning_rate': 0.003, 'seed': 1,
    'time_limit': None, 'patience': 0, 'precision': 'fp32', 'checkpoint_minutes': 10.0,
    'extra': {
        'loss': 'dice-ce', 'spacing': 1.0, 'patch_size': 16, 'batch_size': 4, 'semisupervised': False,
        'turns': False, 'paint': None,
    },
}  # fmt: skip
KEYS = {
    'network', 'average', 'optimizer', 'schedule', 'scaler', 'step', 'best', 'best_step', 'losses', 'minutes',
    'plan',
}  # fmt: skip


def write_old(path, trainer: Trainer, plan: dict) -> None:
    """Write a checkpoint by its keys, as the first version did."""
    torch.save(
        {
            'network': trainer.network.state_dict(), 'average': trainer.average.module.state_dict(),
            'optimizer': trainer.optimizer.state_dict(), 'schedule': trainer.schedule.state_dict(),
            'scaler': trainer.scaler.state_dict(), 'step': 17, 'best': 0.25, 'best_step': 12,
            'losses': [0.5, 0.75], 'minutes': 1.5, 'plan': plan,
        },
        path,
    )  # fmt: skip


def test_a_checkpoint_in_the_old_layout_is_read_and_resumed(tmp_path, make_config):
    other = Trainer(make_config(), tmp_path / 'other', CPU)
    with torch.no_grad():
        for parameter in (*other.network.parameters(), *other.average.module.parameters()):
            parameter.add_(1.0)
    write_old(tmp_path / 'last.pt', other, PLAN)
    trainer = Trainer(make_config(epochs=9), tmp_path, CPU)  # the number of epochs may change
    trainer.resume(trainer.last)
    assert (trainer.step, trainer.best, trainer.best_step, trainer.minutes) == (17, 0.25, 12, 1.5)
    assert trainer._losses == [0.5, 0.75]
    assert int(trainer.average.n_averaged) == 17
    for name in ('network', 'average'):
        one, two = (getattr(t, name) for t in (other, trainer))
        for a, b in zip(one.parameters(), two.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_what_is_written_has_the_old_keys(tmp_path, make_config):
    trainer = Trainer(make_config(), tmp_path, CPU)
    trainer.save(trainer.last)
    state = read_checkpoint(trainer.last)
    assert set(state) == KEYS
    later = {  # not in the first versions
        'generate': [], 'backgrounds': 0.0, 'channels': ['T1w'], 'rater': None, 'training_size': None,
    }  # fmt: skip
    extra = PLAN['extra'] | later
    assert state['plan'] == PLAN | {'extra': extra}


def test_every_entry_is_that_of_its_setting(make_config):
    config = make_config(
        architecture=M2SS.architecture, epochs=2, steps_per_epoch=3, micro_batch=7, learning_rate=0.5, seed=8,
        time_limit=9.0, patience=10, precision='bf16', checkpoint_minutes=11.0, loss='focal',
        spacing=(0.6, 1.2), patch_size=32, batch_size=12, semisupervised=True, all_orientations=True,
        synthesize='mixed',
    )  # fmt: skip
    assert plan_entries(config) == {
        'architecture': M2SS.architecture, 'epochs': 2, 'steps_per_epoch': 3, 'micro_batch': 7,
        'learning_rate': 0.5, 'seed': 8, 'time_limit': 9.0, 'patience': 10, 'precision': 'bf16',
        'checkpoint_minutes': 11.0,
        'extra': {
            'loss': 'focal', 'spacing': (0.6, 1.2), 'patch_size': 32, 'batch_size': 12,
            'semisupervised': True, 'turns': True, 'paint': 'mixed', 'generate': [],
            'backgrounds': 0.0, 'channels': ['T1w'], 'rater': None, 'training_size': None,
        },
    }  # fmt: skip
    assert plan_entries(make_config(patch_size=None))['micro_batch'] == 1  # whole volumes one by one
    data = replace(config.data, generate=(Path('b/two.nii'), Path('b/one.nii')))
    assert plan_entries(replace(config, data=data))['extra']['generate'] == ['one.nii', 'two.nii']
    data = replace(data, backgrounds=(Path('out'),), background_fraction=0.3)
    assert plan_entries(replace(config, data=data))['extra']['backgrounds'] == 0.3


def test_an_entry_that_an_earlier_version_did_not_write_is_not_compared(tmp_path, make_config):
    trainer = Trainer(make_config(), tmp_path, CPU)
    write_old(trainer.last, trainer, PLAN | {'extra': {'loss': 'dice-ce'}})
    resumed = Trainer(make_config(spacing=0.8), tmp_path, CPU)
    resumed.resume(resumed.last)
    assert resumed.step == 17


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'learning_rate': 1.0}, 'learning_rate'),
        ({'spacing': (0.6, 1.2)}, 'spacing'),
        ({'all_orientations': True}, 'turns'),
        ({'channels': ('T2w',)}, 'channels'),
        ({'synthesize': 'mixed', 'seed': 3}, 'seed, paint'),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, make_config, changes, named):
    trainer = Trainer(make_config(), tmp_path, CPU)
    trainer.save(trainer.last)
    other = Trainer(make_config(**changes), tmp_path, CPU)
    with refused(training.OTHER_TRAINING, naming=f'another {named};'):
        other.resume(other.last)


@pytest.mark.parametrize(
    'changes',
    [{'epochs': 9}, {'time_limit': 3.0}, {'patience': 1}, {'micro_batch': 2}, {'precision': 'bf16'}],
)
def test_the_course_of_a_training_may_change(tmp_path, make_config, changes):
    check_resumable(PLAN, make_config(**changes), tmp_path / 'last.pt')


def written(folder: Path, make_config, **changes: Any) -> Trainer:
    """A training with a checkpoint after some steps, with moments of Adam."""
    trainer = Trainer(make_config(**changes), folder, CPU)
    batch = torch.randn(1, 1, 16, 16, 16)
    trainer._update(trainer.network, Batch(batch, batch), lambda n, b, s: n(b.image).square().mean())
    trainer.step = 1
    trainer.save(trainer.last)
    return trainer


@pytest.mark.parametrize(
    'data',
    [b'', b'no checkpoint', b'PK', b'PK\x05\x06' + bytes(18), pickle.dumps({'plan': {}, 'average': {}})],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, make_config, data):
    trainer = Trainer(make_config(), tmp_path, CPU)
    trainer.last.write_bytes(data)
    with refused(training.CHECKPOINT_UNREADABLE, naming=str(trainer.last)):
        trainer.resume(trainer.last)


@pytest.mark.parametrize('fraction', [0.02, 0.5, 0.99])
def test_a_checkpoint_that_was_cut_short_is_refused(tmp_path, make_config, fraction):
    trainer = written(tmp_path, make_config)
    data = trainer.last.read_bytes()
    trainer.last.write_bytes(data[: int(fraction * len(data))])
    with refused(training.CHECKPOINT_UNREADABLE, naming='last.pt'):
        trainer.resume(trainer.last)


def test_no_code_of_a_checkpoint_is_run(tmp_path):
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / 'run'),)

    path = tmp_path / 'evil.pt'
    torch.save({'plan': {}, 'average': {}, 'evil': Evil()}, path)
    with refused(training.CHECKPOINT_UNREADABLE, naming='evil.pt'):
        read_checkpoint(path)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', ['nowhere.pt', 'folder.pt', 'loop.pt', 'x' * 300 + '.pt'])
def test_what_is_no_file_is_refused(tmp_path, name):
    (tmp_path / 'folder.pt').mkdir()
    (tmp_path / 'loop.pt').symlink_to('loop.pt')
    with refused(training.CHECKPOINT_UNREADABLE, naming=name):
        read_checkpoint(tmp_path / name)


def test_an_archive_that_grows_in_memory_is_refused(tmp_path):
    path = tmp_path / 'bomb.pt'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name in ('bomb/data.pkl', 'bomb/data/0'):
            archive.writestr(name, bytes(10**7))
    with refused(training.CHECKPOINT_UNREADABLE, naming='compressed'):
        read_checkpoint(path)


def repeated(depth: int) -> list:
    """A list of a thousand of the same lists, and so on: small in a file, endless to walk through."""
    inner: list = []
    for _ in range(depth):
        inner = [inner] * 1000
    return inner


@pytest.mark.parametrize('place', ['average', 'optimizer'])
def test_a_value_that_is_repeated_by_a_tensor_is_not_copied(tmp_path, make_config, place):
    trainer = written(tmp_path, make_config)
    state = torch.load(trainer.last, weights_only=True)
    target = state['average'] if place == 'average' else state['optimizer']['state'][0]
    target['head.bias' if place == 'average' else 'step'] = torch.zeros(1).expand(10**13)
    torch.save(state, trainer.last)
    with refused(training.CHECKPOINT_UNREADABLE, naming='larger than its data'):
        trainer.resume(trainer.last)


def test_lists_that_hold_each_other_come_to_an_end(tmp_path, make_config):
    trainer = written(tmp_path, make_config)
    state = torch.load(trainer.last, weights_only=True)
    for plan in (PLAN | {'seed': repeated(6)}, PLAN | {'extra': PLAN['extra'] | {'loss': repeated(6)}}):
        torch.save(state | {'plan': plan}, trainer.last)
        with refused(training.CHECKPOINT_WRONG, naming='"plan"'):
            trainer.resume(trainer.last)
    circle: list = []
    circle.append(circle)
    torch.save(state | {'losses': circle}, trainer.last)
    with refused(training.CHECKPOINT_WRONG, naming='"losses"'):
        trainer.resume(trainer.last)


NAN = torch.tensor([float('nan')])


@pytest.mark.parametrize(
    ('change', 'key'),
    [
        ({'average': None}, 'average'), ({'average': {'a': 1}}, 'average'), ({'average': []}, 'average'),
        ({'plan': None}, 'plan'), ({'plan': {}}, 'plan.architecture'),
        ({'plan': PLAN | {'extra': None}}, 'plan.extra'), ({'plan': {'extra': {}}}, 'plan.architecture'),
        ({'plan': PLAN | {'seed': NAN}}, 'plan'), ({'plan': PLAN | {'architecture': 'joliot2021'}}, 'plan.'),
        ({'plan': PLAN | {'extra': {'spacing': -1}}}, 'plan.extra.spacing'),
        ({'plan': PLAN | {'extra': {'spacing': [1.2]}}}, 'plan.extra.spacing'),
        ({'plan': PLAN | {'extra': {'patch_size': 'all'}}}, 'plan.extra.patch_size'),
        ({'step': 'one'}, 'step'), ({'step': -1}, 'step'), ({'step': True}, 'step'),
        ({'step': 10**12}, 'step'),
        ({'best': None}, 'best'), ({'best': float('nan')}, 'best'), ({'best_step': 0.5}, 'best_step'),
        ({'losses': None}, 'losses'), ({'losses': ['a']}, 'losses'), ({'minutes': -1.0}, 'minutes'),
        ({'minutes': float('nan')}, 'minutes'), ({'network': {}, 'average': {}}, ''),
        ({'optimizer': []}, 'optimizer'), ({'optimizer': {}}, 'optimizer'),
        ({'optimizer': {'state': {}, 'param_groups': []}}, 'optimizer'),
        ({'optimizer': {'state': {0: {'exp_avg': NAN, 'exp_avg_sq': NAN}}, 'param_groups': []}}, 'optimizer'),
        ({'schedule': {}}, 'optimizer'), ({'schedule': None}, 'schedule'), ({'scaler': 1}, 'scaler'),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_used_is_named(tmp_path, make_config, change, key):
    trainer = written(tmp_path, make_config)
    torch.save(torch.load(trainer.last, weights_only=True) | change, trainer.last)
    refusal = training.CHECKPOINT_WRONG if key else training.WEIGHTS_MISFIT
    with refused(refusal, naming=f'"{key}' if key else 'last.pt'):
        trainer.resume(trainer.last)


@pytest.mark.parametrize('name', sorted(KEYS))
def test_a_checkpoint_that_lacks_an_entry(tmp_path, make_config, name):
    trainer = written(tmp_path, make_config)
    state = torch.load(trainer.last, weights_only=True)
    torch.save({k: v for k, v in state.items() if k != name}, trainer.last)
    is_any = name not in ('plan', 'average')  # of this program
    with refused(training.CHECKPOINT_WRONG if is_any else training.NO_CHECKPOINT, naming='last.pt'):
        trainer.resume(trainer.last)


@pytest.mark.parametrize('key', ['network', 'average'])
@pytest.mark.parametrize(
    'change',
    [lambda s: s | {'head.bias': torch.zeros(2)}, lambda s: s | {'more': torch.zeros(1)},
     lambda s: {k: v for k, v in s.items() if k != 'head.bias'}],
)  # fmt: skip
def test_tensors_of_another_shape_are_refused(tmp_path, make_config, key, change):
    trainer = written(tmp_path, make_config)
    state = torch.load(trainer.last, weights_only=True)
    torch.save(state | {key: change(state[key])}, trainer.last)
    with refused(training.WEIGHTS_MISFIT, naming=key):
        trainer.resume(trainer.last)


@pytest.mark.parametrize('key', ['network', 'average'])
def test_weights_that_are_no_numbers_are_refused(tmp_path, make_config, key):
    trainer = written(tmp_path, make_config)
    state = torch.load(trainer.last, weights_only=True)
    torch.save(state | {key: state[key] | {'head.bias': NAN}}, trainer.last)
    with refused(training.CHECKPOINT_WRONG, naming='head.bias'):
        trainer.resume(trainer.last)


def test_a_training_may_go_on_in_another_precision(tmp_path, make_config):
    trainer = written(tmp_path, make_config)
    trainer.resume(trainer.last)
    trainer.scaler = torch.amp.GradScaler('cpu', enabled=True)  # the checkpoint has no state for it
    trainer.resume(trainer.last)
    assert trainer.scaler.get_scale() == 65536


@pytest.mark.parametrize('raised', [OSError(28, 'No space left on device'), RuntimeError('broken')])
def test_a_write_that_fails_leaves_the_earlier_checkpoint(tmp_path, make_config, monkeypatch, raised):
    trainer = written(tmp_path, make_config)
    before = trainer.last.read_bytes()

    def fail(state: Any, stream: Any) -> None:
        stream.write(b'half of it')
        try:
            raise raised
        except OSError as error:
            raise RuntimeError('unexpected pos 640 vs 534') from error  # as torch does

    monkeypatch.setattr('torch.save', fail)
    with pytest.raises(type(raised), match=str(raised.args[-1])):
        trainer.save(trainer.last)
    assert trainer.last.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['last.pt']


KILLED = """
import os, sys
from pathlib import Path
import torch
from pvs_bidsapp.runtime.files import atomic_write
from pvs_bidsapp.training import checkpoint
from pvs_bidsapp.training.config import TrainingConfig
from pvs_bidsapp.training.recipes import JOLIOT
save = torch.save
def half(state, stream):
    save(state, stream)
    stream.truncate(stream.tell() // 2)
    stream.flush()
    os.kill(os.getpid(), 9)
torch.save = half
checkpoint.write_checkpoint(Path(sys.argv[1]), {'average': {}}, TrainingConfig(recipe=JOLIOT))
"""


def test_a_process_that_is_killed_in_a_write_leaves_the_earlier_checkpoint(tmp_path, make_config):
    trainer = written(tmp_path, make_config)
    before = trainer.last.read_bytes()
    done = subprocess.run([sys.executable, '-c', KILLED, str(trainer.last)], check=False)
    assert done.returncode == -9
    assert trainer.last.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2  # the half one has another name
    trainer.resume(trainer.last)


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from pvs_bidsapp.training import checkpoint
from pvs_bidsapp.training.config import TrainingConfig
from pvs_bidsapp.training.recipes import JOLIOT
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
try:
    checkpoint.write_checkpoint(
        Path(sys.argv[1]), {'average': {'a': torch.zeros(10**6)}}, TrainingConfig(recipe=JOLIOT)
    )
except OSError as error:
    print(error.errno, error.filename)
"""


def test_the_error_of_the_system_comes_through(tmp_path):
    path = tmp_path / 'last.pt'
    done = subprocess.run(
        [sys.executable, '-c', FULL, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ['27', str(path)], done.stderr
    assert not list(tmp_path.iterdir())
