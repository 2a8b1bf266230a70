"""Options and results of the group level."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..messages.message import Finding
from .distributions import MatchingRule
from .exclusions import exclusion_table
from .ratings import RatingFit


@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Options of the group level: outputs and statistics.

    Attributes
    ----------
    bids_dir : Path or None
        None: the dataset that the outputs name.
    out_dir : Path
        BIDS dataset, and output folder with its finished scans.
    size_filters : tuple of float
        Smallest volumes of clusters that are counted, in mm3.
    cohort : str or None
        Column whose values name the groups of persons that are compared.
    compare : dict of str to Path
        Further cohorts: output folders by name.
    match : tuple of str
        Columns on which cohorts are matched.
    rating : str or None
        Column with a visual rating.
    covariates : tuple of str
        Columns that are the terms of the regression.
    formula : str or None
        Right-hand side of the regression's formula, in place of `covariates`.
    harmonize : str or None
        Column with the site.
    site : str or None
        Column with the site, by which effect sizes are given.
    time : str or None
        Column with the time of each scan: years, or dates.
    """

    bids_dir: Path | None
    out_dir: Path
    size_filters: tuple[float, ...] = (0, 5, 10, 15)
    cohort: str | None = None
    compare: dict[str, Path] = field(default_factory=dict)
    match: tuple[str, ...] = ()
    rating: str | None = None
    covariates: tuple[str, ...] = ()
    formula: str | None = None
    harmonize: str | None = None
    site: str | None = None
    time: str | None = None


@dataclass(kw_only=True)
class GroupResults:
    """Results that the page shows; None for statistics that were not requested.

    Attributes
    ----------
    summary : DataFrame
        By region: number of scans, and median, mean and standard deviation of count and volume.
    outliers, repeated : DataFrame
        Scans far from the others; agreement of two scans of one person.
    comparison : DataFrame or None
        Kolmogorov-Smirnov comparison of the cohorts.
    rating : DataFrame or None
        Ordinal regression of the visual rating, by probability threshold.
    rating_fit : RatingFit or None
        The fit at the threshold of the masks.
    regression : DataFrame or None
        Regression on the covariates, by region and outcome.
    table_one : DataFrame or None
        Who the people of each cohort are; see `pvs_bidsapp.group.table_one`.
    effects : DataFrame or None
        Standardised differences of the cohorts; see `pvs_bidsapp.group.effects`.
    sites : DataFrame or None
        Effect sizes by site; see `pvs_bidsapp.group.sites`.
    mixed : DataFrame or None
        Mixed models of all scans; see `pvs_bidsapp.group.mixed`.
    change : DataFrame or None
        Change per year; see `pvs_bidsapp.group.change`.
    maps : dict of str to ndarray
        Frequency maps by cohort, in [0, 1].
    masked : frozenset of str
        Scans that are in the maps with their masks in the template's space; the others with lines.
    cohorts : dict of str to DataFrame
        One row for each person.
    matching : dict of str to MatchingRule
        How cohorts were matched, by column.
    exclusions : DataFrame
        Scans and people that an analysis leaves out, with the reasons; see `pvs_bidsapp.group.exclusions`.
    findings : list of Finding
        What was found in the inputs and is worth a word.
    notes : list of str
        Sentences for the page.
    """

    summary: pd.DataFrame
    outliers: pd.DataFrame
    repeated: pd.DataFrame
    comparison: pd.DataFrame | None = None
    rating: pd.DataFrame | None = None
    rating_fit: RatingFit | None = None
    regression: pd.DataFrame | None = None
    table_one: pd.DataFrame | None = None
    effects: pd.DataFrame | None = None
    sites: pd.DataFrame | None = None
    mixed: pd.DataFrame | None = None
    change: pd.DataFrame | None = None
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    masked: frozenset[str] = frozenset()
    cohorts: dict[str, pd.DataFrame] = field(default_factory=dict)
    matching: dict[str, MatchingRule] = field(default_factory=dict)
    exclusions: pd.DataFrame = field(default_factory=lambda: exclusion_table([]))
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
