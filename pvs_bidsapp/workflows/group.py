"""Cohort tables and page from the outputs of ``participant``."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader

from .. import __version__
from ..bids.files import write_json, write_text
from ..bids.naming import parse_entities
from ..clusters.tables import REGION_COLUMNS, describe, to_tsv
from ..errors import InputError
from ..group.collect import collect, summarise

LOG = logging.getLogger(__name__)
SUFFIX = '_desc-pvs_stats.tsv'


def run_group(bids_dir: Path, out_dir: Path) -> Path:
    """Write ``group_regions.tsv``, ``group_summary.tsv`` and ``group.html``; returns the page.

    Raises
    ------
    InputError
        If no scan is done, or scans were done with different models or thresholds.
    """
    files = sorted(out_dir.glob(f'sub-*/**/*{SUFFIX}'))
    if not files:
        raise InputError(f'{out_dir}: no results of `participant` in it; run that first')
    _check_alike(files)
    names = {p.name.removesuffix(SUFFIX): p for p in files}
    tables = {name: pd.read_csv(path, sep='\t', na_values='n/a') for name, path in names.items()}
    entities = {name: dict(parse_entities(path.name)) for name, path in names.items()}
    tidy = collect(tables, entities, _participants(bids_dir))
    summary = summarise(tidy)
    write_text(out_dir / 'group_regions.tsv', to_tsv(tidy))
    write_json(out_dir / 'group_regions.json', describe(REGION_COLUMNS))
    write_text(out_dir / 'group_summary.tsv', to_tsv(summary))
    done = {f'sub-{e["sub"]}' for e in entities.values()}
    missing = sorted({p.name for p in bids_dir.glob('sub-*') if p.is_dir()} - done)
    environment = Environment(loader=PackageLoader('pvs_bidsapp.reports'), autoescape=True)
    totals = tidy[(tidy['region'] == 'all') & (tidy['hemisphere'] == 'both')]
    page = out_dir / 'group.html'
    write_text(page, environment.get_template('group.html').render(
        version=__version__, n_scans=len(names), missing=missing,
        summary=summary.round(2).to_dict('records'), totals=totals.round(3).to_dict('records'),
    ))  # fmt: skip
    return page


def _check_alike(files: list[Path]) -> None:
    """Refuse to put together what different models or thresholds have found."""
    seen: dict[tuple[str, ...], list[str]] = {}
    for path in files:
        sidecar = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
        key = tuple(
            str(sidecar.get(k)) for k in ('ModelName', 'ModelSHA256', 'Threshold', 'MinimumClusterSize')
        )
        seen.setdefault(key, []).append(path.name.removesuffix(SUFFIX))
    if len(seen) > 1:
        kinds = '; '.join(f'{k[0]} at {k[2]}: {len(v)} scans, e.g. {v[0]}' for k, v in seen.items())
        raise InputError(
            f'scans were done with different models or settings ({kinds}); run participant again on all'
        )


def _participants(bids_dir: Path) -> pd.DataFrame | None:
    path = bids_dir / 'participants.tsv'
    if not path.exists():
        LOG.info('%s: not there; tables go without age and sex', path)
        return None
    table = pd.read_csv(path, sep='\t', na_values='n/a', dtype={'participant_id': str}, encoding='utf-8-sig')
    if 'participant_id' not in table:
        LOG.warning('%s: no column participant_id; not used', path)
        return None
    return table
