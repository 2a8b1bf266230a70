"""A small folder of outputs, and all that reads a file of it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pvs_bidsapp.bids.naming import Naming, logs_dir
from pvs_bidsapp.bids.participants import read_participants
from pvs_bidsapp.bids.query import Query, find_scans
from pvs_bidsapp.outputs import records, scan
from pvs_bidsapp.outputs.cohort import read_cohort
from pvs_bidsapp.outputs.dataset import check_own
from pvs_bidsapp.outputs.reports import write_pages
from pvs_bidsapp.settings import Analysis, Execution, Settings
from pvs_bidsapp.simulation.cohort import Effects
from pvs_bidsapp.testing import write_cohort

from .law import check_findings
from .page import check_page


class Outputs:
    """A dataset of three people and its outputs, with all that the program reads of them again.

    Attributes
    ----------
    contents : dict of Path to object
        The files: JSON, or a table as a list of rows.
    """

    def __init__(self, root: Path) -> None:
        write_cohort(root, 3, Effects(), seed=1)
        self.bids, self.out = root / 'bids', root / 'out'
        for folder in sorted(self.bids.glob('sub-*')):
            (folder / 'anat').mkdir()
            image = nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4))
            nib.save(image, folder / 'anat' / f'{folder.name}_T1w.nii.gz')
        self.selection = find_scans(self.bids, Query(use_t2w=False))
        self.settings = make_settings(self.bids, self.out)
        self.done, failed, other = self.selection.scans
        self.names = Naming.of(self.out, self.done.anat)
        for one in (failed, other):
            shutil.rmtree(Naming.of(self.out, one.anat).folder)
        logs_dir(self.out).mkdir()
        failure = {'scan': failed.anat.relative_to(self.bids).as_posix(), 'reason': 'no head'}
        self.contents = self._json() | self._tables()
        self.contents[Naming.of(self.out, failed.anat).failure] = failure
        for path in self.contents:
            self.restore(path)

    def _json(self) -> dict[Path, Any]:
        stats = self.names.anat('stats', '.json', desc='pvs')
        description = self.out / 'dataset_description.json'
        found = {'Code': 'scan-thick', 'Finding': 'voxels of 3 mm', 'Mend': 'numbers are too low'}
        shown = dict.fromkeys(('ModelVersion', 'Device', 'SoftwareVersions', 'TemplateCorrelation'), '1')
        grades = {'potter': {'Description': 'basal ganglia', 'Value': 2}}
        levels = {'Levels': {'F': 'female', 'M': 'male', '-9': 'unknown'}, 'Description': 'sex'}
        files = [p.relative_to(self.out).as_posix() for p in sorted(self.names.folder.rglob('*_desc-pvs_*'))]
        return {
            self.bids / 'participants.json': {
                'sex': levels, 'age': {'Units': 'years'}, 'site': {'Levels': ['s0']},
            },
            self.bids / 'dataset_description.json': json.loads(description.read_text()),
            description: json.loads(description.read_text()),
            stats: json.loads(stats.read_text()) | shown | {
                'InputFindings': [found], 'EstimatedVisualGrades': grades, 'RandomSeed': 1,
            },
            self.names.status: {
                'fingerprint': scan.fingerprint(self.done, self.settings),
                'inputs': self.done.inputs,
                'findings': [{'code': 'scan-thick', 'file': 'a', 'finding': 'b', 'mend': 'c'}],
                'files': files,
            },
            logs_dir(self.out) / 'run_1.json': {'failed': {'sub-00002_T1w.nii.gz': 'no head'}, 'done': 2},
        }  # fmt: skip

    def _tables(self) -> dict[Path, Any]:
        paths = [self.names.anat(suffix, '.tsv', desc='pvs') for suffix in ('stats', 'dseg')]
        return {path: [line.split('\t') for line in path.read_text().splitlines()] for path in paths}

    def restore(self, path: Path) -> None:
        content = self.contents[path]
        text = '\n'.join(map('\t'.join, content)) + '\n' if path.suffix == '.tsv' else json.dumps(content)
        path.write_text(text)

    def calls_on(self, path: Path) -> Iterator[Callable[[], object]]:
        """All that reads one of the files."""
        if path.name == 'participants.json':
            yield lambda: check_findings(read_participants(self.bids).findings)
            return
        if path == self.bids / 'dataset_description.json':
            yield lambda: find_scans(self.bids, Query(use_t2w=False))
            return
        yield lambda: check_findings(read_cohort(None, self.out, (0, 5)).findings)
        if path.name == 'dataset_description.json':
            yield lambda: check_own(self.out)
        elif path.parent.name == 'logs':
            yield lambda: [scan.status(s, self.settings) for s in self.selection.scans]
            yield lambda: check_findings(scan.findings_of(self.done, self.settings))
            yield lambda: records.refuse_other_sources(self.selection, self.settings)
            yield self.write_pages
            yield lambda: records.forget_gone(self.settings, self.selection.subjects)
        else:
            yield self.write_pages

    def write_pages(self) -> None:
        for page in write_pages(self.selection, self.settings, all_records=True):
            check_page(page)


def make_settings(bids: Path, out: Path) -> Settings:
    analysis = Analysis(
        model_name='m', model_version='1', model_sha256='0', model_dir='m', channels=('T1w',), threshold=0.6,
        min_cluster_size=0.0, random_seed=1, modality='T1w', version='1',
    )  # fmt: skip
    execution = Execution(
        nprocs=1, omp_nthreads=1, memory_gb=4.0, device='cpu', work_dir=out / 'work', clean_workdir=True
    )
    return Settings(bids_dir=bids, out_dir=out, analysis=analysis, execution=execution)
