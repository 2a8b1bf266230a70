"""Finding and reading the masks of an evaluation, and writing its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..anatomy.mask_image import (
    Partner,
    map_on_grid,
    mask_on_grid,
    read_label_map,
    read_mask,
    read_probabilities,
)
from ..bids.labels import ANY_LABELS, LabelChoice, MaskFile, find_labels, find_masks, only_one
from ..bids.naming import EvaluationNaming
from ..clusters.tables import to_tsv
from ..evaluation.masks import Evaluation, MaskPair, leave_out
from ..messages import masks
from ..messages.message import Caution, Finding
from ..runtime.files import write_json, write_text
from .ground_truth import read_detectability
from .marks import read_label
from .region_labels import differing_label

#: Columns of the tables, with their descriptions.
COLUMNS = {
    'scan': 'name of the scan',
    'region': 'all, or the region of the predicted region map to which both masks are cropped',
    'threshold': 'probability threshold',
    'min_size_mm3': 'clusters below this volume are removed from both masks',
    'dice': 'Dice coefficient of the voxels; 1 if both masks are empty, 0 if one of them is',
    'recall': 'fraction of reference voxels that are predicted; 1 if the reference is empty',
    'precision': 'fraction of predicted voxels that are in the reference; 1 if the prediction is empty',
    'avd': 'absolute volume difference in percent of the reference; 0 if both masks are empty, inf if only '
    'the reference is',
    'cluster_dice': 'harmonic mean of cluster recall and precision; a hit is any overlap, 26-connectivity',
    'cluster_recall': 'fraction of reference clusters that are hit; 1 if there are none',
    'cluster_precision': 'fraction of predicted clusters that are hit; 1 if there are none',
    'large_recall': 'fraction of reference clusters of this size or more that a cluster of any size hits',
    'large_precision': 'fraction of predicted clusters of this size or more that hit one of any size',
    'predicted_volume_mm3': 'volume of the predicted mask; 0 if it is empty',
    'reference_volume_mm3': 'volume of the reference mask; 0 if it is empty',
    'large_dice': 'harmonic mean of large_recall and large_precision',
    'score': 'column of evaluation.tsv that is summarised',
    'n_scans': 'number of scans that were compared',
    'mean': 'mean over the scans with a finite score, see n_finite',
    'ci_low': 'lower end of the 95 % bootstrap interval over these scans; n/a for fewer than two',
    'ci_high': 'upper end of the 95 % bootstrap interval over these scans; n/a for fewer than two',
    'n_finite': 'number of scans over which mean and interval are taken; for avd without those of which only '
    'the reference is empty',
    'measure': 'what is measured: number and volume of the PVS of a scan, in both masks; or detectability '
    'and volume of the true spaces',
    'n': 'number of scans',
    'icc': 'intraclass correlation ICC(2,1) of prediction and reference',
    'icc_low': 'lower end of its 95 % interval',
    'icc_high': 'upper end of its 95 % interval',
    'bias': 'mean difference, prediction less reference',
    'limit_low': 'lower limit of agreement (Bland and Altman 1986)',
    'limit_high': 'upper limit of agreement',
    'false_clusters': 'number of predicted clusters of this size or more that hit no reference',
    'cldice': 'clDice: harmonic mean of the fractions of centre lines that lie in the other mask (Shit et '
    'al. 2021); 1 if both masks are empty, 0 if one of them is',
    'auprc': 'area under the precision-recall curve of the voxels in the brain mask, as average precision; '
    'n/a if the reference is empty, and in rows of larger size filters',
    'index': 'number of the true space',
    'volume_mm3': 'volume of the true space in the reference mask',
    'detectability': "detectability index d' of the true space on its scan",
    'is_found': 'whether the prediction holds a voxel of the space',
    'low': 'lower end of a range of the measure, included',
    'high': 'upper end of the range, excluded',
    'n_spaces': 'number of true spaces in the range',
    'ideal_recall': 'recall of an observer who knows the shape of a space and makes as many false clusters',
    'dataset': 'where the file is: prediction or reference',
    'file': 'mask that takes no part in the evaluation',
    'reason': 'why: no prediction, no reference, or what is wrong with a file',
    'mend': 'what to do about it',
}
#: Columns of the table of masks that take no part.
UNMATCHED_COLUMNS = ('scan', 'dataset', 'file', 'reason', 'mend')


@dataclass(frozen=True, kw_only=True)
class MaskFiles:
    """Predicted and reference mask of one scan.

    Attributes
    ----------
    predicted, reference : MaskFile
    """

    predicted: MaskFile
    reference: MaskFile

    @property
    def scan(self) -> str:
        """Name of the scan."""
        return self.reference.scan

    def read(self) -> tuple[MaskPair, list[Finding]]:
        """Read both masks, and the probability and region maps beside the predicted one if they exist.

        All come to the grid of the reference.

        Returns
        -------
        pair : MaskPair
        findings : list of Finding
            What a reader of the scores should know.

        Raises
        ------
        ImageError
            If a file cannot be used, or the masks are in different spaces.
        """
        findings = self._compare_spaces()
        label = read_label(self.reference.path, beside=(self.predicted.path.parent,))
        reference, predicted = label.image, read_mask(self.predicted.path)
        partner = Partner(path=self.reference.path, source=reference.source)
        mask, found = mask_on_grid(predicted, partner)
        findings += [*reference.findings, *predicted.findings, *found]
        if label.is_of_marks:
            numbers = {'unsure': label.n_unsure, 'unmarked': label.n_unmarked}
            findings.append(masks.MARKS_AS_REFERENCE.finding(self.reference.path, **numbers))
        spaces, detectability = self._spaces(partner)
        pair = MaskPair(
            name=self.scan,
            predicted=mask,
            reference=reference.mask,
            probability=self._probability(partner),
            regions=self._regions(partner),
            voxel_volume=abs(float(np.linalg.det(reference.affine[:3, :3]))),
            brain=self._brain(partner),
            spaces=spaces,
            detectability=detectability,
        )
        return (pair if label.unknown is None else leave_out(pair, label.unknown)), findings

    def _compare_spaces(self) -> list[Finding]:
        predicted, reference = self.predicted, self.reference
        if predicted.path.resolve() == reference.path.resolve():
            return [masks.ITSELF.finding(predicted.path)]
        if predicted.space == reference.space:
            return []
        if predicted.is_on_template or reference.is_on_template:
            raise masks.SPACES_DIFFER.error(
                predicted.path,
                space=predicted.space_in_words,
                reference_space=reference.space_in_words,
                reference=reference.path,
            )
        odd = predicted if predicted.space else reference
        return [masks.OTHER_SPACE.finding(odd.path, space=odd.space)]

    def _probability(self, partner: Partner) -> np.ndarray | None:
        path = self.predicted.beside(suffix='probseg')
        return None if path is None else map_on_grid(path, read_probabilities(path), partner, order=1)

    def _regions(self, partner: Partner) -> np.ndarray | None:
        path = self.predicted.beside(suffix='dseg', seg='regions')
        if path is None:
            return None
        table = _table_beside(path)
        if table.exists() and (difference := differing_label(table)):
            raise masks.OTHER_REGIONS.error(table, difference=difference)
        return map_on_grid(path, read_label_map(path), partner, order=0)

    def _brain(self, partner: Partner) -> np.ndarray | None:
        """The brain mask beside the prediction, or else beside the reference."""
        beside = (mask.beside(suffix='mask', desc='brain') for mask in (self.predicted, self.reference))
        path = next(filter(None, beside), None)
        return None if path is None else map_on_grid(path, read_label_map(path), partner, order=0) > 0

    def _spaces(self, partner: Partner) -> tuple[np.ndarray | None, pd.Series | None]:
        """The numbered true spaces, and their detectability, where the table beside the reference has it."""
        path = self.reference.beside(suffix='dseg', desc='pvs')
        if path is None:
            return None, None
        detectability = read_detectability(_table_beside(path))
        if detectability is None:
            return None, None
        return map_on_grid(path, read_label_map(path), partner, order=0).astype(np.int32), detectability


def _table_beside(image: Path) -> Path:
    """The table of an image."""
    return image.with_name(image.name.split('.')[0] + '.tsv')


@dataclass(frozen=True, kw_only=True)
class Unmatched:
    """A mask that takes no part in an evaluation.

    Attributes
    ----------
    scan : str
        Name of its scan, or of the file if that is no BIDS name.
    dataset : str
        ``prediction`` or ``reference``.
    finding : Finding
        Names the file, and says why.
    """

    scan: str
    dataset: str
    finding: Finding

    def row(self) -> dict[str, str]:
        """The mask as it stands in the table."""
        finding = self.finding
        values = (self.scan, self.dataset, finding.file, finding.finding, finding.mend or 'n/a')
        return dict(zip(UNMATCHED_COLUMNS, values, strict=True))


@dataclass(frozen=True, kw_only=True)
class FoundMasks:
    """The masks of an evaluation.

    Attributes
    ----------
    pairs : list of MaskFiles
        Sorted by scan.
    unmatched : list of Unmatched
        Masks without a partner.
    """

    pairs: list[MaskFiles]
    unmatched: list[Unmatched]


def find_mask_pairs(predicted_dir: Path, reference_dir: Path, choice: LabelChoice = ANY_LABELS) -> FoundMasks:
    """Masks of the same scans in two datasets, see `pvs_bidsapp.bids.labels.find_labels`.

    Of several masks of a scan, those in the scan's own space are compared; those in another space only if
    both datasets have them.

    Parameters
    ----------
    predicted_dir, reference_dir : Path
        Derivative datasets.
    choice : LabelChoice
        Which labels are the references.

    Raises
    ------
    InputError
        If there are none, or two masks of a scan in one dataset and space.
    """
    (predicted, bad_predicted), (reference, bad_reference) = (
        find_masks(predicted_dir),
        find_labels(reference_dir, choice),
    )
    for folder, found, wanted in (
        (predicted_dir, predicted, ANY_LABELS.wanted),
        (reference_dir, reference, choice.wanted),
    ):
        if not found:
            raise masks.NONE_FOUND.error(folder, wanted=wanted)
    pairs = [_pair(predicted[key], reference[key]) for key in reference if key in predicted]
    if not pairs:
        example = min(m.path for found in reference.values() for m in found)
        raise masks.NO_PAIR.error(predicted_dir, other=reference_dir, example=example.name)
    unmatched = [
        *(_bad_name('prediction', f) for f in bad_predicted),
        *(_bad_name('reference', f) for f in bad_reference),
        *_without_partner(
            'reference', masks.NO_PREDICTION, [reference[k] for k in reference.keys() - predicted]
        ),
        *_without_partner(
            'prediction', masks.NO_REFERENCE, [predicted[k] for k in predicted.keys() - reference]
        ),
    ]
    return FoundMasks(pairs=sorted(pairs, key=lambda pair: pair.scan), unmatched=unmatched)


def _pair(predicted: Sequence[MaskFile], reference: Sequence[MaskFile]) -> MaskFiles:
    """The masks to compare: of a space that both datasets have, if there is one, best the scan's own."""
    spaces = [sorted({mask.space for mask in part}) for part in (predicted, reference)]
    shared = [space for space in spaces[0] if space in spaces[1]]
    chosen = (shared[0], shared[0]) if shared else (spaces[0][0], spaces[1][0])
    first, second = (
        only_one(mask for mask in part if mask.space == space)
        for part, space in zip((predicted, reference), chosen, strict=True)
    )
    return MaskFiles(predicted=first, reference=second)


