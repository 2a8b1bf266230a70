"""Mutated inputs of five kinds: the program uses each or refuses it in one line, quickly, in bounded memory.

``PVS_FUZZ=10000 pytest -s tests/fuzz`` tries more of them, and prints what became of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzz.headers import mutated_image
from fuzz.law import EXAMPLES, Law, check_findings
from fuzz.mutations import mutated_bytes, mutated_json, mutated_table
from fuzz.outputs_folder import Outputs
from fuzz.page import check_group_page
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from model_cards import SMALL, card

from pvs_bidsapp.anatomy.conform import audit_scan, load_scan
from pvs_bidsapp.anatomy.mask_image import read_label_map, read_mask, read_probabilities
from pvs_bidsapp.bids.filters import read_filters
from pvs_bidsapp.bids.index import ImageIndex
from pvs_bidsapp.bids.participants import read_participants
from pvs_bidsapp.bids.query import Query, find_scans
from pvs_bidsapp.commands.group import run_group
from pvs_bidsapp.group.results import GroupOptions
from pvs_bidsapp.outputs.cohort import map_grid
from pvs_bidsapp.reports import group_page
from pvs_bidsapp.segmentation.model import CARD, WEIGHTS, load_model, write_model
from pvs_bidsapp.segmentation.networks import build
from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort

pytestmark = pytest.mark.skipif(
    'PVS_FUZZ' not in os.environ, reason='PVS_FUZZ=N not set: nothing was mutated'
)
#: The bounds on time are those of the law; the same inputs are drawn in each run.
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, print_blob=True,
    suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate, Phase.shrink),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(caplog, monkeypatch):
    """Warnings are formatted, but not kept; nothing waits for the disk; figures are not drawn."""
    logging.getLogger('nibabel.global').setLevel(logging.CRITICAL)
    caplog.handler.setLevel(logging.CRITICAL)
    monkeypatch.setattr(os, 'fsync', lambda handle: None)
    monkeypatch.setattr(group_page, '_figures', lambda cohort, results: [])
    monkeypatch.setattr(group_page, '_plotly', Markup)  # nothing of 5 MB
    map_grid()  # reads the template


@pytest.fixture
def law(tmp_path, capsys, request):
    law = Law(tmp_path)
    yield law
    if EXAMPLES > 1000:
        with capsys.disabled():
            print(f'\n{request.node.name}: {law.tally}\n  {dict(law.tally.reasons.most_common())}')


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# ---- headers


def test_headers(law, tmp_path):
    @fuzzed
    @given(st.data())
    def run(data):
        extension, content = mutated_image(data.draw)
        path = write(tmp_path / f'sub-01_T1w{extension}', content)
        findings = None
        with law():
            findings = audit_scan(path)
        check_findings(findings)
        is_used = False
        with law():
            image = load_scan(path)
            check_scan(image)
            is_used = True
        assert not is_used or not any(f.is_refused for f in findings)
        for read in (read_mask, read_label_map, read_probabilities):
            with law():
                check_findings(read(path).findings)

    run()


def check_scan(image):
    check_findings(image.findings)
    assert image.image.dtype == np.float32
    assert image.image.shape == image.grid.shape
    assert np.isfinite(image.image).all()
    assert image.image.min() >= 0
    assert image.image.max() > 0
    assert np.isfinite(image.grid.affine).all()


# ---- sidecars and records


def test_sidecars(law, tmp_path):
    outputs = Outputs(tmp_path)

    @fuzzed
    @given(st.data())
    def run(data):
        path = data.draw(st.sampled_from(sorted(outputs.contents)))
        mutated = mutated_table if path.suffix == '.tsv' else mutated_json
        write(path, mutated(data.draw, outputs.contents[path]))
        try:
            for call in outputs.calls_on(path):
                with law():
                    call()
        finally:
            outputs.restore(path)

    run()


# ---- participants.tsv

_COLUMNS = st.sampled_from(('age', 'sex', 'site', 'rating', 'participant_id', 'ICV', 'count', '', 'a b'))


def group_options(draw, root: Path) -> GroupOptions:
    """Options of the group level; most of them name columns that are there."""
    cohort = draw(st.one_of(st.none(), st.just('site'), st.just('sex'), _COLUMNS))
    covariates = draw(st.sampled_from(((), (), ('age', 'sex'), ('age', 'site', 'ICV'), ('rating', 'a b'))))
    formulas = (None, 'age * sex', 'C(site) + np.log(age)', 'open("x")', 'age + ' * 50 + '1', 'Q("a b")')
    return GroupOptions(
        bids_dir=root / 'bids',
        out_dir=root / 'out',
        size_filters=(0, 5),
        cohort=cohort,
        match=draw(st.sampled_from(((), ('age',), ('rating', 'sex')))) if cohort in ('site', None) else (),
        rating=draw(st.sampled_from((None, None, 'rating', 'age', 'sex', 'a b'))),
        covariates=covariates,
        formula=None if covariates else draw(st.sampled_from(formulas)),
    )


def test_participants(law, tmp_path):
    write_cohort(tmp_path, 12, Effects(), seed=1)
    for table in (tmp_path / 'out').rglob('*_desc-pvs_stats.tsv'):  # the totals alone, of 21 regions
        lines = table.read_text().splitlines(keepends=True)
        table.write_text(
            ''.join(line for line in lines if line.startswith(('region', 'all', 'deep white matter\tb')))
        )
    path = tmp_path / 'bids' / 'participants.tsv'
    rows = [line.split('\t') for line in path.read_text().splitlines()]

    @fuzzed
    @given(st.data())
    def run(data):
        write(path, mutated_table(data.draw, rows))
        with law():
            check_findings(read_participants(path.parent).findings)
        options = group_options(data.draw, tmp_path)
        with law():
            check_group_page(run_group(options).page)

    run()


# ---- filter files


def test_filters(law, tmp_path, monkeypatch):
    bids, path = tmp_path / 'bids', tmp_path / 'filter.json'
    for name in ('sub-01_acq-mprage_run-1_T1w', 'sub-01_acq-mprage_run-02_T1w', 'sub-01_T2w', 'sub-02_T1w'):
        folder = bids / name[:6] / 'anat'
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.devnull, folder / f'{name}.nii.gz')
        (folder / f'{name}.nii.gz').write_bytes(b'x' * 100)
    index = ImageIndex(bids, ['01', '02'], ['01', '02'], ())._layout  # of a dataset that stays as it is
    monkeypatch.setattr(ImageIndex, '_index', lambda *arguments: index)
    content = {
        't1w': {'acquisition': 'mprage', 'run': [1, '02', None], 'suffix': 'T1w'},
        't2w': {'datatype': 'anat', 'extension': ['.nii', 'nii.gz'], 'run': 'Query.NONE'},
        'bold': {'task': 'rest'},
    }
    words = (
        'acquisition',
        'run',
        'session',
        'sub',
        'mprage',
        'Query.ANY',
        'Query.OPTIONAL',
        '*',
        '.*',
        't1w',
        'T1w',
    )

    @fuzzed
    @given(st.data())
    def run(data):
        write(path, mutated_json(data.draw, content, texts=words))
        with law():
            selection = find_scans(bids, Query(filters=read_filters(path)))
            assert selection.scans or selection.refused

    run()


# ---- model folders


def test_model_folders(law, tmp_path):
    folder = tmp_path / 'model'
    write_model(folder, build(SMALL), card())
    good_card, good_weights = json.loads((folder / CARD).read_text()), (folder / WEIGHTS).read_bytes()

    @fuzzed
    @given(st.data())
    def run(data):
        content, weights = dict(good_card), good_weights
        if data.draw(st.integers(0, 2)) == 0:
            weights = mutated_weights(data.draw, good_weights)
            if data.draw(st.booleans()):
                content['sha256'] = hashlib.sha256(weights).hexdigest()
        write(folder / WEIGHTS, weights)
        is_same_card = weights is not good_weights and data.draw(st.booleans())
        text = (
            json.dumps(content).encode() if is_same_card else mutated_json(data.draw, content, texts=_WORDS)
        )
        write(folder / CARD, text)
        with law():
            model = load_model(folder)
            model.verify()
            use(model)

    run()


_WORDS = ('joliot2021', 'joliot2021-autoencoder', 'm2ss', 'ensemble', 'name', 'of', 'T1w', 'T2w', 'wm-csf')


def use(model) -> None:
    """Build the network and apply it once to a patch of noise."""
    network = model.network()
    size = 32 if model.architecture == 'm2ss' else 16
    with torch.inference_mode():
        result = network(torch.zeros(1, len(model.card.channels), size, size, size))
    assert torch.isfinite(result).all()


def mutated_weights(draw, data: bytes) -> bytes:
    """A safetensors file with changes in its header, in the length of it, or anywhere."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return mutated_bytes(draw, data)
    size = int.from_bytes(data[:8], 'little')
    if kind == 1:
        other = draw(
            st.sampled_from((0, 1, size - 1, size + 1, 2**31, 2**63 - 1, 2**64 - 1, 10_000_000, 99_999_999))
        )
        return struct.pack('<Q', other) + data[8:]
    header = mutated_json(
        draw, json.loads(data[8 : 8 + size]), texts=('F32', 'F64', 'U8', 'I64', 'BOOL', 'F8_E4M3')
    )
    return struct.pack('<Q', len(header)) + header + data[8 + size :]
