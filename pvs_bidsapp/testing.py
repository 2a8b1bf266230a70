"""Write the tables of a simulated cohort as `participant` would: for tests and benchmarks of `group`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .bids.dataset import describe_derivative
from .bids.naming import Naming
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
        Of people.
    effects : Effects
    seed, sites, sessions : int
    reliability : float
        Of the visual rating.

    Returns
    -------
    clusters : int
        Number of clusters in all.
    """
    bids, out = root / 'bids', root / 'out'
    rows, total = [], 0
    for k in range(number):
        rng = np.random.default_rng([seed, k])
        label, age, site = f'{k:05d}', round(float(rng.uniform(25, 85)), 1), int(rng.integers(sites))
        (bids / f'sub-{label}').mkdir(parents=True, exist_ok=True)
        for session in range(sessions):
            entities: tuple[tuple[str, str], ...] = (('sub', label),)
            if sessions > 1:
                entities += (('ses', str(session + 1)),)
            own = np.random.default_rng([seed, k, 1])  # sessions differ a little, people a lot
            clusters, regions = draw_tables(own, age, site, effects)
            if session:
                clusters = clusters.iloc[: int(len(clusters) * rng.uniform(0.9, 1.0))]
                regions = regions.assign(count=(regions['count'] * rng.uniform(0.9, 1.0)).round())
            names = Naming(out, entities)
            write_text(names.anat('dseg', '.tsv', desc='pvs'), to_tsv(clusters))
            write_text(names.anat('stats', '.tsv', desc='pvs'), to_tsv(regions))
            volume = 1.2e6 + 1e5 * np.random.default_rng([seed, k, 2]).normal()
            write_json(names.anat('stats', '.json', desc='pvs'), {
                'ModelName': 'none', 'ModelSHA256': '0', 'Threshold': 0.6, 'MinimumClusterSize': 0.0,
                'BrainMaskVolume': volume,
            })  # fmt: skip
            total += len(clusters)
        deep = int(regions.query('region == "deep white matter" and hemisphere == "both"')['count'].iloc[0])
        rows.append(
            [f'sub-{label}', age, 'FM'[int(rng.integers(2))], f's{site}', rate(deep, reliability, rng)]
        )
    table = pd.DataFrame(rows, columns=['participant_id', 'age', 'sex', 'site', 'rating'])
    write_text(bids / 'participants.tsv', table.to_csv(sep='\t', index=False))
    describe_derivative(out, 'simulated tables', bids)
    return total
