"""The step of CI that asks for known vulnerabilities of the dependencies."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

AUDIT = Path(__file__).resolve().parents[2] / '.ci' / 'audit'
FOUND = {'id': 'PYSEC-1', 'aliases': ['CVE-1'], 'fix_versions': ['2']}


@pytest.fixture
def audit(monkeypatch):
    loader = SourceFileLoader('audit', str(AUDIT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('audit', loader))
    loader.exec_module(module)
    monkeypatch.setattr(module, 'read_accepted', dict)
    return module


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / 'requirements.lock'
    path.write_text('# pins\na==1\nb==1\n')
    return path


def answer(audit, monkeypatch, *advisories):
    entries = [
        {'name': 'a', 'version': '1', 'vulns': [*advisories]},
        {'name': 'b', 'version': '1', 'vulns': []},
    ]
    monkeypatch.setattr(audit, 'ask', lambda lock, service: entries if service == 'pypi' else [])


def test_an_advisory_fails_the_step(audit, lock, monkeypatch, capsys):
    answer(audit, monkeypatch, FOUND)
    assert audit.main(lock) == 1
    assert 'VULNERABLE: a 1: PYSEC-1, fixed in 2' in capsys.readouterr().out


def test_an_accepted_advisory_does_not(audit, lock, monkeypatch, capsys):
    answer(audit, monkeypatch, FOUND)
    monkeypatch.setattr(audit, 'read_accepted', lambda: {('a', 'CVE-1'): 'not used', ('b', 'CVE-2'): 'old'})
    assert audit.main(lock) == 0
    text = capsys.readouterr().out
    assert 'accepted: not used' in text
    assert 'b CVE-2 is no longer found' in text


def test_none_is_found(audit, lock, monkeypatch, capsys):
    answer(audit, monkeypatch)
    assert audit.main(lock) == 0
    assert '2 of 2 pinned dependencies were audited' in capsys.readouterr().out


def test_a_service_that_does_not_answer_is_told(audit, lock, monkeypatch, capsys):
    monkeypatch.setattr(audit, 'ask', lambda lock, service: [])
    assert audit.main(lock) == 0
    assert capsys.readouterr().out.startswith('SKIPPED')


def test_the_list_of_accepted_advisories_can_be_read():
    lines = [line for line in AUDIT.with_name('audit-accepted').read_text().splitlines() if line[0] != '#']
    assert all(len(line.split(maxsplit=2)) == 3 for line in lines)
