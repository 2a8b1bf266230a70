#!/usr/bin/env python3
"""How well networks do on heads of another simulator than the one that made their training patches.

    python benchmarks/other_simulator.py LABEL_MAPS WORK_DIR [--models joliot2021-t1 m2ss-t1t2 t2]
        [--anatomies 13 14 15 16] [--patches SIZE STRIDE] [--write-bids BIDS_DIR]

LABEL_MAPS holds SynthSeg's seg_13 to seg_16, which no bundled model was trained on. In each of them an easy
and a hard head is drawn, by `other_heads.py`, which shares nothing with `pvs_bidsapp.simulation` but the
reading of label maps. Heads that are in WORK_DIR already are not drawn again. They are for judging: never
train on them. Networks get the true brain mask and tissue classes, so that they alone are judged.

Dice is the mean over heads, AUPRC and volume (that of the mask over the true one) are medians. d' is the
detectability index of a space on the T1w. A space is found if a voxel that it touches reaches the default
threshold of the model; a cluster there that touches no space is false. `--patches` takes the place of size
and stride of the patches in the cards, in voxels.

With `--write-bids`, the heads are also written as a BIDS dataset, cut and without skull, to judge the whole
workflow:

    pvs BIDS_DIR OUT_DIR participant
    pvs evaluate OUT_DIR BIDS_DIR/derivatives/labels EVALUATION_DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cc3d
import numpy as np
import pandas as pd
from other_heads import SUITES, Head, draw_head
from scipy.stats import binned_statistic
from suites import print_table, range_name

from pvs_bidsapp.anatomy.resampling import Grid
from pvs_bidsapp.bids.dataset import describe_derivative, describe_raw
from pvs_bidsapp.bids.naming import Naming, labels_dir
from pvs_bidsapp.clusters.burden import expected_dice
from pvs_bidsapp.evaluation.detection import recall_table, space_table
from pvs_bidsapp.evaluation.metrics import count_false
from pvs_bidsapp.evaluation.sweep import average_precision, sweep
from pvs_bidsapp.outputs.ground_truth import GroundTruth, write_ground_truth
from pvs_bidsapp.outputs.sidecars import bids_uri
from pvs_bidsapp.runtime.files import save_image, write_json
from pvs_bidsapp.segmentation.card import ModelCard
from pvs_bidsapp.segmentation.model import Model, load_model
from pvs_bidsapp.segmentation.network_input import BrainAnatomy
from pvs_bidsapp.segmentation.predict import predict
from pvs_bidsapp.simulation.label_maps import load_label_map
from pvs_bidsapp.simulation.rendering import Rendering

#: Seed of all heads, with the number of the anatomy and that of the suite.
SEED = 99
THRESHOLDS = tuple(np.round(np.arange(0.05, 1, 0.05), 2).tolist())
#: Those of the table by threshold.
SHOWN_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)
#: Ranges of d' whose recall is in the table.
RANGES = ((4, 6), (6, 8), (8, 12), (12, 20), (20, np.inf))
#: Edges of the probabilities in the table of calibration.
PROBABILITIES = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Heads by suite and number of the anatomy.
Heads = dict[tuple[str, str], Head]


def make_heads(maps: Path, anatomies: Sequence[int], work_dir: Path) -> Heads:
    """Read the heads of all anatomies and suites, and draw those that are not there."""
    heads = {}
    for number in anatomies:
        for order, (name, suite) in enumerate(SUITES.items()):
            path = work_dir / f'seg_{number:02d}-{name}.npz'
            if not path.exists():
                anatomy = load_label_map(maps / f'seg_{number:02d}.nii.gz')
                if not np.allclose(anatomy.spacing, 1):
                    sys.exit(f'{anatomy.name}: heads are drawn in label maps with voxels of 1 mm')
                draw_head(anatomy, suite, np.random.default_rng([SEED, number, order])).save(path)
                print(path, file=sys.stderr, flush=True)
            heads[name, f'{number:02d}'] = Head.load(path)
    return heads


def write_bids(heads: Heads, bids_dir: Path) -> None:
    """Write heads as a BIDS dataset, without skull, with the truth in ``derivatives/labels``."""
    describe_raw(bids_dir, 'Heads of another simulator', 'Made by benchmarks/other_simulator.py.\n')
    describe_derivative(labels_dir(bids_dir), 'Ground truth of the simulated heads', bids_dir)
    for (suite, number), head in heads.items():
        entities = (('sub', f'{suite}{number}'),)
        names = Naming(bids_dir, entities)
        for suffix, image in (('T1w', head.t1w), ('T2w', head.t2w)):
            save_image(names.anat(suffix), np.where(head.brain, image, 0), head.affine, np.float32)
            write_json(names.anat(suffix, '.json'), {'Manufacturer': 'simulated'})
        truth = GroundTruth(
            affine=head.affine,
            rendering=Rendering(head.occupancy, head.index),
            table=head.table,
            brain=head.brain,
            tissues=head.tissues,
            labels=head.labels,
            mimics=None,
            notes={'Anatomy': f'seg_{number}', 'Suite': suite},
        )
        source = bids_uri(names.anat('T1w'), bids_dir)
        write_ground_truth(Naming(labels_dir(bids_dir), entities), source, truth)


@dataclass(frozen=True, kw_only=True)
class HeadScores:
    """How well a network does on one head.

    Attributes
    ----------
    auprc : float
        Area under the precision-recall curve of the voxels of the brain.
    dice, volume : Series
        Dice, and volume of the mask over the true one, by threshold.
    spaces : DataFrame
        As `pvs_bidsapp.evaluation.detection.space_table`, at the model's threshold.
    false_clusters : int
        At the model's threshold.
    expected : float
        Dice at the model's threshold that its probabilities expect.
    calibration : ndarray, shape (2, 4)
        Mean probability of voxels, and fraction of them that are PVS, by the ranges of `PROBABILITIES`.
    """

    auprc: float
    dice: pd.Series
    volume: pd.Series
    spaces: pd.DataFrame
    false_clusters: int
    expected: float
    calibration: np.ndarray


def score_head(name: str, head: Head, probability: np.ndarray, threshold: float) -> HeadScores:
    """Compare a probability map with the truth.

    Parameters
    ----------
    name : str
        Name of the head in the table of spaces.
    head : Head
    probability : ndarray of float, shape (x, y, z)
        In [0, 1]; 0 outside of the brain.
    threshold : float
        That of the model.
    """
    reference, touched = head.reference, head.index > 0
    thresholds = sorted({*THRESHOLDS, threshold})
    table = sweep(probability, reference, 1.0, thresholds=thresholds, sizes=(0.0,))
    mask = probability >= threshold
    clusters = cc3d.connected_components(mask, connectivity=26)
    given, true = probability[head.brain], reference[head.brain]
    return HeadScores(
        auprc=average_precision(probability, reference, head.brain),
        dice=table.set_index('threshold')['dice'],
        volume=pd.Series({t: (probability >= t).sum() / reference.sum() for t in thresholds}),
        spaces=space_table(
            name,
            mask,
            touched,
            1.0,
            spaces=head.index,
            detectability=head.table.set_index('index')['detectability'],
        ),
        false_clusters=count_false(clusters, touched, 0.0, 1.0),
        expected=expected_dice(probability, clusters, head.brain),
        calibration=binned_statistic(given, [given, true], 'mean', bins=PROBABILITIES).statistic,
    )


def probability_map(head: Head, model: Model) -> np.ndarray:
    """What a model gives on a head, with the true brain mask and tissue classes.

    Returns
    -------
    probability : ndarray of float32, shape (x, y, z)
    """
    channels = [{'T1w': head.t1w, 'T2w': head.t2w}[channel] for channel in model.card.channels]
    anatomy = BrainAnatomy(brain=head.brain, tissues=head.tissues, affine=head.affine)
    return predict(channels, Grid(head.brain.shape, head.affine), anatomy, model).probability


def with_patches(model: Model, patches: Sequence[int] | None) -> Model:
    """A model with patches of another size and stride, in voxels, than those of its card."""
    if patches is None:
        return model
    return replace(model, card=replace(model.card, patch_size=patches[0], stride=patches[1]))


def main_row(scores: Sequence[HeadScores], threshold: float) -> list[str]:
    """Cells of the main scores."""
    dice = pd.concat([s.dice for s in scores], axis=1).mean(axis=1)
    return [
        f'{np.median([s.auprc for s in scores]):.3f}',
        f'{dice.max():.3f} (at {dice.idxmax():g})',
        f'{dice[threshold]:.3f} (at {threshold:g})',
        f'{np.median([s.volume[threshold] for s in scores]):.2f}',
        f'{np.mean([s.false_clusters for s in scores]):.1f}',
        f'{np.mean([s.expected for s in scores]):.3f}',
        f'{np.mean([abs(s.expected - s.dice[threshold]) for s in scores]):.3f}',
    ]


def recall_row(scores: Sequence[HeadScores], _threshold: float) -> list[str]:
    """Cells of the recall by d', with the number of spaces."""
    table = recall_table(pd.concat([s.spaces for s in scores]))
    rows = table[table['measure'] == 'detectability'].set_index(['low', 'high'])
    return [
        f'{rows.loc[limits, "recall"]:.2f} ({rows.loc[limits, "n_spaces"]:.0f})'
        if rows.loc[limits, 'n_spaces']
        else 'none'
        for limits in RANGES
    ]


