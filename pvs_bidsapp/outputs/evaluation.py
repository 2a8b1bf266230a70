"""Reading the masks of an evaluation, and writing its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from ..anatomy.native import grid_of
from ..anatomy.resampling import resample
from ..bids.naming import EvaluationNaming
from ..bids.query import files_below
from ..clusters.tables import to_tsv
from ..errors import InputError
from ..evaluation.masks import Evaluation, MaskPair
from ..runtime.files import write_json, write_text

#: Names of masks.
PATTERN = 'sub-*_label-PVS_mask.nii.gz'
#: Columns of the tables, with their descriptions.
COLUMNS = {
    'scan': 'name of the scan',
    'region': 'all, or the region of the predicted region map to which both masks are cropped',
    'threshold': 'probability threshold',
    'min_size_mm3': 'clusters below this volume are removed from both masks',
    'dice': 'Dice coefficient of the voxels; 1 if both masks are empty',
    'recall': 'fraction of reference voxels that are predicted',
    'precision': 'fraction of predicted voxels that are in the reference',
    'avd': 'absolute volume difference in percent of the reference; inf if only the reference is empty',
    'cluster_dice': 'harmonic mean of cluster recall and precision; a hit is any overlap, 26-connectivity',
    'cluster_recall': 'fraction of reference clusters that are hit',
    'cluster_precision': 'fraction of predicted clusters that are hit',
    'large_recall': 'fraction of reference clusters of this size or more that a cluster of any size hits',
    'large_precision': 'fraction of predicted clusters of this size or more that hit one of any size',
    'mean': 'mean over scans',
    'ci_low': 'lower end of the 95 % bootstrap interval over scans',
    'ci_high': 'upper end of the 95 % bootstrap interval over scans',
}


@dataclass(frozen=True)
class MaskFiles:
    """Predicted and reference mask of one scan.

    Attributes
    ----------
    predicted, reference : Path
        Files of the same name.
    """

    predicted: Path
    reference: Path

    def read(self) -> MaskPair:
        """Read both masks, and the probability and region maps beside the predicted one if they exist.

        Images on another grid than the reference are resampled.
        """
        name = self.predicted.name
        image = nib.load(self.reference)
        probability = self.predicted.with_name(name.replace('_mask', '_probseg'))
        regions = self.predicted.with_name(name.replace('label-PVS_mask', 'seg-regions_dseg'))
        return MaskPair(
            name=name.removesuffix('_label-PVS_mask.nii.gz'),
            predicted=_read(self.predicted, image, order=1) > 0.5,
            reference=np.asarray(image.dataobj) > 0,
            probability=_read(probability, image, order=1) if probability.exists() else None,
            regions=_read(regions, image, order=0) if regions.exists() else None,
            voxel_volume=abs(float(np.linalg.det(image.affine[:3, :3]))),
        )


def _read(path: Path, reference: nib.Nifti1Image, *, order: int) -> np.ndarray:
    """An image on the grid of the reference; float32."""
    image = nib.load(path)
    data = np.asarray(image.dataobj, np.float32)
    if image.shape != reference.shape or not np.allclose(image.affine, reference.affine, atol=1e-3):
        data = resample(data, image.affine, grid_of(reference), order=order)
    return data


def find_mask_pairs(predicted_dir: Path, reference_dir: Path) -> list[MaskFiles]:
    """Masks of the same name in two datasets.

    Parameters
    ----------
    predicted_dir, reference_dir : Path
        Derivative datasets.

    Raises
    ------
    InputError
        If there are none.
    """
    reference = {path.name: path for path in files_below(reference_dir, PATTERN)}
    pairs = [
        MaskFiles(path, reference[path.name])
        for path in files_below(predicted_dir, PATTERN)
        if path.name in reference
    ]
    if not pairs:
        raise InputError(f'no {PATTERN} of the same name in {predicted_dir} and {reference_dir}')
    return pairs


def write_evaluation(evaluation: Evaluation, out_dir: Path) -> None:
    """Write ``evaluation*.tsv``, their sidecar, and the figure of the sweep.

    Parameters
    ----------
    evaluation : Evaluation
    out_dir : Path
    """
    names = EvaluationNaming(out_dir)
    for name, table in (
        ('', evaluation.scans),
        ('summary', evaluation.summary),
        ('agreement', evaluation.agreement),
        ('sweep', evaluation.sweep),
    ):
        if table is not None:
            write_text(names.table(name), to_tsv(table))
    write_json(names.table(extension='.json'), {k: {'Description': v} for k, v in COLUMNS.items()})
    if evaluation.sweep is not None:
        from ..reports.sweep import draw_sweep

        draw_sweep(evaluation.sweep, names.table('sweep', '.png'))
