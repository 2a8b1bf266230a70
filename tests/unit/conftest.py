"""Settings of a participant run, for tests that build or lock workflows without running them."""

from __future__ import annotations

import pytest

from pvs_bidsapp.settings import Analysis, Execution, Settings


@pytest.fixture
def settings(tmp_path):
    analysis = Analysis('m', '1', 'abc', str(tmp_path / 'm'), ('T1w',), 0.5, 0.0, 1, 'T1w', '1')
    execution = Execution(1, 1, 4.0, 'cpu', tmp_path / 'work', clean_workdir=True)
    return Settings(tmp_path / 'bids', tmp_path / 'out', analysis, execution)
