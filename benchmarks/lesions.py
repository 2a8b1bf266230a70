#!/usr/bin/env python3
"""How many of the marked clusters lie in lesions that readers traced.

    python benchmarks/lesions.py BIDS_DIR WMH_DIR WORK_DIR [--models joliot2021-t1 m2ss-t1t2 t2]
        [--exclude-wmh 0.5] [--nprocs 2]

WMH_DIR holds a traced mask of each scan (`*_label-WMH_mask.nii.gz`). Each model segments the scans, once
with all clusters and once with `--exclude-wmh`. The table has clusters of all scans of a model together:
those with a voxel in a lesion, those with at least half of their voxels there, and the volume in lesions.
What is done already in WORK_DIR is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from suites import print_table
from watching import run

from pvs_bidsapp.outputs.result_tables import find_results
from pvs_bidsapp.segmentation.model import load_model


def read_clusters(out_dir: Path) -> pd.DataFrame:
    """The clusters of all scans of outputs of `participant`."""
    results, _ = find_results(out_dir)
    tables = [names.anat('dseg', '.tsv', desc='pvs') for names in results]
    return pd.concat([pd.read_csv(table, sep='\t', na_values='n/a') for table in tables], ignore_index=True)


def cells(clusters: pd.DataFrame) -> list[str]:
    """Number of the clusters, and how many of them and how much of their volume lie in lesions."""
    share, volume = clusters['wmh_fraction'].to_numpy(), clusters['volume_mm3'].to_numpy()
    found = [f'{mask.sum()} ({100 * mask.mean():.0f} %)' for mask in (share > 0, share >= 0.5)]
    return [f'{len(clusters)}', *found, f'{100 * np.average(share, weights=volume):.0f} %']


def main() -> None:
    """Segment, and print the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('bids_dir', type=Path)
    p.add_argument('wmh_dir', type=Path)
    p.add_argument('work_dir', type=Path)
    p.add_argument('--models', nargs='+', default=['joliot2021-t1', 'm2ss-t1t2', 't2'])
    p.add_argument('--exclude-wmh', default='0.5', metavar='SHARE')
    p.add_argument('--nprocs', type=int, default=2)
    args = p.parse_args()
    rows = []
    for spec in args.models:
        model = load_model(spec)
        name = f'{model.card.name} {model.card.version}'
        for label, options in (('all', ()), ('excluded', ('--exclude-wmh', args.exclude_wmh))):
            out = args.work_dir / f'{Path(spec).name}-{label}'
            run(args.bids_dir, out, 'participant', '--model', model.folder, '--modality',
                '+'.join(model.card.channels), '-d', f'wmh={args.wmh_dir}', *options, '--nprocs', args.nprocs,
                '-w', args.work_dir / 'work', '--keep-workdir')  # fmt: skip
            rows.append([name, ' '.join(options) or 'none', *cells(read_clusters(out))])
    headings = ['clusters', 'touch a lesion', 'half in lesions', 'volume in lesions']
    print_table(['model', 'option', *headings], rows)


if __name__ == '__main__':
    main()
