"""Removal of site effects from regional measures by ComBat (Johnson et al. 2007; Fortin et al. 2018)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import InputError
from .regression import transformed

#: Columns that are harmonized.
MEASURES = ('volume_mm3', 'volume_fraction')


def harmonize(tidy: pd.DataFrame, site: str, keep: Sequence[str]) -> pd.DataFrame:
    """Remove the shifts and scales of sites from regional volumes and fractions.

    ComBat is applied to the logarithms that the regression uses (`pvs_bidsapp.group.regression.transformed`),
    to all regions together, and keeps what the covariates explain. Counts are not changed.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region.
    site : str
        Column with the site.
    keep : sequence of str
        Covariates whose effects are kept.

    Returns
    -------
    tidy : DataFrame
        Without the scans that lack the site or a covariate.

    Raises
    ------
    InputError
        If the library is not installed, or there are fewer than two sites of two scans.
    """
    try:
        from neuroCombat import neuroCombat
    except ImportError as error:
        raise InputError(
            "--harmonize needs the library neuroCombat: pip install 'pvs-bidsapp[harmonize]'"
        ) from error
    tidy = tidy.dropna(subset=[site, *keep])
    people = tidy.drop_duplicates('scan').set_index('scan')
    sizes = people[site].astype(str).value_counts()
    if len(sizes) < 2 or sizes.min() < 2:
        raise InputError(
            f'--harmonize {site}: at least two sites of two scans each are needed; found {sizes.to_dict()}'
        )
    covars = people[[site, *keep]].astype({site: str})
    numeric = [c for c in keep if pd.api.types.is_numeric_dtype(people[c])]
    categorical = [c for c in keep if c not in numeric]
    out = tidy.copy()
    key = out['region'] + '|' + out['hemisphere']
    for measure in MEASURES:
        logs = transformed(out[measure], measure)
        wide = pd.DataFrame({'scan': out['scan'], 'key': key, 'v': logs}).pivot_table('v', 'key', 'scan')
        wide = wide[people.index]
        varying = wide.index[(wide.std(axis=1) > 1e-9) & wide.notna().all(axis=1)]
        if len(varying) < 2:
            continue
        with contextlib.redirect_stdout(io.StringIO()):  # neuroCombat prints its steps
            harmonized = neuroCombat(
                dat=wide.loc[varying], covars=covars, batch_col=site,
                continuous_cols=numeric or None, categorical_cols=categorical or None,
            )['data']  # fmt: skip
        wide.loc[varying] = harmonized
        rows, columns = wide.index.get_indexer(pd.Index(key)), wide.columns.get_indexer(pd.Index(out['scan']))
        values = np.where(rows >= 0, wide.to_numpy()[rows, columns], np.nan)
        out[measure] = np.expm1(values) if measure == 'volume_mm3' else np.exp(values)
    return out
