"""The small head, and a run on it that nobody disturbs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import outputs
from faults.runs import run_to_its_end
from faults.small_head import SmallHead, make_small_head


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody has disturbed, and what it left in the work folder.

    Attributes
    ----------
    head : SmallHead
    out, work : Path
    kept : Path
        Copy of `work` as it was after the run.
    """

    head: SmallHead
    out: Path
    work: Path
    kept: Path

    def restore_work(self, *without: str) -> Path:
        """The work folder as it was after the run, without the folders of some steps; returns it."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.kept, self.work)  # with the times of all files
        for step in without:
            shutil.rmtree(self.step(step))
        return self.work

    def step(self, name: str) -> Path:
        """Folder of a step."""
        (folder,) = self.work.glob(f'pvs/*/{name}')
        return folder


@pytest.fixture(scope='session')
def undisturbed(simulated, tmp_path_factory) -> Undisturbed:
    folder = tmp_path_factory.mktemp('undisturbed')
    whole = Undisturbed(
        make_small_head(folder / 'head', simulated=simulated),
        *(folder / name for name in ('out', 'work', 'kept')),
    )
    done = run_to_its_end(whole.head, whole.out, whole.work, keep_work=True)
    assert done.status == 0, done.stderr
    assert not outputs.damaged(whole.out)
    shutil.copytree(whole.work, whole.kept)
    return whole
