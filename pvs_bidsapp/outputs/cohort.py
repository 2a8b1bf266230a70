"""Reading the outputs of ``participant`` for the group level."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..anatomy import template
from ..anatomy.template import SPACE
from ..bids.naming import Naming
from ..bids.participants import Participants, read_participants, similar_labels
from ..bids.sessions import read_sessions
from ..clusters.tables import REGION_COLUMNS
from ..clusters.visual_grades import GRADES
from ..errors import ImageError, InputError, PVSError
from ..group import maps
from ..group.cohort import Cohort, MaskSettings
from ..group.collect import DEEP, collect, count_clusters
from ..group.exclusions import level_text
from ..group.standard import COLUMNS as STANDARD_COLUMNS
from ..group.standard import laws_of, standardize
from ..messages import people
from ..messages.message import Finding, one_line
from ..messages.people import listed
from ..runtime.files import read_image
from ..segmentation.model import bundled_card
from .result_tables import (
    check_totals,
    find_results,
    read_rows,
    read_sidecar,
    read_tables,
    with_other_columns,
)
from .unfinished import find_unfinished, split_finished

LOG = logging.getLogger(__name__)
#: Scans whose cluster tables are held at a time.
CHUNK = 500
_CLUSTER_COLUMNS = ('region', 'volume_mm3', 'max_probability', *maps.COLUMNS)
#: Names of columns of the results, which columns of participants.tsv cannot have.
_RESULTS = (*REGION_COLUMNS, *STANDARD_COLUMNS.values(), *GRADES)
_TAKEN = re.compile(
    rf'scan|table|session_id|ICV|dwm_.*|count_p?[\d.eE+-]+|{"|".join(map(re.escape, _RESULTS))}'
)


def read_cohort(bids_dir: Path | None, out_dir: Path, sizes: Sequence[float]) -> Cohort:
    """Read every finished scan of an output folder; one whose results are damaged is left out.

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
        If no scan is done or all results are damaged, scans were done with different models or thresholds,
        or ``participants.tsv`` is no table.
    """
    results, findings = find_results(out_dir)
    finished, more = split_finished(results, out_dir)
    findings += more
    files = {n: path for n, path in results.items() if n in finished}
    if not files:
        raise people.NO_RESULTS.error(out_dir)
    bids_dir = _dataset(bids_dir, out_dir, findings)
    listing = read_participants(bids_dir) if bids_dir else Participants(path=out_dir)
    findings += listing.findings
    read, damaged = _read_undamaged(files, sizes)
    findings += [*damaged.values(), *read.findings]
    scans, regions = read.scans, read.regions
    taken = {*regions.columns, *read.quality.columns}
    joined = _join_people(listing, {names.subject for names in scans}, taken, findings)
    names_of = np.array([names.stem for names in scans], object)
    entities = {names.stem: dict(names.entities) for names in scans}
    tidy = collect(regions.assign(scan=names_of[regions.pop('table')]), entities, joined.table)
    tidy = _with_standard(tidy, names_of, read)
    if bids_dir is not None:
        sessions = read_sessions(bids_dir, scans)
        findings += sessions.findings
        tidy, joined = _with_sessions(tidy, sessions.table, joined, bids_dir, findings)
    missing, without_t1w, more = find_unfinished(bids_dir, out_dir, files, results)
    findings += more
    missing = dict(sorted({**missing, **{n.stem: _in_words(found) for n, found in damaged.items()}}.items()))
    return Cohort(
        tidy=tidy, scans=_per_scan(tidy, read.rows.join(read.quality)), voxels=read.voxels, masks=read.masks,
        missing=missing, damaged=tuple(names.stem for names in damaged),
        columns=joined.columns, renamed=joined.renamed, coded=joined.coded, measured=joined.measured,
        without_scans=without_t1w | _without_folder(joined, missing, without_t1w, scans),
        unlisted=joined.unlisted, listed=joined.listed, hint=joined.hint, masked=read.masked,
        findings=tuple(findings),
    )  # fmt: skip


def _with_standard(tidy: pd.DataFrame, stems: np.ndarray, read: _Results) -> pd.DataFrame:
    """Add the measures at the reference quality, if it is known how those of the model follow the quality."""
    card = bundled_card(read.masks.sha256)
    if card is None or card.standard is None or 'qc_noise_to_csf' not in read.quality:
        return tidy
    quality = read.quality[['qc_noise_to_csf', 'qc_voxel_mm3']].set_axis(['noise', 'voxel_mm3'], axis=1)
    return standardize(tidy, quality.set_index(stems), laws_of(card.standard))


def map_grid() -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine of the frequency maps."""
    atlas = template.load()
    return maps.coarse_grid(atlas.t1w.shape, atlas.affine)


