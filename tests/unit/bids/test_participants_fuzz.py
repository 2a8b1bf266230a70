"""Mutated participants.tsv and participants.json: a table, or a refusal in one line; never anything else.

PVS_FUZZ sets how many are tried.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from pvs_bidsapp.bids.participants import read_participants
from pvs_bidsapp.errors import InputError

EXAMPLES = int(os.environ.get('PVS_FUZZ', '300'))
BASE = 'participant_id\tage\tsex\tsite\nsub-01\t34.5\tM\t1\nsub-02\t41\tF\t2\nsub-03\tn/a\tM\t1\n'
DESCRIBED = {
    'age': {'Units': 'years'},
    'sex': {'Levels': {'M': 'male', 'F': 'female'}},
    'site': {'Levels': {'1': 'a'}},
}
#: What is put into a table: what people and programs write, and what breaks readers.
PIECES = [
    '\t', '\n', '\r', '\r\n', '"', '""', "'", ',', ';', ' ', 'n/a', '-', '-9', '-999', '1e999', 'inf',
    '34,5', '1,000', 'participant_id', 'age', 'sub-', 'SUB-01', '\x00', '\x1a', '\x1b[31m', '\u202e',
    '\u200b', '\ufeff', 'é', '٣', '𝟛', '<script>', '{x}', '%s', '=1+1', '\\', '\x85', '\u2028', '9' * 400,
    'x' * 5000, '\t' * 3000, '\n' * 3000,
]  # fmt: skip
ENCODINGS = ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-32', 'latin-1', 'cp1252']


@st.composite
def tables(draw):
    """The bytes of a table after some mutations."""
    text = draw(st.sampled_from([BASE, BASE.replace('\t', ','), BASE * 3, '']))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 30))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)))
        text = text[:place] + piece + text[place + length :]
    data = text.encode(draw(st.sampled_from(ENCODINGS)), 'replace')
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(st.binary(max_size=4)) + data[place + draw(st.integers(0, 4)) :]
    return data


KEYS = st.sampled_from(['Levels', 'Units', 'age', 'sex'])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)
SIDECARS = st.one_of(
    st.none(),
    st.just(json.dumps(DESCRIBED).encode()),
    JSON.map(lambda content: json.dumps(content).encode()),
    st.binary(max_size=40),
)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.ERROR, 'pvs_bidsapp')


@settings(max_examples=EXAMPLES, deadline=5000, suppress_health_check=list(HealthCheck), database=None)
@given(data=tables(), sidecar=SIDECARS)
def test_a_mutated_table_is_read_or_refused(data, sidecar):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / 'participants.tsv').write_bytes(data)
        if sidecar is not None:
            (path / 'participants.json').write_bytes(sidecar)
        try:
            listing = read_participants(path)
        except InputError as error:
            refusal = str(error)
        else:
            refusal = ''
    if refusal:
        assert refusal.isprintable()
        assert 'participants.tsv' in refusal
        return
    for finding in listing.findings:
        assert str(finding).isprintable()
    if listing.table is None:
        assert listing.findings
        return
    table = listing.table
    assert table['participant_id'].is_unique
    assert table['participant_id'].str.startswith('sub-').all()
    for name in table.columns:
        values = table[name].dropna()
        if pd.api.types.is_numeric_dtype(table[name]):
            assert (values.abs() < float('inf')).all()
        else:
            assert all(isinstance(v, str) and v.strip() and '\t' not in v and '\n' not in v for v in values)
