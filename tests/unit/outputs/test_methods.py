from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files

import pytest

from pvs_bidsapp.outputs.methods import PAPERS, methods, references
from pvs_bidsapp.settings import GIVEN_MASK, Analysis

ANALYSIS = Analysis(
    model_name='a', model_version='1', model_sha256='0' * 64, model_dir='', channels=('T1w',), threshold=0.5,
    min_cluster_size=0.0, random_seed=1, modality='T1w', version='1',
)  # fmt: skip


def keys(text: str) -> list[str]:
    return re.findall(r'^@\w+\{(.+),$', text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ('architecture', 'named', 'unnamed'),
    [
        ('joliot2021', ['joliot2021'], ['chai']),
        ('m2ss', ['chai'], ['joliot2021']),
        (GIVEN_MASK, [], ['chai', 'joliot2021']),
        ('ensemble', ['chai', 'joliot2021'], []),
    ],
)
def test_the_paper_of_the_network_is_among_the_references(architecture, named, unnamed):
    there = keys(references(replace(ANALYSIS, architecture=architecture)))
    assert set(named) <= set(there)
    assert not set(unnamed) & set(there)
    every = {'avants2011', 'tustison2010', 'manera2020', 'potter2015', 'zhu2010', 'wardlaw2013'}
    assert every <= set(there)  # of every analysis


def test_all_papers_of_networks_are_in_the_file_that_outputs_carry():
    text = files('pvs_bidsapp.data').joinpath('CITATION.bib').read_text(encoding='utf-8')
    assert {paper.key for paper in PAPERS.values()} <= set(keys(text))
    assert text.count('{') == text.count('}')
    assert text == references(replace(ANALYSIS, architecture='ensemble'))


@pytest.mark.parametrize('architecture', PAPERS)
def test_the_paragraph_names_the_paper(architecture):
    analysis = replace(ANALYSIS, architecture=architecture)
    assert PAPERS[architecture].name in methods(analysis)


def test_the_paragraph_names_what_other_programs_gave():
    assert 'of another program' not in methods(ANALYSIS)
    text = methods(ANALYSIS, {'brain_mask', 'segmentation'})
    assert 'Brain masks of another program' in text
    assert 'it decided on tissues and regions' in text
    assert 'Lesion masks' not in text