@dataclass(frozen=True, kw_only=True)
class _Results:
    """What is read of scans: regions by scan, counts and quality one row a scan, and voxels of maps."""

    scans: list[Naming]
    masks: MaskSettings
    regions: pd.DataFrame
    rows: pd.DataFrame
    quality: pd.DataFrame
    voxels: dict[str, np.ndarray]
    masked: frozenset[str]
    findings: list[Finding]


def _read_undamaged(
    files: Mapping[Naming, Path], sizes: Sequence[float]
) -> tuple[_Results, dict[Naming, Finding]]:
    """Read the results of all scans but those that are damaged, and what is wrong with these."""
    try:
        return _read_results(files, sizes), {}
    except PVSError as error:
        if not _is_damage(error):
            raise
        damaged = _find_damaged(files, sizes)
        sound = {names: path for names, path in files.items() if names not in damaged}
        if not sound:
            raise
    for finding in damaged.values():
        LOG.error('%s', finding)
    return _read_results(sound, sizes), damaged


def _in_words(damage: Finding) -> str:
    """Why a scan has no results, without the folder of the file."""
    return one_line(f'{Path(damage.file).name} {damage.finding}; {damage.mend}')


def _is_damage(error: PVSError) -> bool:
    """Whether an error says that the files of one scan cannot be used."""
    codes = (people.RESULT_DAMAGED.code, people.RESULT_MISSING.code)
    return isinstance(error, ImageError) or getattr(error.finding, 'code', '') in codes


def _find_damaged(files: Mapping[Naming, Path], sizes: Sequence[float]) -> dict[Naming, Finding]:
    """Read the results of each scan by themselves, which takes longer; what is wrong with the damaged."""
    damaged: dict[Naming, Finding] = {}
    for names, path in files.items():
        try:
            _read_results({names: path}, sizes)
        except (InputError, ImageError) as error:
            damaged[names] = error.finding
    sound = [names for names in files if names not in damaged]
    for tables in (
        {files[names]: names for names in sound},
        {names.anat('dseg', '.tsv', desc='pvs'): names for names in sound},
    ):
        for path in with_other_columns(list(tables)):
            reason = 'its columns are not those of the other scans'
            damaged.setdefault(tables[path], people.RESULT_DAMAGED.finding(path, reason=reason))
    return damaged


