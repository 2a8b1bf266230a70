"""``pvs BIDS_DIR OUT_DIR group``: statistics of a cohort."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..messages import options
from .arguments import PATH, SIZE, add_option
from .folders import check_input

if TYPE_CHECKING:
    from ..group.results import GroupOptions

#: Name of the cohort of OUT_DIR itself.
THIS_COHORT = 'this'


COLUMNS = """\
A COLUMN is one of participants.tsv or sub-*_sessions.tsv, ICV (the volume of the brain mask), or a
measure of quality (qc_*)."""


def add_options(g: argparse._ArgumentGroup) -> None:
    """Add the options of the group level."""
    add_option(g, '--cohort', metavar='COLUMN', help='compare the groups of people that this column names')
    add_option(
        g, '--compare', action='append', default=[], metavar='NAME=OUT_DIR',
        help='compare with the people of another OUT_DIR, under a name of your choice (may be repeated)',
    )  # fmt: skip
    add_option(
        g, '--match', nargs='+', default=[], metavar='COLUMN',
        help='match the compared groups on these columns, e.g. age sex',
    )  # fmt: skip
    add_option(
        g, '--rating', metavar='COLUMN',
        help='regress this visual rating on the number of clusters in the deep white matter',
    )  # fmt: skip
    add_option(
        g, '--covariates', nargs='+', default=[], metavar='COLUMN',
        help='regress volume, fraction and count of each region on these columns, e.g. age sex ICV',
    )  # fmt: skip
    add_option(
        g, '--formula', metavar='TEXT',
        help='in place of --covariates: right-hand side of a formula, e.g. "age * sex + ICV"',
    )  # fmt: skip
    add_option(
        g, '--harmonize', metavar='COLUMN',
        help='with --covariates or --formula: first remove the effects of this column (site, scanner) from '
        'volumes and fractions, with ComBat',
    )  # fmt: skip
    add_option(
        g, '--site', metavar='COLUMN',
        help='with --cohort, --covariates or --formula: give effect sizes by site, and pooled over sites '
        '(default: the column of --harmonize)',
    )  # fmt: skip
    add_option(
        g, '--time', metavar='COLUMN',
        help='for people with several scans: give the change per year; the column holds years (age) or dates '
        '(acq_time)',
    )  # fmt: skip
    add_option(
        g, '--size-filters', nargs='+', type=SIZE, default=[0, 5, 10, 15], metavar='MM3',
        help='compare with clusters below each of these volumes left out (default 0 5 10 15)',
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Run the group level; returns the exit status."""
    from ..commands.group import run_group

    outcome = run_group(make_options(args))
    print(f'report: {outcome.page}')
    if outcome.damaged:
        print(f'scans left out, as their results cannot be read: {len(outcome.damaged)}')
    return outcome.exit_status


def make_options(args: argparse.Namespace) -> GroupOptions:
    """What the options ask for.

    Raises
    ------
    InputError
        If options do not go together, or a folder of another cohort does not exist.
    """
    from ..group.results import GroupOptions

    if args.cohort and args.compare:
        raise options.CONFLICT.error('--cohort', other='--compare')
    if args.match and not (args.cohort or args.compare):
        raise options.NEEDS.error('--match', other='--cohort or --compare')
    return GroupOptions(
        bids_dir=args.bids_dir,
        out_dir=args.out_dir,
        size_filters=tuple(sorted(set(args.size_filters))),
        cohort=args.cohort,
        compare=_other_cohorts(args.compare),
        match=tuple(args.match),
        rating=args.rating,
        covariates=tuple(args.covariates),
        formula=args.formula,
        harmonize=args.harmonize,
        site=args.site,
        time=args.time,
    )


def _other_cohorts(entries: Sequence[str]) -> dict[str, Path]:
    """Output folders of other cohorts by their names."""
    cohorts: dict[str, Path] = {}
    for entry in entries:
        name, _, path = entry.partition('=')
        wanted = 'NAME=OUT_DIR, the folder of another participant run'
        if not name.strip() or not path:
            raise options.NO_FOLDER.error(f'--compare {entry}', wanted=wanted)
        if name in (*cohorts, THIS_COHORT):
            raise options.COHORT_NAME.error(f'--compare {entry}', name=name)
        cohorts[name] = PATH(path)
        check_input(cohorts[name], wanted, f'--compare {name}')
    return cohorts
