"""Scans and a model that the whole program takes in less than a minute, all steps included.

Heads are simulated at 2 mm, then cut to their brains and made smaller. Brain mask and segmentation are given
ready-made. The network has two blocks, and weights that are set by hand: it marks voxels that
are darker than their neighbours.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from model_cards import card
from nibabel.processing import resample_from_to
from program import RUN, name_segmentations, pvs

#: Factor by which the head is made smaller: the registration takes a third of the time.
SCALE = 0.7
#: Voxels about the brain that are kept.
MARGIN = 4
#: Gain of the last layer, and the value from which it marks a voxel.
GAIN, LEVEL = 100.0, 0.035
ARCHITECTURE: dict[str, Any] = {
    'name': 'joliot2021',
    'in_channels': 1,
    'blocks': 2,
    'filters': 2,
    'dropout': 0.0,
}


@dataclass(frozen=True)
class SmallHead:
    """A dataset of one scan for each head, with what the program needs for it.

    Attributes
    ----------
    bids, labels, model : Path
        The dataset; the derivative dataset with brain mask and segmentation; the model's folder.
    suffix : str
        ``T1w`` or ``T2w``: the only scan that there is, and that the model takes.
    """

    bids: Path
    labels: Path
    model: Path
    suffix: str = 'T1w'

    @property
    def t1w(self) -> Path:
        (path,) = self.bids.glob('sub-*/anat/*_T1w.nii.gz')
        return path

    def command(self, out: Path, work: Path, *, keep_work: bool = False, nprocs: int = 1) -> list[str]:
        """The participant level on this scan, by default in one process."""
        fixed: list[object] = ['--modality', self.suffix, '--device', 'cpu', '--nprocs', nprocs]
        fixed += ['-w', work, '--model', self.model, '-d', f'labels={self.labels}']
        keep = ['--keep-workdir'] if keep_work else []
        return [*RUN, *map(str, (self.bids, out, 'participant', *fixed, *keep))]


def make_small_head(
    folder: Path, suffix: str = 'T1w', *, simulated: Path | None = None, scales: Sequence[float] = (SCALE,)
) -> SmallHead:
    """Write a dataset of small heads, what is ready-made of them, and the model.

    Parameters
    ----------
    folder : Path
        ``bids``, ``labels`` and ``model`` are made in it.
    suffix : str
        ``T1w`` or ``T2w``.
    simulated : Path, optional
        What `simulate_small_heads` has returned; made here, in ten seconds, without it.
    scales : sequence of float
        Of the heads that are simulated here.
    """
    if simulated is None:
        simulated = simulate_small_heads(folder / 'simulated', scales)
    head = SmallHead(folder / 'bids', folder / 'labels', folder / 'model', suffix)
    without = shutil.ignore_patterns('derivatives', f'*_{"T2w" if suffix == "T1w" else "T1w"}.*')
    shutil.copytree(simulated, head.bids, ignore=without)
    shutil.copytree(simulated / 'derivatives' / 'labels', head.labels)
    _write_model(head.model, suffix)
    return head


def simulate_small_heads(folder: Path, scales: Sequence[float] = (SCALE,)) -> Path:
    """Simulate heads at 2 mm with T1w and T2w, and cut them to their brains.

    Parameters
    ----------
    folder : Path
        For the dataset; does not exist.
    scales : sequence of float
        One head is made for each: the factor by which it is made smaller.

    Returns
    -------
    folder : Path
        ``derivatives/labels`` has brain masks and segmentations, under the names by which ``-d`` finds them.
    """
    whole = folder.with_name(f'{folder.name}-whole')
    options = ('--suite', 'easy', '--spacing', 2, '--seed', 7, '--nprocs', 2)
    done = pvs('simulate', whole, *options, '--n-subjects', len(scales))
    assert done.returncode == 0, done.stderr
    labels = Path('derivatives', 'labels')
    name_segmentations(whole / labels)
    for part in (Path(), labels):
        (folder / part).mkdir(parents=True)
        shutil.copy(whole / part / 'dataset_description.json', folder / part)
    shutil.copy(whole / 'participants.tsv', folder)
    masks = sorted((whole / labels).glob('sub-*/anat/*_desc-brain_mask.nii.gz'))
    for mask, scale in zip(masks, scales, strict=True):
        anat = mask.parent.relative_to(whole / labels)
        for part, names in ((Path(), ('T1w', 'T2w')), (labels, ('desc-brain_mask', 'desc-aseg_dseg'))):
            for name in names:
                (image,) = (whole / part / anat).glob(f'*_{name}.nii.gz')
                _cut(image, mask, scale, folder / part / anat / image.name)
    shutil.rmtree(whole)
    return folder


def _box(mask: Path, image: nib.Nifti1Image) -> tuple[slice, ...]:
    """The box of the brain on the grid of an image."""
    voxels = np.argwhere(resample_from_to(nib.load(mask), image, order=0).get_fdata() > 0)
    low = np.maximum(voxels.min(0) - MARGIN, 0)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, voxels.max(0) + MARGIN + 1, strict=True))


def _cut(source: Path, mask: Path, scale: float, target: Path) -> None:
    whole = nib.load(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(shrink(whole.slicer[_box(mask, whole)], scale), target)


def shrink(image: nib.Nifti1Image, scale: float = SCALE) -> nib.Nifti1Image:
    """The same voxels in a smaller size; images that lie on each other still do."""
    affine = np.diag([scale, scale, scale, 1.0]) @ image.affine
    smaller = nib.Nifti1Image(np.asarray(image.dataobj), affine)
    smaller.header.set_xyzt_units('mm')
    smaller.set_qform(affine, 1)
    smaller.set_sform(affine, 1)
    return smaller


def _write_model(folder: Path, suffix: str) -> None:
    """A network that marks what is darker than its neighbours; the other layers pass this on."""
    import torch

    from pvs_bidsapp.segmentation.model import write_model
    from pvs_bidsapp.segmentation.networks import build

    network = build(ARCHITECTURE)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.zeros_(module.weight)
    with torch.no_grad():
        network.encoder[0][0].weight[0, 0] = 1 / 26
        network.encoder[0][0].weight[0, 0, 1, 1, 1] = -1
        network.encoder[0][3].weight[0, 0, 1, 1, 1] = 1
        network.decoder[0][3].weight[0, 0, 1, 1, 1] = 1
        network.decoder[0][0].weight[0, 2 * ARCHITECTURE['filters'], 1, 1, 1] = 1  # the skip
        network.head.weight[0, 0] = GAIN
        network.head.bias[:] = -GAIN * LEVEL
    write_model(folder, network, card(architecture=ARCHITECTURE, spacing=(1.0, 3.0), channels=(suffix,)))