def _read_results(files: Mapping[Naming, Path], sizes: Sequence[float]) -> _Results:
    sidecars = {names: read_sidecar(path.with_suffix('.json')) for names, path in files.items()}
    masks, scans = _settings_of(sidecars), list(files)
    regions, _ = read_tables(list(files.values()), list(REGION_COLUMNS))
    check_totals(regions, list(files.values()), ('all', DEEP))
    rows, voxels, masked = _read_clusters(scans, sizes, float(masks.threshold))
    rows.insert(1, 'ICV', [sidecars[names]['BrainMaskVolume'] for names in scans])
    grades = pd.DataFrame([sidecars[names]['grades'] for names in scans])
    if grades.notna().any(axis=None):  # not of versions without them
        rows = rows.join(grades)
    quality = _read_quality(scans)
    return _Results(
        scans=scans, masks=masks, regions=regions, rows=rows, quality=quality, voxels=voxels, masked=masked,
        findings=_mixed_precision(sidecars),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _People:
    """The table of participants under names that the results leave free; see `Cohort`."""

    table: pd.DataFrame | None = None
    columns: tuple[str, ...] = ()
    renamed: dict[str, str]
    coded: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    unlisted: frozenset[str] = frozenset()
    listed: tuple[str, ...] = ()
    hint: str = ''


def _join_people(
    listing: Participants, subjects: Collection[str], taken: Collection[str], findings: list[Finding]
) -> _People:
    if listing.table is None:
        return _People(renamed={}, unlisted=frozenset(subjects))
    table, new_names = listing.table, {}
    for name in table.columns:
        free = str(name)
        while _TAKEN.fullmatch(free) or free in taken or (free != name and free in table):
            free = f'participants_{free}'
        if free != name:
            new_names[str(name)] = free
            findings.append(people.COLUMN_TAKEN.log(LOG, listing.path, column=name, name=free))
    ids = tuple(map(str, table['participant_id']))
    unlisted = frozenset(subjects) - set(ids)
    similar = similar_labels(ids, sorted(unlisted))
    hint = '; ' + listed(f'{here} may be its {there}' for here, there in similar.items()) if similar else ''
    if unlisted == set(subjects):
        shown = {'listed': listed(ids), 'people': listed(sorted(subjects)), 'hint': hint}
        findings.append(people.NOBODY_MATCHES.log(LOG, listing.path, **shown))
    elif unlisted:
        shown = {'people': listed(sorted(unlisted)), 'hint': hint}
        findings.append(people.UNKNOWN_PEOPLE.log(LOG, listing.path, count=len(unlisted), **shown))
    return _People(
        table=table.rename(columns=new_names),
        columns=tuple(new_names.get(str(c), str(c)) for c in table if c != 'participant_id'),
        renamed={free: name for name, free in new_names.items()},
        coded=frozenset(new_names.get(c, c) for c in listing.coded),
        measured=frozenset(new_names.get(c, c) for c in listing.measured),
        unlisted=unlisted, listed=ids, hint=hint,
    )  # fmt: skip


def _with_sessions(
    tidy: pd.DataFrame, sessions: pd.DataFrame, joined: _People, bids_dir: Path, findings: list[Finding]
) -> tuple[pd.DataFrame, _People]:
    """Join what is known of single scans; a value of the session goes before that of the person."""
    known = {joined.renamed.get(c, c): c for c in joined.columns}
    added, renamed = {}, {}
    for name in sessions:
        values = sessions[name]
        own = known.get(str(name))
        if own in joined.coded:
            values = values.map(level_text, na_action='ignore')
        values = tidy['scan'].map(values)
        if own and pd.api.types.is_numeric_dtype(values) == pd.api.types.is_numeric_dtype(tidy[own]):
            differs = values.notna() & (values != tidy[own])
            count = tidy.loc[differs, 'scan'].nunique()
            if count:
                findings.append(people.SESSION_VALUES.log(LOG, bids_dir, column=own, count=count))
            added[own] = values.where(values.notna(), tidy[own])
            continue
        free = str(name)
        while _TAKEN.fullmatch(free) or free in tidy or free in added:
            free = f'session_{free}'
        added[free] = values
        if free != name:
            renamed[free] = str(name)
    columns = tuple(dict.fromkeys((*joined.columns, *added)))
    return tidy.assign(**added), replace(joined, columns=columns, renamed=joined.renamed | renamed)


def _without_folder(
    joined: _People, missing: Mapping[str, str], others: Collection[str], scans: Sequence[Naming]
) -> dict[str, str]:
    """People in participants.tsv of whom there is no scan, finished or not."""
    known = {names.subject for names in scans} | {stem.split('_')[0] for stem in missing} | set(others)
    return {who: 'in participants.tsv, but without a scan' for who in joined.listed if who not in known}


def _read_clusters(
    scans: Sequence[Naming], sizes: Sequence[float], threshold: float
) -> tuple[pd.DataFrame, dict[str, np.ndarray], frozenset[str]]:
    """Cluster counts of each scan, the map voxels that its clusters cross, and the scans with a mask for it.

    Tables are read in chunks of scans.
    """
    grid = map_grid()
    counts: list[pd.DataFrame] = []
    voxels: dict[str, np.ndarray] = {}
    masked: dict[str, np.ndarray] = {}
    for start in tqdm(range(0, len(scans), CHUNK), desc='clusters', disable=None):
        part = scans[start : start + CHUNK]
        tables = [names.anat('dseg', '.tsv', desc='pvs') for names in part]
        clusters, _ = read_tables(tables, _CLUSTER_COLUMNS, only=True)
        counts.append(count_clusters(clusters, len(tables), sizes, threshold))
        found = maps.voxels_of(clusters, clusters['table'].to_numpy(), len(tables), *grid)
        voxels |= {names.stem: lines for names, lines in zip(part, found, strict=True)}
        of_masks = ((names.stem, _voxels_of_mask(names, *grid)) for names in part)
        masked |= {stem: own for stem, own in of_masks if own is not None}
    rows = pd.concat(counts, ignore_index=True)
    rows.insert(0, 'scan', [names.stem for names in scans])
    return rows, voxels | masked, frozenset(masked)


def _read_quality(scans: Sequence[Naming]) -> pd.DataFrame:
    """Measures of quality of each scan, in columns ``qc_*``, and how many of them are out of range.

    Scans that an earlier version has finished have none.
    """
    rows = []
    for names in scans:
        path = names.anat('stats', '.tsv', desc='qc')
        table = read_rows(path, ('metric', 'value', 'finding')) if path.exists() else []
        row = {f'qc_{r["metric"]}': pd.to_numeric(r['value'], errors='coerce') for r in table}
        rows.append(row | {'qc_out_of_range': sum(r['finding'] != 'n/a' for r in table) if table else np.nan})
    found = pd.DataFrame(rows)
    return found if found.notna().any(axis=None) else pd.DataFrame(index=range(len(scans)))


def _per_scan(tidy: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Totals of each scan with its cluster counts; deep white matter under names of its own."""
    whole = tidy[(tidy['region'] == 'all') & (tidy['hemisphere'] == 'both')]
    deep = tidy[(tidy['region'] == DEEP) & (tidy['hemisphere'] == 'both')].set_index('scan')
    scans = whole.drop(columns=['region', 'hemisphere']).merge(counts, on='scan')
    for measure in ('count', 'volume_mm3', 'volume_fraction'):
        scans[f'dwm_{measure}'] = scans['scan'].map(deep[measure])
    return scans


def _settings_of(sidecars: Mapping[Naming, dict[str, Any]]) -> MaskSettings:
    """Model and settings of the masks; results of different ones are not combined."""
    seen: dict[MaskSettings, list[str]] = {}
    for names, content in sidecars.items():
        keys = ('ModelName', 'ModelSHA256', 'Threshold', 'MinimumClusterSize')
        model, sha256, threshold, smallest = (str(content.get(key)) for key in keys)
        masks = MaskSettings(
            model=model, sha256=sha256, threshold=threshold, min_cluster_size=smallest,
            excluded_wmh=str(content.get('ExcludedFromLesionShare') or ''),
            use=str(content.get('ModelUse') or ''),
        )  # fmt: skip
        seen.setdefault(masks, []).append(names.stem)
    if len(seen) > 1:
        found = '; '.join(f'{masks}: {len(scans)} scans, e.g. {scans[0]}' for masks, scans in seen.items())
        raise people.RESULTS_MIXED.error(found=found)
    return next(iter(seen))


def _mixed_precision(sidecars: Mapping[Naming, dict[str, Any]]) -> list[Finding]:
    """What there is to say if some masks were computed on a GPU in half precision, and others were not."""
    seen = Counter(str(content['Precision']) for content in sidecars.values() if content['Precision'])
    if len(seen) < 2:
        return []
    return [people.PRECISION_MIXED.log(LOG, found=', '.join(f'{n} in {name}' for name, n in seen.items()))]


def _dataset(given: Path | None, out_dir: Path, findings: list[Finding]) -> Path | None:
    """The dataset from which results were made: the one that is given, or else the recorded one."""
    recorded = _recorded_dataset(out_dir)
    if given is None:
        if recorded is not None and not os.path.isdir(recorded):
            findings.append(people.NO_DATASET.log(LOG, out_dir, folder=recorded))
            return None
        return recorded
    both = [p for p in (recorded, given) if p is not None and os.path.isdir(p)]
    if len(both) == 2 and not os.path.samefile(*both):
        findings.append(people.OTHER_DATASET.log(LOG, out_dir, recorded=recorded, given=given))
    return given


def _recorded_dataset(out_dir: Path) -> Path | None:
    try:
        content = json.loads((out_dir / 'dataset_description.json').read_text(encoding='utf-8'))
        return Path(unquote(urlparse(content['DatasetLinks']['raw']).path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _voxels_of_mask(names: Naming, shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray | None:
    """Map voxels that a scan's mask in the template's space touches; None where there is no mask."""
    path = names.anat('mask', space=SPACE, label='PVS')
    if not path.exists():
        return None
    mask, own = read_image(path)
    return maps.voxels_of_mask(mask > 0, own, shape, affine)
