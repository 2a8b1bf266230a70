"""Settings of a participant run, for tests that build or lock workflows without running them."""

from __future__ import annotations

import pytest

from pvs_bidsapp.settings import Analysis, Execution, Settings


@pytest.fixture
def settings(tmp_path):
    analysis = Analysis(
        model_name='m', model_version='1', model_sha256='abc', model_dir=str(tmp_path / 'm'),
        channels=('T1w',), threshold=0.5, min_cluster_size=0.0, random_seed=1, modality='T1w', version='1',
    )  # fmt: skip
    execution = Execution(
        nprocs=1, omp_nthreads=1, memory_gb=4.0, device='cpu', work_dir=tmp_path / 'work', clean_workdir=True
    )
    return Settings(
        bids_dir=tmp_path / 'bids', out_dir=tmp_path / 'out', analysis=analysis, execution=execution
    )
