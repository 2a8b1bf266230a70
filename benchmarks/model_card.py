"""Measurements for the card of a newly trained model, on simulated heads that it has not seen.

    python benchmarks/model_card.py [--write] MODEL_DIR CACHE FIGURE HEADS_DIR [HEADS_DIR ...]

MODEL_DIR is the result of `pvs train`, checkpoints included. Heads are prepared as in training and kept in
CACHE. Prints for each dataset the mean voxel Dice and the mean difference of volumes by threshold, the Dice
of the half-precision weights against that of the checkpoint, and how many voxels of a given probability are
PVS. FIGURE is the reliability diagram. With --write, the card gets the Dice at its threshold and the
calibration.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.calibration import calibration_curve
from tqdm.auto import tqdm

from pvs_bidsapp.bids.labelled_scans import find_labelled_scans
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.commands.training_cache import Preparation, cache_images, read_cached
from pvs_bidsapp.evaluation.metrics import dice
from pvs_bidsapp.reports.figures import pyplot
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.model import Model, load_model
from pvs_bidsapp.training.checkpoint import read_checkpoint
from pvs_bidsapp.training.datasets import TrainingImage
from pvs_bidsapp.training.losses import calibrate_output
from pvs_bidsapp.training.validation import Validator

THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
#: Voxels with a lower probability are left out; they would fill the first bin.
LOWEST_PROBABILITY, BINS = 0.02, 10


def images_of(folder: Path, cache_dir: Path, model: Model) -> list[TrainingImage]:
    """Prepare the heads of a dataset."""
    card = model.card
    preparation = Preparation(
        spacing=card.spacing,
        channels=card.channels,
        normalization=TissueNormalization.from_card(card.intensity),
    )
    scans = find_labelled_scans(folder, labels_dir(folder), card.channels)
    return [read_cached(files) for files in cache_images(scans, cache_dir, preparation, nprocs=1)]


def full_precision(model: Model) -> torch.nn.Module:
    """The network of the checkpoint that the model was made from, in single precision."""
    state = read_checkpoint(model.folder / 'checkpoints' / 'best.pt')
    network, weights = model.network(), state['average']
    if model.card.training['recipe']['loss'] == 'dice-ce':
        weights = calibrate_output(weights)
    network.load_state_dict(weights)
    return network.eval()


def by_threshold(maps: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Dice and signed difference of volumes (fraction of the reference), by scan and threshold."""
    return np.array([
        [(dice(p >= q, r), ((p >= q).sum() - r.sum()) / max(1, r.sum())) for q in THRESHOLDS] for p, r in maps
    ])  # fmt: skip


def draw(fractions: np.ndarray, predicted: np.ndarray, path: Path) -> None:
    """Draw the reliability diagram."""
    plt = pyplot()
    figure, ax = plt.subplots(figsize=(4, 4))
    ax.plot([0, 1], [0, 1], color='0.7', lw=1)
    ax.plot(predicted, fractions, 'o-', color='#2f7ed8')
    ax.set(xlabel='predicted probability', ylabel='fraction of voxels that are PVS', xlim=(0, 1), ylim=(0, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def row(name: str, cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f'| {name} | ' + ' | '.join(cells) + ' |'


def validator_of(model: Model, images: list[TrainingImage]) -> Validator:
    """A validator that applies a network as the card says."""
    card = model.card
    return Validator(
        images,
        TissueNormalization.from_card(card.intensity),
        torch.device('cpu'),
        patch_size=card.patch_size,
        stride=card.stride,
        box=card.box,
        mirror=card.mirror,
    )


def write_metrics(
    card: Path, dice_by_heads: dict[str, float], fractions: np.ndarray, predicted: np.ndarray
) -> None:
    """Write the measurements into a model's card."""
    entries = json.loads(card.read_text())
    entries['metrics'] = {
        'validation_dice': round(float(np.mean([*dice_by_heads.values()])), 3),
        'validation_dice_by_heads': {name: round(d, 3) for name, d in dice_by_heads.items()},
        'calibration': {
            'predicted': predicted.round(2).tolist(),
            'share_of_spaces': fractions.round(2).tolist(),
        },
    }
    card.write_text(json.dumps(entries, indent=2) + '\n')


def main(model_dir: Path, cache_dir: Path, figure: Path, folders: list[Path], write: bool) -> None:
    """Print the tables and draw the figure."""
    model = load_model(model_dir)
    layout = torch.channels_last_3d
    half, single = model.network().to(memory_format=layout), full_precision(model).to(memory_format=layout)
    all_maps, tables, pairs = [], [], []
    print(row('heads', [f'{q:g}' for q in THRESHOLDS]))
    print(row('---', ['---'] * len(THRESHOLDS)))
    for folder in folders:
        images = images_of(folder, cache_dir, model)
        validator = validator_of(model, images)
        maps = [(validator.probability(half, i), i.label > 0) for i in tqdm(images, desc=folder.name)]
        pairs.append((maps[0], validator.probability(single, images[0])))
        all_maps += maps
        tables.append(by_threshold(maps))
        scores, volume = tables[-1].mean(0).T
        print(row(f'{folder.name}, Dice', [f'{d:.3f}' for d in scores]))
        print(row(f'{folder.name}, volume', [f'{100 * d:+.0f} %' for d in volume]))
    print(row('all, Dice', [f'{d:.3f}' for d in np.concatenate(tables)[..., 0].mean(0)]))
    print('half minus single precision, one head per dataset:')
    threshold = model.card.threshold
    for (p, reference), exact in pairs:
        change = dice(p >= threshold, reference) - dice(exact >= threshold, reference)
        print(f'  Dice {change:+.5f}, largest difference of a probability {np.abs(p - exact).max():.4f}')
    p, reference = (np.concatenate([m[k][m[0] >= LOWEST_PROBABILITY] for m in all_maps]) for k in (0, 1))
    fractions, predicted = calibration_curve(reference, p, n_bins=BINS)
    for a, b in zip(predicted, fractions, strict=True):
        print(f'predicted {a:.2f}: {b:.2f} are PVS')
    draw(fractions, predicted, figure)
    if write:
        at = int(np.abs(THRESHOLDS - threshold).argmin())
        scores = {f.name: float(t[:, at, 0].mean()) for f, t in zip(folders, tables, strict=True)}
        write_metrics(model.folder / 'model.json', scores, fractions, predicted)


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('model_dir', type=Path, metavar='MODEL_DIR')
    p.add_argument('cache_dir', type=Path, metavar='CACHE')
    p.add_argument('figure', type=Path, metavar='FIGURE')
    p.add_argument('folders', type=Path, nargs='+', metavar='HEADS_DIR')
    p.add_argument('--write', action='store_true', help="write the measurements into the model's card")
    main(**vars(p.parse_args()))
