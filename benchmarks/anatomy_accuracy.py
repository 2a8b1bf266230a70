#!/usr/bin/env python3
"""Dice of brain, white matter and basal ganglia with the ground truth of simulated heads.

    python benchmarks/anatomy_accuracy.py OUT_DIR LABELS_DIR

OUT_DIR is the output of participant on a dataset of `pvs simulate`, LABELS_DIR its derivatives/labels. The
reference brain is all brain labels except CSF (24), closed by 3 mm. White matter is that of the cerebrum (2,
41, lesions); in the next column, cerebellar white matter, brainstem and ventral diencephalon are added, which
the tissue classes count as white matter.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from pvs_bidsapp.evaluation.metrics import dice

CEREBRUM = (2, 41, 25, 57, 77)


def load(folder: Path, name: str) -> np.ndarray:
    """An image of one scan."""
    (path,) = folder.glob(f'*{name}.nii.gz')
    return np.asarray(nib.load(path).dataobj)


def main(out_dir: Path, labels_dir: Path) -> None:
    """Print the table."""
    print('| head | brain | white matter | with brainstem, cerebellum | basal ganglia | PVS in regions |')
    print('| --- | --- | --- | --- | --- | --- |')
    rows = []
    for reference in sorted(labels_dir.glob('sub-*/anat')):
        predicted = out_dir / reference.parent.name / 'anat'
        labels, tissues = load(reference, 'seg-aseg_dseg'), load(predicted, 'seg-tissue_dseg')
        regions, pvs = load(predicted, 'seg-regions_dseg'), load(reference, 'label-PVS_mask') > 0
        cerebral = (tissues == 3) & ~np.isin(labels, (7, 46, 8, 47, 16, 28, 60))
        rows.append([
            dice(load(predicted, 'desc-brain_mask') > 0, load(reference, 'desc-brain_mask') > 0),
            dice(cerebral, np.isin(labels, CEREBRUM)),
            dice(tissues == 3, np.isin(labels, (*CEREBRUM, 7, 46, 16, 28, 60))),
            dice(np.isin(regions, (21, 22)), np.isin(labels, (11, 12, 13, 50, 51, 52))),
            float((regions[pvs] > 0).mean()) if pvs.any() else float('nan'),
        ])  # fmt: skip
        print(f'| {reference.parent.name} | ' + ' | '.join(f'{v:.3f}' for v in rows[-1]) + ' |')
    print('| mean | ' + ' | '.join(f'{v:.3f}' for v in np.mean(rows, 0)) + ' |')


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
