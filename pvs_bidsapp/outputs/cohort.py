"""Reading the outputs of ``participant`` for the group level."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..anatomy import template
from ..bids.naming import logs_dir, parse_entities
from ..bids.participants import read_participants
from ..errors import InputError
from ..group import maps
from ..group.cohort import Cohort
from ..group.collect import DEEP, collect, count_clusters

LOG = logging.getLogger(__name__)
SUFFIX = '_desc-pvs_stats.tsv'
#: Scans whose cluster tables are held at a time.
CHUNK = 500
_CLUSTER_COLUMNS = ['region', 'volume_mm3', 'max_probability', *maps.COLUMNS]


def read_cohort(bids_dir: Path | None, out_dir: Path, sizes: Sequence[float]) -> Cohort:
    """Read every finished scan of an output folder.

    Parameters
    ----------
    bids_dir : Path or None
        None: the dataset named in the description of the outputs.
    out_dir : Path
    sizes : sequence of float
        Cluster-size filters in mm3.

    Raises
    ------
    InputError
        If no scan is done, or scans were done with different models or thresholds.
    """
    files = sorted(out_dir.glob(f'sub-*/**/*{SUFFIX}'))
    if not files:
        raise InputError(f'{out_dir}: no results of `participant` in it; run that first')
    bids_dir = bids_dir or _raw_dataset(out_dir)
    people = read_participants(bids_dir) if bids_dir else None
    names = [p.name.removesuffix(SUFFIX) for p in files]
    sidecars = {name: _sidecar(path) for name, path in zip(names, files, strict=True)}
    model = _model_of(sidecars)
    entities = {name: dict(parse_entities(path.name)) for name, path in zip(names, files, strict=True)}
    regions, _ = read_tables(files)
    rows, voxels = _read_clusters(names, files, sizes, float(model[2]))
    rows.insert(1, 'ICV', [sidecars[name].get('BrainMaskVolume', np.nan) for name in names])
    tidy = collect(regions.assign(scan=np.array(names, object)[regions.pop('table')]), entities, people)
    own = tuple(str(c) for c in people if c != 'participant_id') if people is not None else ()
    return Cohort(
        tidy=tidy,
        scans=_per_scan(tidy, rows),
        voxels=voxels,
        model=model,
        missing=_missing(bids_dir, out_dir, entities),
        columns=own,
    )


def read_tables(
    files: Sequence[Path], columns: Sequence[str] | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Read many small tables with the same columns as one: a hundred times faster than one by one.

    Parameters
    ----------
    files : sequence of Path
    columns : sequence of str, optional
        Those that are wanted; all of them by default.

    Returns
    -------
    table : DataFrame
        With a column ``table``: the index of the file in `files`.
    lengths : ndarray of int
        Rows of each file.

    Raises
    ------
    InputError
        If a file is missing, or its columns differ from the first one's.
    """
    parts, lengths, header = [], [], b''
    for path in files:
        try:
            first, _, rest = path.read_bytes().partition(b'\n')
        except OSError as error:
            raise InputError(f'{path}: missing; run participant again on its scan') from error
        header = header or first
        if first != header:
            raise InputError(
                f'{path}: its columns are not those of {files[0].name}; run participant again on its scan'
            )
        if rest and not rest.endswith(b'\n'):
            rest += b'\n'
        parts.append(rest)
        lengths.append(rest.count(b'\n'))
    stream = io.BytesIO(b'\n'.join([header, b''.join(parts)]))
    wanted = list(columns) if columns is not None else None
    table = pd.read_csv(stream, sep='\t', usecols=wanted, na_values='n/a', low_memory=False)
    table['table'] = np.repeat(np.arange(len(files)), lengths)
    return table, np.array(lengths)


def map_grid() -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine of the frequency maps."""
    atlas = template.load()
    return maps.coarse_grid(atlas.t1w.shape, atlas.affine)


def _read_clusters(
    names: Sequence[str], files: Sequence[Path], sizes: Sequence[float], threshold: float
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Cluster counts of each scan, and the map voxels that its clusters cross; read in chunks of scans."""
    grid = map_grid()
    counts: list[pd.DataFrame] = []
    voxels: dict[str, np.ndarray] = {}
    for start in tqdm(range(0, len(files), CHUNK), desc='clusters', disable=None):
        part = slice(start, start + CHUNK)
        tables = [
            p.with_name(f'{n}_desc-pvs_dseg.tsv') for n, p in zip(names[part], files[part], strict=True)
        ]
        clusters, _ = read_tables(tables, _CLUSTER_COLUMNS)
        counts.append(count_clusters(clusters, len(tables), sizes, threshold))
        found = maps.voxels_of(clusters, clusters['table'].to_numpy(), len(tables), *grid)
        voxels |= dict(zip(names[part], found, strict=True))
    rows = pd.concat(counts, ignore_index=True)
    rows.insert(0, 'scan', list(names))
    return rows, voxels


def _per_scan(tidy: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Totals of each scan with its cluster counts; deep white matter under names of its own."""
    whole = tidy[(tidy['region'] == 'all') & (tidy['hemisphere'] == 'both')]
    deep = tidy[(tidy['region'] == DEEP) & (tidy['hemisphere'] == 'both')].set_index('scan')
    scans = whole.drop(columns=['region', 'hemisphere']).merge(counts, on='scan')
    for measure in ('count', 'volume_mm3', 'volume_fraction'):
        scans[f'dwm_{measure}'] = scans['scan'].map(deep[measure])
    return scans


def _sidecar(table: Path) -> dict[str, Any]:
    path = table.with_suffix('.json')
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise InputError(f'{path}: missing or damaged; run participant again on it') from error


def _model_of(sidecars: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    """Model and thresholds of the masks; results of different ones are not combined."""
    seen: dict[tuple[str, ...], list[str]] = {}
    for name, content in sidecars.items():
        keys = ('ModelName', 'ModelSHA256', 'Threshold', 'MinimumClusterSize')
        seen.setdefault(tuple(str(content.get(k)) for k in keys), []).append(name)
    if len(seen) > 1:
        found = '; '.join(f'{k[0]} at {k[2]}: {len(v)} scans, e.g. {v[0]}' for k, v in seen.items())
        raise InputError(
            f'scans were done with different models or settings ({found}); run participant again on all'
        )
    return next(iter(seen))


def _missing(bids_dir: Path | None, out_dir: Path, entities: dict[str, dict[str, str]]) -> dict[str, str]:
    if bids_dir is None:
        return {}
    done = {f'sub-{e["sub"]}' for e in entities.values()}
    reasons: dict[str, str] = {}
    for path in sorted(logs_dir(out_dir).glob('run_*.json')):
        record = json.loads(path.read_text(encoding='utf-8'))
        reasons |= {name.split('_')[0]: reason for name, reason in record.get('failed', {}).items()}
    waiting = sorted(p.name for p in bids_dir.glob('sub-*') if p.is_dir() and p.name not in done)
    found = {}
    for name in waiting:
        has_t1w = any(bids_dir.glob(f'{name}/**/*_T1w.nii*'))
        found[name] = reasons.get(name, 'not run') if has_t1w else 'no T1w'
    return found


def _raw_dataset(out_dir: Path) -> Path | None:
    try:
        content = json.loads((out_dir / 'dataset_description.json').read_text(encoding='utf-8'))
        folder = Path(unquote(urlparse(content['DatasetLinks']['raw']).path))
    except (OSError, ValueError, KeyError):
        return None
    return folder if folder.is_dir() else None
