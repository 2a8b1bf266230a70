"""Plugin files, as people and others write them."""

from __future__ import annotations

import os
import time

import nipype.pipeline.plugins as nipype_plugins
import pytest
from refusals import refused

from pvs_bidsapp.messages import options
from pvs_bidsapp.workflows.plugin_file import PLUGINS, read_plugin_file


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'plugin.yml'

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_file_as_it_stands_in_many_guides(file):
    text = 'plugin: LegacyMultiProc\nplugin_args: {maxtasksperchild: 1, memory_gb: 60.5, non_daemon: true}\n'
    arguments = {'maxtasksperchild': 1, 'memory_gb': 60.5, 'non_daemon': True}
    assert read_plugin_file(file(text)) == ('LegacyMultiProc', arguments)
    assert read_plugin_file(file('plugin: Linear\nplugin_args:\n')) == ('Linear', {})


def test_the_known_plugins_are_those_of_nipype():
    assert all(hasattr(nipype_plugins, f'{name}Plugin') for name in PLUGINS)


LAUGHS = 'a0: &a0 [x, x]\n' + ''.join(f'a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n' for k in range(1, 60))


@pytest.mark.parametrize(
    'content',
    [
        b'plugin: \xff\xfe',
        'plugin: [',
        'plugin: a\tb: c: d',
        'plugin: !!python/object/apply:os.system ["touch /tmp/pwned"]',
        '[' * 5000,
        LAUGHS + 'plugin: *a59',
        'plugin: Linear\nplugin_args: &x {a: *x}',
        'plugin: Linear\n' + '#' * 200_000,
        '\x00\x01',
    ],
)
def test_what_cannot_be_read(file, content):
    started = time.process_time()
    with refused(options.PLUGIN_UNREADABLE, naming='plugin.yml'):
        read_plugin_file(file(content))
    assert time.process_time() - started < 2


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'nowhere', tmp_path, tmp_path / 'pipe'):
        with refused(options.PLUGIN_UNREADABLE, naming=str(path)):
            read_plugin_file(path)


@pytest.mark.parametrize(
    'content',
    [
        '', '[plugin, SLURM]', 'SLURM', 'plugin: 3', 'plugin:', 'plugin: [SLURM]', 'Plugin: Linear',
        'plugin: Linear\nplugins_args: {}', *(
            f'plugin: MultiProc\nplugin_args: {arguments}'
            for arguments in (
                '[a]', 'text', '{1: a}', '{a: {b: c}}', '{n_procs: 0}', '{n_procs: many}',
                '{memory_gb: .nan}', '{memory_gb: .inf}',
            )
        ),
    ],
)  # fmt: skip
def test_entries_that_are_not_what_they_should_be(file, content):
    with refused(options.PLUGIN_ENTRIES, naming='plugin.yml'):
        read_plugin_file(file(content))


@pytest.mark.parametrize('name', ['slurm', 'Slurm', 'SomaFlow', 'IPython', '__class__', 'x' * 10_000])
def test_an_unknown_plugin_with_those_that_are_known(file, name):
    with refused(options.PLUGIN_UNKNOWN, naming='SLURM'):
        read_plugin_file(file(f'plugin: {name}'))


def test_a_batch_system_that_is_not_there(file, tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with refused(options.PLUGIN_COMMAND, naming='sbatch'):
        read_plugin_file(file('plugin: SLURM'))
    for command in PLUGINS['SLURM']:
        (tmp_path / command).touch(0o755)
    assert read_plugin_file(file('plugin: SLURM\nplugin_args: {sbatch_args: "--mem=6G"}'))[0] == 'SLURM'
