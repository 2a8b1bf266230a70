"""What describes an output folder, beside files that were there before."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from faults.made_up_results import make_dataset, make_settings
from refusals import refused

from pvs_bidsapp.bids.dataset import describe_raw
from pvs_bidsapp.messages import options
from pvs_bidsapp.outputs.dataset import describe_output


@pytest.fixture
def settings(tmp_path):
    return make_settings(make_dataset(tmp_path / 'bids', '01'), tmp_path)


def test_a_new_folder_is_described_and_texts_of_an_older_program_are_replaced(settings):
    describe_output(settings)
    readme = settings.out_dir / 'README.md'
    own = readme.read_text()
    assert own.startswith('# ')
    readme.write_text('of an older version')
    describe_output(settings)
    assert readme.read_text() == own


@pytest.mark.parametrize('content', [b'# My project: three years of notes', 'Zürich'.encode('latin-1')])
def test_texts_that_were_there_before_stay(settings, content):
    settings.out_dir.mkdir(exist_ok=True)
    (settings.out_dir / 'README.md').write_bytes(content)
    describe_output(settings)
    assert (settings.out_dir / 'README.md').read_bytes() == content
    assert (settings.out_dir / 'CITATION.bib').exists()
    description = json.loads((settings.out_dir / 'dataset_description.json').read_text())
    assert description['DatasetType'] == 'derivative'


def test_a_dataset_of_another_program_is_refused(settings):
    settings.out_dir.mkdir(exist_ok=True)
    (settings.out_dir / 'dataset_description.json').write_text('{"Name": "fMRIPrep"}')
    with refused(options.FOREIGN_OUTPUT, naming='fMRIPrep'):
        describe_output(settings)


def test_scans_of_another_dataset_are_told(settings, tmp_path, caplog):
    describe_output(settings)
    describe_output(settings)
    assert not caplog.records
    description = settings.out_dir / 'dataset_description.json'
    content = json.loads(description.read_text()) | {'Name': 'My study'}
    description.write_text(json.dumps(content))
    other = replace(settings, bids_dir=tmp_path / 'other')
    for _ in range(2):
        describe_output(other)
    (said,) = caplog.records  # once: the description now has the other one
    assert settings.bids_dir.resolve().as_uri() in said.getMessage()
    links = {'raw': (tmp_path / 'other').resolve().as_uri()}
    assert json.loads(description.read_text()) == content | {'DatasetLinks': links}


def test_simulated_heads_beside_a_readme_leave_it(tmp_path):
    (tmp_path / 'README').write_text('mine')
    describe_raw(tmp_path, 'heads', 'simulated')
    assert (tmp_path / 'README').read_text() == 'mine'
