"""Removal of site effects from regional measures by ComBat (Johnson et al. 2007; Fortin et al. 2018)."""

from __future__ import annotations

import contextlib
import importlib.util
import io

import numpy as np
import pandas as pd

from ..messages import people
from ..messages.people import listed
from .design import Design, dependent_terms, of_covariates
from .exclusions import level_text
from .measures import outcomes_in, transformed

#: Columns that are harmonized.
MEASURES = ('volume_mm3', 'volume_fraction')


def check_sites(scans: pd.DataFrame, site: str, keep: Design) -> None:
    """Whether the effects of sites can be told from those of the covariates that are kept.

    Parameters
    ----------
    scans : DataFrame
        One row per person, with a value in all these columns.
    site : str
        Column with the site.
    keep : Design
        Terms whose effects are kept.

    Raises
    ------
    InputError
        If there are fewer than two sites of two persons, a covariate follows from the site, or the library is
        not installed.
    """
    if importlib.util.find_spec('neuroCombat') is None:
        raise people.NO_HARMONIZING.error()
    sizes = scans[site].map(level_text).value_counts()
    if len(sizes) < 2 or sizes.min() < 2:
        found = listed(f'{name}: {n}' for name, n in sizes.items()) or 'none'
        raise people.FEW_SITES.error(column=site, sites=found)
    terms = _kept_terms(scans, keep)
    sites = of_covariates([site]).matrix(scans.assign(**{site: scans[site].map(level_text)}))
    # with none that depend on each other without the site, too: these are not the site's fault
    involved = set(dependent_terms(pd.concat([sites, terms], axis=1)))
    if dependent := [name for name in map(str, terms) if name in involved]:
        raise people.SITE_CONFOUNDED.error(column=site, columns=listed(dependent), number=len(scans))


def harmonize(tidy: pd.DataFrame, site: str, keep: Design) -> tuple[pd.DataFrame, list[str]]:
    """Remove the shifts and scales of sites from regional volumes and fractions.

    ComBat is applied to the logarithms that the regression uses (`pvs_bidsapp.group.measures.transformed`),
    to all regions together, and keeps what the covariates explain. Counts are not changed.

    Parameters
    ----------
    tidy : DataFrame
        One row per scan and region, of scans with a site and all covariates; see `check_sites`.
    site : str
        Column with the site.
    keep : Design
        Terms whose effects are kept.

    Returns
    -------
    tidy : DataFrame
    unchanged : list of str
        Measures and regions that are as they were, since they do not vary or lack a value.
    """
    from neuroCombat import neuroCombat

    persons = tidy.drop_duplicates('scan').set_index('scan')
    terms = _kept_terms(persons.reset_index(), keep).set_axis(persons.index)
    covars = terms.assign(**{site: persons[site].map(level_text)})
    out, unchanged = tidy.copy(), []
    key = out['region'] + ' (' + out['hemisphere'] + ')'
    for measure in outcomes_in(tidy, MEASURES):
        # the smallest fraction above 0, by which 0 is replaced, is that of the region, as in the regression
        logs = out.groupby(key, sort=False)[measure].transform(transformed, measure)
        wide = pd.DataFrame({'scan': out['scan'], 'key': key, 'v': logs}).pivot_table(
            'v', 'key', 'scan', dropna=False
        )
        wide = wide[persons.index]
        varying = wide.index[(wide.std(axis=1) > 1e-9) & wide.notna().all(axis=1)]
        if len(varying) < 2:
            varying = varying[:0]
        unchanged += [f'{measure} of {name}' for name in wide.index if name not in varying]
        if not len(varying):
            continue
        with contextlib.redirect_stdout(io.StringIO()):  # neuroCombat prints its steps
            harmonized = neuroCombat(
                dat=wide.loc[varying], covars=covars, batch_col=site,
                continuous_cols=list(terms) or None,
            )['data']  # fmt: skip
        if not np.isfinite(harmonized).all():  # of sites without variance
            unchanged += [f'{measure} of {name}' for name in varying]
            continue
        wide.loc[varying] = harmonized
        rows, columns = wide.index.get_indexer(pd.Index(key)), wide.columns.get_indexer(pd.Index(out['scan']))
        values = np.where(rows >= 0, wide.to_numpy()[rows, columns], np.nan)
        out[measure] = np.exp(values) if measure == 'volume_fraction' else np.expm1(values)
    return out, unchanged


def _kept_terms(people: pd.DataFrame, keep: Design) -> pd.DataFrame:
    """The terms whose effects are kept, standardised, without those that follow from earlier ones."""
    terms = pd.DataFrame(index=people.index)
    if not keep.columns:
        return terms
    matrix = keep.matrix(people)
    centred = matrix - matrix.mean()
    for name in matrix.columns[centred.abs().max() > 1e-9 * matrix.abs().max()]:
        wider = terms.assign(**{name: centred[name] / centred[name].std(ddof=0)})
        if not dependent_terms(wider):
            terms = wider
    return terms
