"""Every refusal has a case, every message a code of its own, and every error comes from the tables."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pvs_bidsapp.messages.catalogue import SUBJECTS, messages_of
from pvs_bidsapp.messages.message import Caution, Message, Refusal, one_line

ROOT = Path(__file__).resolve().parents[3]
MESSAGES = [(s, name, m) for s in SUBJECTS for name, m in messages_of(s).items()]


def _names_in(folder: str, callee: str) -> set[str]:
    """Names of the constants that calls of `callee` mention, as ``module.NAME`` or ``NAME``."""
    found = set()
    for path in sorted((ROOT / folder).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == callee:
                found |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
                found |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return found


def test_codes_are_unique_and_begin_with_what_they_are_about():
    codes = [m.code for _, _, m in MESSAGES]
    assert len(codes) == len(set(codes))
    assert all(code == code.lower() and ' ' not in code for code in codes)


@pytest.mark.parametrize(('subject', 'name', 'message'), MESSAGES)
def test_a_message_has_one_line_and_a_mend(subject: str, name: str, message: Message):
    assert isinstance(message, Refusal | Caution)
    assert one_line(message.text + message.mend) == message.text + message.mend
    assert message.mend


def test_every_refusal_has_a_test():
    """A test of a refusal names it in `refused(...)` (tests/refusals.py)."""
    tested = _names_in('tests', 'refused')
    untested = [f'{s}.{name}' for s, name, m in MESSAGES if isinstance(m, Refusal) and name not in tested]
    assert not untested


def test_every_message_is_used():
    text = '\n'.join(
        p.read_text(encoding='utf-8')
        for p in (ROOT / 'pvs_bidsapp').rglob('*.py')
        if p.parent.name != 'messages'
    )
    assert not [f'{s}.{name}' for s, name, _ in MESSAGES if f'{s}.{name}' not in text]


def test_errors_come_from_the_tables():
    """``raise InputError('...')`` with a text of its own stands nowhere in the program."""
    kinds = {'InputError', 'ImageError', 'ModelError', 'PVSError'}
    found = []
    for path in sorted((ROOT / 'pvs_bidsapp').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Raise) and getattr(getattr(node.exc, 'func', None), 'id', '') in kinds:
                found.append(f'{path.relative_to(ROOT)}:{node.lineno}')
    assert not found


def test_control_characters_of_a_name_do_not_reach_the_terminal():
    found = messages_of('scans')['EMPTY'].finding('sub-01\n\x1b[31m_T1w.nii')
    assert '\n' not in str(found)
    assert '\x1b' not in str(found)


def test_a_long_value_is_cut_in_the_middle():
    message = Caution(code='a', text='{value}', mend='{value}')
    line = str(message.finding('file', value='x' * 10_000 + 'end'))
    assert len(line) < 1200
    assert line.endswith('xend')
    assert str(message.finding(value='short')) == 'short; short'
