#!/usr/bin/env python3
"""Dice of brain, white matter and grey nuclei with the ground truth of simulated heads.

    python benchmarks/anatomy_accuracy.py OUT_DIR LABELS_DIR

OUT_DIR is the output of participant on a dataset of `pvs simulate`, LABELS_DIR its derivatives/labels. The
reference brain is all brain labels except CSF (24), closed by 3 mm. White matter is that of the cerebrum (2,
41, lesions); in the next column, cerebellar white matter, brainstem and ventral diencephalon are added, which
the tissue classes count as white matter. The nuclei are caudate, putamen and pallidum. Heads without outputs
are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from pvs_bidsapp.anatomy.regions import REGIONS
from pvs_bidsapp.anatomy.template import SPACE
from pvs_bidsapp.evaluation.metrics import dice
from pvs_bidsapp.simulation.label_maps import BASAL_GANGLIA

CEREBRUM = (2, 41, 25, 57, 77)
#: Indices of the regions that hold these nuclei.
NUCLEI = tuple(region.index for region in REGIONS if region.name in ('caudate', 'lentiform nucleus'))


def load(folder: Path, name: str) -> np.ndarray:
    """An image of one scan on its own grid; those in the template's space are passed over."""
    (path,) = (p for p in folder.glob(f'*{name}.nii.gz') if f'_space-{SPACE}_' not in p.name)
    return np.asarray(nib.load(path).dataobj)


def main(out_dir: Path, labels_dir: Path) -> None:
    """Print the table."""
    print('| head | brain | white matter | with brainstem, cerebellum | nuclei | PVS in regions |')
    print('| --- | --- | --- | --- | --- | --- |')
    rows = []
    for reference in sorted(labels_dir.glob('sub-*/anat')):
        predicted = out_dir / reference.parent.name / 'anat'
        if not any(predicted.glob('*_label-PVS_mask.nii.gz')):
            continue
        labels, tissues = load(reference, 'seg-aseg_dseg'), load(predicted, 'seg-tissue_dseg')
        regions, pvs = load(predicted, 'seg-regions_dseg'), load(reference, 'label-PVS_mask') > 0
        cerebral = (tissues == 3) & ~np.isin(labels, (7, 46, 8, 47, 16, 28, 60))
        rows.append([
            dice(load(predicted, 'desc-brain_mask') > 0, load(reference, 'desc-brain_mask') > 0),
            dice(cerebral, np.isin(labels, CEREBRUM)),
            dice(tissues == 3, np.isin(labels, (*CEREBRUM, 7, 46, 16, 28, 60))),
            dice(np.isin(regions, NUCLEI), np.isin(labels, BASAL_GANGLIA)),
            float((regions[pvs] > 0).mean()) if pvs.any() else float('nan'),
        ])  # fmt: skip
        print(f'| {reference.parent.name} | ' + ' | '.join(f'{v:.3f}' for v in rows[-1]) + ' |')
    print('| mean | ' + ' | '.join(f'{v:.3f}' for v in np.mean(rows, 0)) + ' |')


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
