"""The completion of the shells: what bash offers for a line that has been begun."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from pvs_bidsapp.cli.completion import SHELLS
from pvs_bidsapp.cli.main import COMMANDS, main

#: Calls the function that completes, as bash does, and prints what it offers.
_COMPLETE = (
    'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_pvs; echo "${COMPREPLY[@]}"'
)


def script(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--print-completion', shell])
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.fixture
def offered(capsys, tmp_path):
    """What is offered for words, the last of which has been begun."""
    if shutil.which('bash') is None:
        pytest.skip('there is no bash')
    (tmp_path / 'pvs').write_text(script('bash', capsys))

    def complete(*words):
        command = ['bash', '-c', _COMPLETE, 'bash', tmp_path / 'pvs', 'pvs', *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    return complete


def test_commands_and_options_are_offered(offered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(offered('')) == set(COMMANDS)
    assert offered('pred') == ['predict']
    assert offered('/in', '/out', 'par') == ['participant']
    assert offered('/in', '/out', 'participant', '--modal') == ['--modality']
    assert offered('/in', '/out', 'participant', '--precision', 'f') == ['fp32']
    assert offered('predict', 'a.nii', 'out', '--t2') == ['--t2w']
    assert offered('train', '--no-such') == []
    assert offered('/in', '/out', 'participant', '--model', 'jo') == ['joliot2021-t1']
    assert offered('models', 'show', 't') == ['t2']


def test_files_and_folders_are_offered(offered, tmp_path, monkeypatch, capsys):
    """By the functions for options and arguments, and by bash itself where these offer nothing."""
    (tmp_path / 'layouts').mkdir()
    monkeypatch.chdir(tmp_path)
    assert 'layouts' in offered('/in', '/out', 'participant', '-w', 'lay')[0]
    assert 'layouts' in offered('predict', 'lay')[0]
    assert '-o default' in script('bash', capsys)


def test_zsh_offers_the_options_of_the_bids_app_after_a_folder(capsys):
    text = script('zsh', capsys)
    (options,) = re.findall(r'\*\) _arguments -C -s \$(\w+)_options', text)
    own = text.partition(f'{options}_options=(')[2].partition('\n)\n')[0]
    assert '--participant-label' in own
    assert '--label-maps' not in own
    (first_word,) = re.findall(r"': :\{(.*)\}'", text)
    assert first_word == '_shtab_pvs_commands; _files -/'
    listed = re.findall(r'_shtab_pvs_commands\(\) \{(.*?)\n\}', text, re.DOTALL)[0]
    assert re.findall(r'([\w-]+):', listed.split('(', 1)[1])[0] in COMMANDS
    assert 'zzfolder' not in listed


@pytest.mark.parametrize('shell', SHELLS)
def test_each_shell_is_told_of_every_command(shell, capsys):
    text = script(shell, capsys)
    assert all(name in text for name in (*COMMANDS, '--participant-label', '--label-maps'))
