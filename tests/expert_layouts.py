"""Datasets with experts' tracings in the layouts in which they are downloaded, with tiny images."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from labelled_data import make_person
from layouts import put

#: What a link of git-annex leads to, from a folder three levels below the dataset.
ANNEXED = '../../../.git/annex/objects/k3/9a/MD5E-s52--9a.nii.gz/MD5E-s52--9a.nii.gz'


def put_ds005595(root: Path, *subjects: str) -> Path:
    """Scans and masks of OpenNeuro ds005595 by their names alone; returns the dataset."""
    for subject in subjects:
        put(root, f'{subject}/anat/{subject}_T2w.nii.gz')
        put(
            root,
            *(f'derivatives/mask/{subject}/{subject}_desc-mask_PVS{end}' for end in ('.nii.gz', '.json')),
        )
    return root


def put_valdo(root: Path, *subjects: str, raters: tuple[str, ...] = ('Rater1', 'Rater2')) -> Path:
    """Scans and masks of VALDO's task 1 by their names alone; returns the dataset."""
    for subject in subjects:
        stem = f'{subject}/{subject}_space-T1_desc-'
        put(root, *(f'{stem}masked_{suffix}.nii.gz' for suffix in ('T1', 'T2', 'FLAIR')))
        put(root, *(f'{stem}{rater}_PVSSeg.nii.gz' for rater in raters))
    return root


def make_ds005595(root: Path, *subjects: str) -> Path:
    """A filled dataset like ds005595, with ready-made brain masks and tissue classes; returns it."""
    for seed, subject in enumerate(subjects):
        make_person(root, subject, seed)
        labels, masks = root / 'derivatives/labels' / subject, root / 'derivatives/mask' / subject
        shutil.move(labels, masks)
        (masks / f'anat/{subject}_label-PVS_mask.nii.gz').rename(masks / f'{subject}_desc-mask_PVS.nii.gz')
        (root / subject / f'anat/{subject}_T1w.nii.gz').unlink()
    shutil.rmtree(root / 'derivatives/labels')
    return root


def make_valdo(root: Path, *subjects: str) -> Path:
    """A filled dataset like VALDO's, whose second rater has traced nothing; returns it."""
    for seed, subject in enumerate(subjects):
        made = root / 'made' / subject
        make_person(root / 'made', subject, seed)
        stem = root / subject / f'{subject}_space-T1_desc-'
        stem.parent.mkdir()
        for suffix in ('T1', 'T2'):
            (made / f'anat/{subject}_{suffix}w.nii.gz').rename(f'{stem}masked_{suffix}.nii.gz')
        labels = root / 'made/derivatives/labels' / subject / 'anat'
        mask = nib.load(labels / f'{subject}_label-PVS_mask.nii.gz')
        for rater, data in (('Rater1', mask.get_fdata()), ('Rater2', np.zeros(mask.shape))):
            save_beside(mask, f'{stem}{rater}_PVSSeg.nii.gz', data)
        (root / subject / 'anat').mkdir()
        for name in ('desc-brain_mask', 'seg-tissue_dseg'):
            (labels / f'{subject}_{name}.nii.gz').rename(root / subject / f'anat/{subject}_{name}.nii.gz')
    shutil.rmtree(root / 'made')
    return root


def save_beside(image: nib.Nifti1Image, path: Path | str, data: np.ndarray) -> None:
    """Write an image of bytes on the grid of another one."""
    nib.save(nib.Nifti1Image(data.astype(np.uint8), image.affine), path)


def unfetch(path: Path) -> Path:
    """Leave of a file what git-annex leaves of one that was not fetched: a link that leads nowhere."""
    path.unlink()
    path.symlink_to(ANNEXED)
    return path
