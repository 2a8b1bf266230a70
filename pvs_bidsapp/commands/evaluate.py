"""Compare predicted PVS masks with reference masks, scan by scan."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from ..bids.labels import ANY_LABELS, LabelChoice
from ..errors import ImageError
from ..evaluation.masks import Evaluation, Evaluator, whole_scans
from ..evaluation.sweep import THRESHOLDS
from ..messages import masks
from ..messages.message import Finding
from ..outputs.evaluation import MaskFiles, Unmatched, find_mask_pairs, write_evaluation

LOG = logging.getLogger(__name__)
#: Scores whose means are printed, and those printed with their interval.
PRINTED = (
    'dice', 'recall', 'precision', 'avd', 'cluster_dice', 'large_recall', 'large_precision', 'false_clusters',
    'cldice', 'auprc',
)  # fmt: skip
WITH_INTERVAL = ('dice', 'cluster_dice', 'avd', 'cldice', 'auprc')


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an evaluation came to.

    Attributes
    ----------
    evaluation : Evaluation
        Tables of the scans that were compared.
    unmatched : list of Unmatched
        Masks without a partner.
    failed : list of Unmatched
        Pairs of which a file cannot be used.
    """

    evaluation: Evaluation
    unmatched: list[Unmatched]
    failed: list[Unmatched]

    @property
    def exit_status(self) -> int:
        """1 if a file cannot be used; masks without a partner are no failure."""
        return 1 if self.failed else 0

    def report(self) -> str:
        """What was compared and what was not, with the means over scans, for a terminal."""
        return '\n'.join(
            [
                *self._counts(),
                *_means(self.evaluation.summary),
                *_recalls(self.evaluation.recall),
                *self._empty(),
            ]
        )

    def _counts(self) -> list[str]:
        lines = [f'{_count(self.evaluation.scans["scan"].nunique(), "scan")} compared']
        for dataset, other in (('reference', 'prediction'), ('prediction', 'reference')):
            if number := sum(mask.dataset == dataset for mask in self.unmatched):
                lines.append(f'{_count(number, dataset)} left out, without a {other}')
        if self.failed:
            lines.append(f'{_count(len(self.failed), "scan")} left out, as a file cannot be used')
        return lines

    def _empty(self) -> list[str]:
        """How many scans have scores by definition, since a mask is empty."""
        whole = whole_scans(self.evaluation.scans)
        no_reference, no_prediction = (
            whole[f'{name}_volume_mm3'] == 0 for name in ('reference', 'predicted')
        )
        both, only = int((no_reference & no_prediction).sum()), int((no_reference & ~no_prediction).sum())
        lines = []
        if both:
            lines.append(f'{_count(both, "scan")} with both masks empty: scores of 1 by definition')
        if only:
            lines.append(
                f'{_count(only, "scan")} with an empty reference: Dice 0, and left out of the mean of avd'
            )
        return lines


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'


def _means(summary: pd.DataFrame) -> list[str]:
    """The means over scans by size filter, and intervals of the most important ones."""
    whole = summary[summary['region'] == 'all']
    table = whole.pivot_table(index='min_size_mm3', columns='score', values='mean', dropna=False)
    lines = ['means by cluster-size filter (mm3):', table.reindex(columns=PRINTED).round(3).to_string()]
    for row in whole[whole['min_size_mm3'] == whole['min_size_mm3'].min()].itertuples():
        if row.score in WITH_INTERVAL:
            used = '' if row.n_finite == row.n_scans else f', {row.n_finite} of {row.n_scans} scans'
            ends = 'n/a' if pd.isna(row.ci_low) else f'{row.ci_low:.3f} to {row.ci_high:.3f}'
            interval = f'95 % interval {ends}{used}'
            lines.append(f'{row.score}: {row.mean:.3f} ({interval})')
    return lines


def _recalls(recall: pd.DataFrame) -> list[str]:
    """Recall of the spaces by detectability, or by volume where that is not known."""
    known = recall[recall['measure'] == 'detectability']
    shown = known if len(known) else recall
    if not len(shown):
        return []
    what = "detectability (d')" if len(known) else 'volume (mm3)'
    table = shown.drop(columns='measure').dropna(axis='columns', how='all').round(3)
    return [f'recall of spaces by {what}:', table.to_string(index=False, na_rep='n/a')]


def run(
    predicted_dir: Path,
    reference_dir: Path,
    out_dir: Path,
    sizes: Sequence[float],
    thresholds: Sequence[float] = THRESHOLDS,
    choice: LabelChoice = ANY_LABELS,
) -> Outcome:
    """Score the masks of all scans that both datasets have; write and return the tables.

    Scans of which a file cannot be used are named, and the others are compared.

    Parameters
    ----------
    predicted_dir, reference_dir : Path
        Derivative datasets with masks; the first may also hold probability and region maps.
    out_dir : Path
    sizes : sequence of float
        Cluster-size filters in mm3, applied to both masks.
    thresholds : sequence of float
        Thresholds of the sweep.
    choice : LabelChoice
        Which of the masks in `reference_dir` are the references.

    Raises
    ------
    InputError
        If no scan is in both datasets, or one of them has two masks of a scan.
    ImageError
        If no pair of masks can be used.
    """
    found = find_mask_pairs(predicted_dir, reference_dir, choice)
    for mask in found.unmatched:
        LOG.warning('%s', mask.finding)
    evaluator = Evaluator(sizes, thresholds)
    failed, has_reference = [], False
    for files in tqdm(found.pairs, desc='scans', disable=None):
        try:
            pair, findings = files.read()
        except ImageError as error:
            LOG.error('%s', error)
            failed.append(_failure(files, error))
        else:
            _warn(findings)
            evaluator.add(pair)
            has_reference |= bool(pair.reference.any())
    if len(failed) == len(found.pairs):
        raise masks.NONE_EVALUATED.error(count=len(failed))
    evaluation = evaluator.tables()
    if not has_reference:
        masks.ALL_REFERENCES_EMPTY.log(LOG, reference_dir)
    write_evaluation(evaluation, [*found.unmatched, *failed], out_dir)
    return Outcome(evaluation=evaluation, unmatched=found.unmatched, failed=failed)


def _warn(findings: Sequence[Finding]) -> None:
    for finding in findings:
        LOG.warning('%s', finding)


def _failure(files: MaskFiles, error: ImageError) -> Unmatched:
    """A pair of which a file cannot be used."""
    finding = error.finding or Finding(
        code='', file=str(files.predicted.path), finding=str(error), mend='', is_refused=True
    )
    is_reference = finding.file == str(files.reference.path)
    return Unmatched(scan=files.scan, dataset='reference' if is_reference else 'prediction', finding=finding)
