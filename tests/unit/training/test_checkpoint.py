"""Checkpoints keep the layout of the first version, whatever the names in the code are."""

from __future__ import annotations

import pytest
import torch

from pvs_bidsapp.errors import InputError
from pvs_bidsapp.training.checkpoint import check_resumable, plan_entries, read_checkpoint
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
    assert state['plan'] == PLAN


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
            'semisupervised': True, 'turns': True, 'paint': 'mixed',
        },
    }  # fmt: skip
    assert plan_entries(make_config(patch_size=None))['micro_batch'] == 1  # whole volumes one by one


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
        ({'synthesize': 'mixed', 'seed': 3}, 'seed, paint'),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, make_config, changes, named):
    trainer = Trainer(make_config(), tmp_path, CPU)
    trainer.save(trainer.last)
    other = Trainer(make_config(**changes), tmp_path, CPU)
    with pytest.raises(InputError, match=f'another {named};'):
        other.resume(other.last)


@pytest.mark.parametrize(
    'changes',
    [{'epochs': 9}, {'time_limit': 3.0}, {'patience': 1}, {'micro_batch': 2}, {'precision': 'bf16'}],
)
def test_the_course_of_a_training_may_change(tmp_path, make_config, changes):
    check_resumable(PLAN, make_config(**changes), tmp_path / 'last.pt')


def test_a_damaged_checkpoint_is_refused(tmp_path, make_config):
    trainer = Trainer(make_config(), tmp_path, CPU)
    trainer.last.write_bytes(b'no checkpoint')
    with pytest.raises(InputError, match='cannot be read'):
        trainer.resume(trainer.last)
