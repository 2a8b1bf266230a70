"""What the card of a newly trained model says, measured on simulated heads that it has not seen.

    python benchmarks/model_card.py [--write] MODEL_DIR CACHE FIGURE HEADS_DIR [HEADS_DIR ...]

MODEL_DIR is what `pvs train` wrote, checkpoints included; heads are prepared as in training and kept in
CACHE. Prints the mean voxel Dice and the mean difference of volumes of each data set by threshold, the
Dice of the half-precision weights against the checkpoint's, and how often voxels of a given probability
are spaces; FIGURE gets the reliability diagram. With --write, the card gets the Dice at its threshold and
the calibration.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.calibration import calibration_curve
from tqdm.auto import tqdm

from pvs_bidsapp.bids.labelled_scans import find_labelled_scans
from pvs_bidsapp.bids.naming import labels_dir
from pvs_bidsapp.commands.training_cache import load_training_images
from pvs_bidsapp.evaluation.metrics import dice
from pvs_bidsapp.reports.figures import pyplot
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.segmentation.model import Model, load_model
from pvs_bidsapp.training.losses import undo_positive_weight
from pvs_bidsapp.training.patches import TrainingImage
from pvs_bidsapp.training.validation import Validator

THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
#: Voxels below this are certain; they would fill the first bin.
LEAST, BINS = 0.02, 10


def heads_of(folder: Path, cache: Path, made: Model) -> list[TrainingImage]:
    """Prepared heads of a data set."""
    cases = find_labelled_scans(folder, labels_dir(folder), made.card.channels)
    rule = TissueNormalization.from_card(made.card.intensity)
    return load_training_images(
        cases, cache, rule, spacing=made.card.spacing, channels=made.card.channels, nprocs=1
    )


def full_precision(made: Model) -> torch.nn.Module:
    """The network of the checkpoint that the bundle was made from, in single precision."""
    state = torch.load(made.folder / 'checkpoints' / 'best.pt', map_location='cpu', weights_only=True)
    network = made.network()
    network.load_state_dict(state['average'])
    if made.card.training['recipe']['loss'] == 'dice-ce':
        undo_positive_weight(network)
    return network.eval()


def by_threshold(maps: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Dice and signed difference of volumes (share of the true one), by scan and threshold."""
    return np.array([
        [(dice(p >= q, t), ((p >= q).sum() - t.sum()) / max(1, t.sum())) for q in THRESHOLDS] for p, t in maps
    ])  # fmt: skip


def draw(shares: np.ndarray, predicted: np.ndarray, figure: Path) -> None:
    """The reliability diagram."""
    plt = pyplot()
    drawn, ax = plt.subplots(figsize=(4, 4))
    ax.plot([0, 1], [0, 1], color='0.7', lw=1)
    ax.plot(predicted, shares, 'o-', color='#2f7ed8')
    ax.set(xlabel='predicted probability', ylabel='share of voxels that are PVS', xlim=(0, 1), ylim=(0, 1))
    drawn.tight_layout()
    drawn.savefig(figure, dpi=110)
    plt.close(drawn)


def row(name: str, cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f'| {name} | ' + ' | '.join(cells) + ' |'


def validator_of(made: Model, volumes: list[TrainingImage]) -> Validator:
    """A validator that shows scans as the card has it."""
    card = made.card
    return Validator(
        volumes, TissueNormalization.from_card(card.intensity), torch.device('cpu'), patch=card.patch_size,
        stride=card.stride, box=card.box, mirror=card.mirror,
    )  # fmt: skip


def write_metrics(
    card: Path, dice_by_heads: dict[str, float], shares: np.ndarray, predicted: np.ndarray
) -> None:
    """Put what was measured into a model's card."""
    entries = json.loads(card.read_text())
    entries['metrics'] = {
        'validation_dice': round(float(np.mean([*dice_by_heads.values()])), 3),
        'validation_dice_by_heads': {name: round(d, 3) for name, d in dice_by_heads.items()},
        'calibration': {
            'predicted': predicted.round(2).tolist(),
            'share_of_spaces': shares.round(2).tolist(),
        },
    }
    card.write_text(json.dumps(entries, indent=2) + '\n')


def main(model: Path, cache: Path, figure: Path, folders: list[Path], write: bool) -> None:
    """Print the tables and draw the figure."""
    made = load_model(model)
    layout = torch.channels_last_3d
    half, whole = made.network().to(memory_format=layout), full_precision(made).to(memory_format=layout)
    everything, tables, exact = [], [], []
    print(row('heads', [f'{q:g}' for q in THRESHOLDS]))
    print(row('---', ['---'] * len(THRESHOLDS)))
    for folder in folders:
        volumes = heads_of(folder, cache, made)
        validator = validator_of(made, volumes)
        maps = [(validator.probability(half, v), v.target > 0) for v in tqdm(volumes, desc=folder.name)]
        exact.append((maps[0], validator.probability(whole, volumes[0])))
        everything += maps
        tables.append(by_threshold(maps))
        scores, volume = tables[-1].mean(0).T
        print(row(f'{folder.name}, Dice', [f'{d:.3f}' for d in scores]))
        print(row(f'{folder.name}, volume', [f'{100 * d:+.0f} %' for d in volume]))
    print(row('all, Dice', [f'{d:.3f}' for d in np.concatenate(tables)[..., 0].mean(0)]))
    print('half less single precision, one head a data set:')
    q = made.card.threshold
    for (p, t), single in exact:
        change = dice(p >= q, t) - dice(single >= q, t)
        print(f'  Dice {change:+.5f}, largest difference of a probability {np.abs(p - single).max():.4f}')
    p, t = (np.concatenate([m[k][m[0] >= LEAST] for m in everything]) for k in (0, 1))
    shares, predicted = calibration_curve(t, p, n_bins=BINS)
    for a, b in zip(predicted, shares, strict=True):
        print(f'predicted {a:.2f}: {b:.2f} are spaces')
    draw(shares, predicted, figure)
    if write:
        at = int(np.abs(THRESHOLDS - made.card.threshold).argmin())
        scores = {f.name: float(t[:, at, 0].mean()) for f, t in zip(folders, tables, strict=True)}
        write_metrics(made.folder / 'model.json', scores, shares, predicted)


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('model', type=Path, metavar='MODEL_DIR')
    p.add_argument('cache', type=Path, metavar='CACHE')
    p.add_argument('figure', type=Path, metavar='FIGURE')
    p.add_argument('folders', type=Path, nargs='+', metavar='HEADS_DIR')
    p.add_argument('--write', action='store_true', help="write what was measured into the model's card")
    main(**vars(p.parse_args()))
