"""Results of a scan without the steps that find them, for tests of what is done with results."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from layouts import put_images

from pvs_bidsapp.anatomy.volume import SourceGrid
from pvs_bidsapp.clusters.tables import CLUSTER_COLUMNS, REGION_COLUMNS
from pvs_bidsapp.clusters.visual_grades import GRADES
from pvs_bidsapp.outputs.scan import Results
from pvs_bidsapp.settings import Analysis, Execution, Settings

SHAPE, AFFINE = (60, 60, 60), np.diag([3.0, 3.0, 3.0, 1.0])


def make_dataset(root: Path, *subjects: str) -> Path:
    """A dataset with one T1w of each subject; returns its root."""
    return put_images(root, *(f'sub-{s}/anat/sub-{s}_T1w.nii.gz' for s in subjects))


def make_settings(bids: Path, folder: Path) -> Settings:
    """Settings of a run that writes to ``folder/out`` and works in ``folder/work``."""
    analysis = Analysis(
        model_name='m', model_version='1', model_sha256='abc', model_dir='m', channels=('T1w',),
        threshold=0.5, min_cluster_size=0.0, random_seed=1, modality='T1w', version='1',
    )  # fmt: skip
    execution = Execution(
        nprocs=1, omp_nthreads=1, memory_gb=4.0, device='cpu', work_dir=folder / 'work', clean_workdir=True
    )
    return Settings(bids_dir=bids, out_dir=folder / 'out', analysis=analysis, execution=execution)


def make_results(folder: Path) -> Results:
    """Files as the steps leave them in the work folder, on the grid of the scans of `make_dataset`."""
    folder.mkdir(parents=True)
    rng, paths = np.random.default_rng(0), {}
    for name in ('preproc', 'brain', 'tissues', 'regions', 'probability', 'clusters'):
        paths[name], values = folder / f'{name}.nii', np.zeros(SHAPE, np.uint8)
        values[:20, :20, :20] = rng.integers(0, 4, (20, 20, 20))
        nib.save(nib.Nifti1Image(values, AFFINE), paths[name])
    for name, columns in (('cluster_table', CLUSTER_COLUMNS), ('region_table', REGION_COLUMNS)):
        paths[name] = folder / f'{name}.tsv'
        rows = [[*columns], *([str(k)] * len(columns) for k in range(4))]
        paths[name].write_text('\n'.join(map('\t'.join, rows)) + '\n')
    paths['grades'] = folder / 'grades.json'
    grade = {'value': 1, 'count': 2, 'hemisphere': 'left', 'height': 3.0}
    frame = {'origin': [0, 0, 0], 'axes': np.eye(3).tolist()}
    paths['grades'].write_text(json.dumps({'grades': dict.fromkeys(GRADES, grade), 'frame': frame}))
    figures = {'pvs': folder / 'pvs.png'}
    figures['pvs'].write_bytes(b'\x89PNG' + bytes(20_000) + b'IEND\xaeB`\x82')
    source = SourceGrid(shape=SHAPE, affine=AFFINE)
    return Results(
        **paths,
        figures=figures,
        inference={},
        stripped=False,
        source=source,
        step=1.0,
        quality={},
        assessed={'cjv': 0.6, 'snr': 5.0},
        findings=(),
    )
