"""What the tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from faults.small_head import simulate_small_heads
from filelock import FileLock

# A shell that starts the tests in the background makes them ignore Ctrl-C, as would all programs that they
# start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / 'shared' / 'data'


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Real scans and layouts for development, which are not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip(f'real data not present ({SHARED}): this test did not run')
    return SHARED


@pytest.fixture(scope='session')
def simulated(tmp_path_factory, worker_id) -> Path:
    """A small head, simulated by the first process of the tests that asks for it."""
    root = tmp_path_factory.getbasetemp()
    if worker_id != 'master':
        root = root.parent  # that of all processes
    folder = root / 'simulated'
    with FileLock(root / 'simulated.lock'):
        return folder if folder.is_dir() else simulate_small_heads(folder)


@pytest.fixture
def ball_scan(tmp_path: Path) -> Path:
    """A small image with a bright ball, saved as T1w."""
    grid = np.indices((40, 40, 40)) - 20
    data = 100 * ((grid**2).sum(0) < 15**2).astype(np.float32)
    path = tmp_path / 'sub-01_T1w.nii.gz'
    nib.save(nib.Nifti1Image(data, np.diag([4, 4, 4, 1])), path)
    return path
