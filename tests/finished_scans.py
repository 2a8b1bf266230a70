"""Finished scans as the outputs hold them: a small head with some clusters, its tables and its pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from layouts import put
from phantoms import ball

from pvs_bidsapp.anatomy.regions import REGIONS
from pvs_bidsapp.bids.naming import Naming
from pvs_bidsapp.outputs.region_labels import region_labels
from pvs_bidsapp.reports.figures import draw_all
from pvs_bidsapp.reports.subject_page import CLUSTER_COLUMNS, REGION_COLUMNS
from pvs_bidsapp.reports.viewer import write_images
from pvs_bidsapp.runtime.files import save_image, write_text

SHAPE = (48, 56, 44)
#: Turned a little, with voxels of three sizes, and the first axis to the left.
AFFINE = np.array([[-1.5, 0.1, 0, 40.0], [0.1, 1.6, -0.2, -50.0], [0, 0.2, 1.7, -30.0], [0, 0, 0, 1]])
#: Low corners and sides of the clusters in voxels, largest first.
BOXES = (
    ((20, 20, 20), (8, 2, 2)),
    ((30, 30, 24), (2, 6, 2)),
    ((14, 34, 16), (2, 2, 3)),
    ((26, 14, 28), (2, 1, 1)),
)


def head() -> dict[str, np.ndarray]:
    """Arrays of a head by name, on one grid."""
    brain = ball(SHAPE, (24, 28, 22), 19)
    clusters = np.zeros(SHAPE, np.int32)
    for k, (corner, sides) in enumerate(BOXES, 1):
        clusters[tuple(slice(a, a + n) for a, n in zip(corner, sides, strict=True))] = k
    regions = np.where(brain, REGIONS[0].index, 0).astype(np.uint8)
    regions[24:] = np.where(brain[24:], REGIONS[-1].index, 0)
    waves = np.indices(SHAPE).sum(0) % 7
    t1w = np.where(brain, 100 + 4 * waves, 20).astype(np.float32) - 60 * (clusters > 0)
    probability = (0.9 * (clusters > 0)).astype(np.float32)
    return {
        't1w': t1w, 't2w': 200 - t1w, 'brain': brain.astype(np.uint8), 'regions': regions,
        'clusters': clusters, 'probability': probability,
    }  # fmt: skip


def cluster_rows(clusters: np.ndarray, regions: Sequence[str]) -> list[dict[str, str]]:
    """The cluster table: centres and volumes are those of the image, the rest is made up."""
    rows = []
    for index in range(1, int(clusters.max()) + 1):
        voxels = np.argwhere(clusters == index)
        centre = AFFINE[:3, :3] @ voxels.mean(0) + AFFINE[:3, 3]
        row = dict.fromkeys(CLUSTER_COLUMNS, '0.5') | {
            'index': str(index), 'name': f'PVS{index}', 'hemisphere': 'left',
            'region': regions[(index - 1) % len(regions)],
            'volume_mm3': f'{len(voxels) * abs(np.linalg.det(AFFINE[:3, :3])):.5g}',
            'n_voxels': str(len(voxels)), 'length_mm': f'{1.5 * index:.5g}',
        }  # fmt: skip
        rows.append(row | {f'{axis}_mm': f'{value:.5g}' for axis, value in zip('xyz', centre, strict=True)})
    return rows


def finish_scan(
    out: Path,
    name: str = 'sub-01_T1w.nii.gz',
    *,
    regions: Sequence[str] = ('deep white matter frontal',),
    drawn: bool = True,
) -> Naming:
    """Write what a page, and what reads marks, needs of a finished scan; returns its names."""
    names, arrays = Naming.of(out, Path(name)), head()
    _put_table(names.anat('dseg', '.tsv', desc='pvs'), cluster_rows(arrays['clusters'], regions))
    places = ((regions[0], 'left'), ('all', 'both'))
    rows = [dict.fromkeys(REGION_COLUMNS, '1') | {'region': r, 'hemisphere': h} for r, h in places]
    _put_table(names.anat('stats', '.tsv', desc='pvs'), rows)
    write_text(names.anat('dseg', '.tsv', seg='regions'), region_labels())
    put(names.root, 'dataset_description.json', content=b'{"GeneratedBy": [{"Name": "pvs-bidsapp"}]}')
    stats = {
        'ModelName': 'm', 'Threshold': 0.3,
        'EstimatedVisualGrades': {
            'a': {'Description': 'a grade', 'Value': 2, 'Count': 14, 'Hemisphere': 'left', 'SectionMm': 12.34}
        },
        'InputFindings': [{'Finding': 'it is odd', 'Mend': 'look at it'}],
    }  # fmt: skip
    _put_json(names.anat('stats', '.json', desc='pvs'), stats)
    _put_json(names.anat('dseg', '.json', desc='pvs'), {'region': {'Description': 'where it lies'}})
    analysis = {
        'model_name': 'm',
        'modality': 'T1w',
        'threshold': 0.3,
        'min_cluster_size': 0.0,
        'random_seed': 1,
    }
    _put_json(names.status, {'inputs': {'t1w': [name, 1, 1]}, 'files': [], 'analysis': analysis})
    save_image(names.anat('dseg', desc='pvs'), arrays['clusters'], AFFINE)
    if drawn:
        _draw(names, arrays)
    return names


def _draw(names: Naming, arrays: dict[str, np.ndarray]) -> None:
    folder = names.folder / 'figures'
    folder.mkdir(parents=True, exist_ok=True)
    shared = {key: arrays[key] for key in ('brain', 'regions', 'clusters', 't2w')}
    made = draw_all(arrays['t1w'], AFFINE, folder=folder, **shared)
    scans = {'T1w': arrays['t1w'], 'T2w': shared.pop('t2w')}
    made |= write_images(scans, AFFINE, probability=arrays['probability'], folder=folder, **shared)
    for desc, path in made.items():
        shutil.move(path, names.figure(desc, ''.join(path.suffixes)))


def _put_table(path: Path, rows: list[dict[str, str]]) -> None:
    lines = ['\t'.join(rows[0]), *('\t'.join(row.values()) for row in rows)]
    put(path.parent, path.name, content=('\n'.join(lines) + '\n').encode())


def _put_json(path: Path, content: dict) -> None:
    put(path.parent, path.name, content=json.dumps(content).encode())
