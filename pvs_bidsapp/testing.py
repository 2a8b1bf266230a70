"""Simulated outputs of `pvs participant` (tables only), for tests and benchmarks of the group level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .bids.dataset import describe_derivative
from .bids.naming import Naming, SimulationNaming
from .clusters.tables import to_tsv
from .runtime.files import write_json, write_text
from .simulation.cohort import Effects, draw_tables
from .simulation.subjects import rate


def write_cohort(
    root: Path,
    number: int,
    effects: Effects,
    *,
    seed: int,
    sites: int = 2,
    sessions: int = 1,
    reliability: float = 0.85,
) -> int:
    """Write ``root/bids/participants.tsv`` and the tables in ``root/out``.

    Parameters
    ----------
    root : Path
    number : int
        Number of participants.
    effects : Effects
    seed : int
    sites : int
        Number of sites.
    sessions : int
        Number of sessions of each participant; 1: no session level.
    reliability : float
        Reliability of the visual rating, in [0, 1].

    Returns
    -------
    clusters : int
        Total number of clusters.
    """
    bids, out = root / 'bids', root / 'out'
    rows, total = [], 0
    for k in range(number):
        rng = np.random.default_rng([seed, k])
        label, age, site = f'{k:05d}', round(float(rng.uniform(25, 85)), 1), int(rng.integers(sites))
        (bids / f'sub-{label}').mkdir(parents=True, exist_ok=True)
        volume = 1.2e6 + 1e5 * np.random.default_rng([seed, k, 2]).normal()
        for session in range(sessions):
            entities: tuple[tuple[str, str], ...] = (('sub', label),)
            if sessions > 1:
                entities += (('ses', str(session + 1)),)
            # the same draw for all sessions, of which later ones differ little
            clusters, regions = draw_tables(np.random.default_rng([seed, k, 1]), age, site, effects)
            if session:
                clusters = clusters.iloc[: int(len(clusters) * rng.uniform(0.9, 1.0))]
                regions = regions.assign(count=(regions['count'] * rng.uniform(0.9, 1.0)).round())
            _write_scan(Naming(out, entities), clusters, regions, volume)
            total += len(clusters)
        deep = int(regions.query('region == "deep white matter" and hemisphere == "both"')['count'].iloc[0])
        rows.append(
            [f'sub-{label}', age, 'FM'[int(rng.integers(2))], f's{site}', rate(deep, reliability, rng)]
        )
    table = pd.DataFrame(rows, columns=['participant_id', 'age', 'sex', 'site', 'rating'])
    write_text(SimulationNaming(bids).participants(), table.to_csv(sep='\t', index=False))
    describe_derivative(out, 'simulated tables', bids)
    return total


def _write_scan(names: Naming, clusters: pd.DataFrame, regions: pd.DataFrame, brain_volume: float) -> None:
    write_text(names.anat('dseg', '.tsv', desc='pvs'), to_tsv(clusters))
    write_text(names.anat('stats', '.tsv', desc='pvs'), to_tsv(regions))
    sidecar = {
        'ModelName': 'none',
        'ModelSHA256': '0',
        'Threshold': 0.6,
        'MinimumClusterSize': 0.0,
        'BrainMaskVolume': brain_volume,
    }
    write_json(names.anat('stats', '.json', desc='pvs'), sidecar)
