"""A tiny BIDS dataset with labels."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (64, 64, 64)
AFFINE = np.eye(4)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


def make_person(root: Path, stem: str, seed: int, *, has_label: bool = True, is_empty: bool = False) -> None:
    """Write T1w, T2w and label of a ball of white matter with dark tubes, in a shell of cortex and CSF."""
    rng = np.random.default_rng(seed)
    radius = np.sqrt(((np.indices(SHAPE) - 31.5) ** 2).sum(0))
    tissues = np.select([radius < 12, radius < 14, radius < 16.5], [3, 2, 1], 0).astype(np.uint8)
    label = np.zeros(SHAPE, np.uint8)
    for _ in range(8):
        x, y = rng.integers(25, 39, 2)
        label[x : x + 2, y : y + 2, 25:39] = 1
    contrast = {'T1w': (5, 30, 70, 100), 'T2w': (10, 400, 150, 100)}
    folder = Path(*[p for p in stem.split('_') if p[:3] in ('sub', 'ses')], 'anat')
    for suffix, values in contrast.items():
        image = np.array(values, np.float32)[tissues]
        image[label > 0] = values[1]
        image += rng.normal(0, 3, SHAPE)
        save(root / folder / f'{stem}_{suffix}.nii.gz', np.maximum(image, 0))
    labels = root / 'derivatives' / 'labels' / folder
    save(labels / f'{stem}_desc-brain_mask.nii.gz', (tissues > 0).astype(np.uint8))
    save(labels / f'{stem}_seg-tissue_dseg.nii.gz', tissues)
    if has_label:
        save(labels / f'{stem}_label-PVS_mask.nii.gz', np.zeros_like(label) if is_empty else label)


def make_data_set(root: Path) -> Path:
    """Write seven scans of six persons; one has two sessions, one no label, one an empty label."""
    (root / 'dataset_description.json').write_text('{"Name": "labelled", "BIDSVersion": "1.10.0"}')
    for k in range(1, 4):
        make_person(root, f'sub-{k:02}', k)
    make_person(root, 'sub-04', 4, is_empty=True)
    make_person(root, 'sub-05_ses-a', 5)
    make_person(root, 'sub-05_ses-b', 6)
    make_person(root, 'sub-06', 7, has_label=False)
    return root
