#!/usr/bin/env python3
"""What the generator of training patches draws, for comparison with published figures, and how fast it is.

python benchmarks/generated_patches.py LABEL_MAPS [--backgrounds OUT_DIR ...] [--patches N] [--figure FILE]

With outputs of ``participant``, also how fast patches are cut from real scans; the figure then shows these.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cc3d
import numpy as np
from scipy import ndimage

from pvs_bidsapp.commands.backgrounds import find_backgrounds, read_maps
from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation.background import prepare_background
from pvs_bidsapp.simulation.background_patches import BackgroundSampler
from pvs_bidsapp.simulation.label_maps import load_label_map
from pvs_bidsapp.simulation.patch_anatomy import draw_anatomy
from pvs_bidsapp.simulation.patch_generator import SPACING as VOXELS
from pvs_bidsapp.simulation.patch_generator import GeneratedPatch, PatchGenerator, PatchSampler
from pvs_bidsapp.simulation.patch_source import REGIONS, PatchSource, prepare_source
from pvs_bidsapp.simulation.patch_spaces import draw_contents

#: Voxel size in mm at which experts' tracings were measured; a space is seen from this contrast on.
SPACING, SEEN = 1.5, 0.04


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('label_maps', type=Path)
    parser.add_argument('--backgrounds', type=Path, nargs='+', default=[])
    parser.add_argument('--patches', type=int, default=60)
    parser.add_argument('--figure', type=Path)
    args = parser.parse_args()
    paths = sorted(args.label_maps.glob('*.nii.gz'))
    sources = [prepare_source(load_label_map(path)) for path in paths]
    print_contents(sources, args.patches)
    samplers: dict[str, PatchSampler] = {'label maps': PatchGenerator(sources, TissueNormalization())}
    if scans := find_backgrounds(args.backgrounds, ('T1w',)):
        backgrounds = [
            prepare_background(scan.name, read_maps(scan, VOXELS), TissueNormalization()) for scan in scans
        ]
        samplers['real scans'] = BackgroundSampler(backgrounds, TissueNormalization())
    print('\n| patches of 64 voxels from | s of one core | a second | PVS voxels, quartiles | left out (%) |')
    print('| --- | --- | --- | --- | --- |')
    for name, sampler in samplers.items():
        patches = print_speed(name, sampler, args.patches)
    if args.figure:
        draw(patches, args.figure)


def print_speed(name: str, sampler: PatchSampler, number: int) -> list[GeneratedPatch]:
    """Draw some patches, and print their row of the table.

    Parameters
    ----------
    name : str
    sampler : PatchSampler
    number : int
    """
    sampler.draw(np.random.default_rng(0))
    started = time.process_time()
    patches = [sampler.draw(np.random.default_rng([1, k])) for k in range(number)]
    seconds = (time.process_time() - started) / number
    low, middle, high = np.percentile([patch.label.sum() for patch in patches], [25, 50, 75]).astype(int)
    left_out = [0.0 if p.left_out is None else p.left_out[p.brain].mean() for p in patches]
    shown = f'{low}, {middle}, {high} | {100 * np.mean(left_out):.1f}'
    print(f'| {name} | {seconds:.3f} | {1 / seconds:.1f} | {shown} |')
    return patches


def print_contents(sources: list[PatchSource], number: int) -> None:
    """Print number, contrast and volume of the spaces in patches of 66 mm."""
    per_slice: list[float] = []
    peaks: list[float] = []
    fractions: dict[str, list[float]] = {name: [] for name in REGIONS}
    for k in range(number):
        rng = np.random.default_rng([2, k])
        source = sources[k % len(sources)]
        pool = source.centres['white-matter']
        anatomy = draw_anatomy(source, pool[rng.integers(len(pool))], (44, 44, 44), np.full(3, SPACING), rng)
        contents = draw_contents(anatomy, rng)
        seen = contents.occupancy * contents.contrast
        white = anatomy.region == 1
        per_slice += [
            100 * count / area for count, area in count_in_sections(seen * white, white) if area > 10
        ]
        peaks += peak_contrasts(seen * white)
        for n, name in enumerate(REGIONS, start=1):
            if (anatomy.region == n).sum() > 300:
                fractions[name].append(100 * float(contents.occupancy[anatomy.region == n].mean()))
    print(
        '| quantity | 5th | 25th | median | 75th | 95th percentile |\n| --- | --- | --- | --- | --- | --- |'
    )
    rows = {
        'spaces seen in 100 cm² of white matter of a section': per_slice,
        'peak contrast in white matter, of that between white matter and CSF': peaks,
    } | {f'volume fraction, {name} (%)': values for name, values in fractions.items()}
    for name, values in rows.items():
        found = ' | '.join(f'{v:.3g}' for v in np.percentile(values, [5, 25, 50, 75, 95]))
        print(f'| {name} | {found} |')


def count_in_sections(seen: np.ndarray, white: np.ndarray, step: int = 4) -> list[tuple[int, float]]:
    """Clusters seen, and area of white matter in cm², of each n-th axial section of voxels of 1.5 mm.

    Parameters
    ----------
    seen : ndarray, shape (x, y, z)
        Contrast of the spaces of white matter, of that between white matter and CSF.
    white : ndarray of bool, shape (x, y, z)
        White matter.
    step : int
    """
    return [
        (
            int(cc3d.connected_components(seen[:, :, z] > SEEN, connectivity=8).max()),
            float(white[:, :, z].sum()) * SPACING**2 / 100,
        )
        for z in range(0, seen.shape[2], step)
    ]


def peak_contrasts(seen: np.ndarray) -> list[float]:
    """Highest contrast of each cluster that is seen (26-connectivity)."""
    clusters = cc3d.connected_components(seen > SEEN, connectivity=26)
    return [float(v) for v in ndimage.maximum(seen, clusters, np.arange(1, clusters.max() + 1))]


def draw(patches: list[GeneratedPatch], path: Path) -> None:
    """Draw the section with most spaces of some patches."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, 8, figsize=(16, 6))
    chosen = sorted(patches, key=lambda patch: -patch.label.sum())[::2][:24]
    for axis, patch in zip(axes.ravel(), chosen, strict=False):
        section = int(patch.label.sum((0, 1)).argmax())
        axis.imshow(patch.image[0, :, :, section].T, cmap='gray', origin='lower', vmin=-2.2, vmax=1.2)
        axis.set_title(' x '.join(f'{size:.2f}' for size in patch.spacing) + ' mm', fontsize=7)
        axis.axis('off')
    figure.tight_layout()
    figure.savefig(path, dpi=60)


if __name__ == '__main__':
    main()