def _bad_name(dataset: str, finding: Finding) -> Unmatched:
    return Unmatched(scan=Path(finding.file).name, dataset=dataset, finding=finding)


def _without_partner(dataset: str, message: Caution, found: Sequence[Sequence[MaskFile]]) -> list[Unmatched]:
    """Masks of scans that the other dataset does not have."""
    alone = sorted((mask for candidates in found for mask in candidates), key=lambda mask: mask.path)
    return [Unmatched(scan=m.scan, dataset=dataset, finding=message.finding(m.path)) for m in alone]


def write_evaluation(evaluation: Evaluation, unmatched: Sequence[Unmatched], out_dir: Path) -> None:
    """Write ``evaluation*.tsv``, their sidecar, and the figure of the sweep; remove those of an earlier run.

    Parameters
    ----------
    evaluation : Evaluation
    unmatched : sequence of Unmatched
    out_dir : Path
    """
    names = EvaluationNaming(out_dir)
    left_out = pd.DataFrame([mask.row() for mask in unmatched], columns=list(UNMATCHED_COLUMNS))
    for name, table in (
        ('', evaluation.scans),
        ('summary', evaluation.summary),
        ('agreement', evaluation.agreement),
        ('sweep', evaluation.sweep),
        ('spaces', evaluation.spaces),
        ('recall', evaluation.recall),
        ('unmatched', left_out),
    ):
        if table is None:
            names.table(name).unlink(missing_ok=True)
        else:
            write_text(names.table(name), to_tsv(table))
    write_json(names.table(extension='.json'), {k: {'Description': v} for k, v in COLUMNS.items()})
    if evaluation.sweep is None:
        names.table('sweep', '.png').unlink(missing_ok=True)
    else:
        from ..reports.sweep import draw_sweep

        draw_sweep(evaluation.sweep, names.table('sweep', '.png'))
    if not (evaluation.recall['measure'] == 'detectability').any():
        names.table('recall', '.png').unlink(missing_ok=True)
    else:
        from ..reports.recall import draw_recall

        draw_recall(evaluation.recall, evaluation.threshold, names.table('recall', '.png'))
    from ..reports.evaluation_page import render

    write_text(names.table(extension='.html'), render(evaluation, left_out, out_dir))