def threshold_row(scores: Sequence[HeadScores], _threshold: float) -> list[str]:
    """Cells of Dice and volume by threshold."""
    return [
        f'{np.mean([s.dice[t] for s in scores]):.3f} ({np.median([s.volume[t] for s in scores]):.2f})'
        for t in SHOWN_THRESHOLDS
    ]


def calibration_row(scores: Sequence[HeadScores], _threshold: float) -> list[str]:
    """Cells of the calibration: mean probability, and fraction of PVS."""
    given, true = np.ma.masked_invalid([s.calibration for s in scores]).mean(axis=0)
    return [
        'none' if p is np.ma.masked else f'{p:.2f}: {fraction:.2f}'
        for p, fraction in zip(given, true, strict=True)
    ]


def judge(model: Model, heads: Heads) -> dict[str, list[HeadScores]]:
    """Scores of a model on all heads, by suite."""
    scores: dict[str, list[HeadScores]] = {}
    for (suite, number), head in heads.items():
        found = score_head(number, head, probability_map(head, model), model.card.threshold)
        print(model.card.name, suite, number, f'AUPRC {found.auprc:.3f}', file=sys.stderr, flush=True)
        scores.setdefault(suite, []).append(found)
    return scores


def print_tables(judged: list[tuple[ModelCard, dict[str, list[HeadScores]]]]) -> None:
    """Print a row of each table for each model and suite."""
    main = 'AUPRC', 'best Dice', 'Dice at the default', 'volume', 'false clusters a head'
    tables: dict[tuple[str, ...], Callable[[Sequence[HeadScores], float], list[str]]] = {
        (*main, 'expected Dice', 'mean difference to the true one'): main_row,
        tuple(range_name(*limits) for limits in RANGES): recall_row,
        tuple(f'Dice (volume) at {t:g}' for t in SHOWN_THRESHOLDS): threshold_row,
        tuple(f'{low:g} to {high:g}' for low, high in pairwise(PROBABILITIES)): calibration_row,
    }
    for headings, row in tables.items():
        rows = [
            [f'{card.name} {card.version}', suite, *row(found, card.threshold)]
            for card, scores in judged
            for suite, found in scores.items()
        ]
        print_table(['model', 'heads', *headings], rows)


def main() -> None:
    """Draw, judge, print the tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('label_maps', type=Path)
    p.add_argument('work_dir', type=Path)
    p.add_argument('--models', nargs='*', default=['joliot2021-t1', 'm2ss-t1t2', 't2'])
    p.add_argument('--anatomies', type=int, nargs='+', default=[13, 14, 15, 16])
    p.add_argument('--patches', type=int, nargs=2, metavar=('SIZE', 'STRIDE'))
    p.add_argument('--write-bids', type=Path, metavar='BIDS_DIR')
    args = p.parse_args()
    models = [with_patches(load_model(spec), args.patches) for spec in args.models]
    heads = make_heads(args.label_maps, args.anatomies, args.work_dir)
    if args.write_bids:
        write_bids(heads, args.write_bids)
    print_tables([(model.card, judge(model, heads)) for model in models])


if __name__ == '__main__':
    main()
