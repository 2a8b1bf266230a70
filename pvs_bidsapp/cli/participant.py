"""``pvs BIDS_DIR OUT_DIR participant``: options, and the settings that they make."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import InputError
from .arguments import add_option

if TYPE_CHECKING:
    from ..bids.query import Query, Scan
    from ..settings import Analysis, Execution, Settings

DEFAULT_MODEL = 'joliot2021-t1'


def add_selection(g: argparse._ArgumentGroup) -> None:
    """Add the options that choose the scans."""
    add_option(
        g, '--participant-label', nargs='+', default=[], metavar='LABEL',
        help='only these subjects (with or without sub-)',
    )  # fmt: skip
    add_option(
        g, '--session-label', '--session-id', nargs='+', default=[], metavar='LABEL',
        help='only these sessions (with or without ses-)',
    )  # fmt: skip
    add_option(
        g, '--bids-filter-file', type=Path, metavar='FILE',
        help='JSON file with pybids filters: {"t1w": {"acquisition": "mprage"}, "t2w": {...}}',
    )  # fmt: skip
    add_option(
        g, '--skip-bids-validation', '--skip-bids-validator', action='store_true',
        help='accepted for compatibility; the dataset is never validated',
    )  # fmt: skip
    add_option(
        g, '-d', '--derivatives', nargs='+', default=[], metavar='NAME=PATH',
        help='use brain masks (desc-brain_mask) and T1w segmentations (dseg) of these derivative datasets',
    )  # fmt: skip
    add_option(
        g, '--bids-database-dir', type=Path, metavar='DIR',
        help='folder of the pybids index; made there if it does not exist',
    )  # fmt: skip


def add_analysis(g: argparse._ArgumentGroup) -> None:
    """Add the options that decide the result."""
    add_option(
        g, '--model', default=DEFAULT_MODEL, metavar='NAME|DIR',
        help=f'a bundled model, or the folder of a model that you trained (default {DEFAULT_MODEL})',
    )  # fmt: skip
    add_option(
        g, '--modality', choices=('auto', 'T1w', 'T1w+T2w'), default='auto',
        help='auto: register the T2w where there is one, and use it if the model needs it; T1w: ignore T2w '
        'scans; T1w+T2w: a scan without a T2w fails',
    )  # fmt: skip
    add_option(
        g, '--threshold', type=float, metavar='P',
        help="voxels of at least this probability count as PVS (default: the model's threshold)",
    )  # fmt: skip
    add_option(
        g, '--min-cluster-size', type=float, metavar='MM3',
        help="drop smaller clusters (default: the model's minimum)",
    )  # fmt: skip
    add_option(
        g, '--random-seed', type=int, default=1, metavar='N', help='seed of all random numbers (default 1)'
    )


def add_execution(g: argparse._ArgumentGroup) -> None:
    """Add the options that decide how the program runs."""
    add_option(
        g, '-w', '--work-dir', type=Path, metavar='DIR',
        help='folder for intermediate files (default OUT_DIR/work, removed once all scans are done)',
    )  # fmt: skip
    add_option(
        g, '--clean-workdir', action='store_true',
        help='remove the intermediate files from --work-dir once all scans are done',
    )  # fmt: skip
    add_option(
        g, '--nprocs', '--n-cpus', type=int, metavar='N',
        help='processes in parallel (default: one per available core)',
    )  # fmt: skip
    add_option(
        g, '--omp-nthreads', type=int, metavar='N',
        help='threads of the network (default: --nprocs, at most 8); registration always uses one thread, '
        'so that its results can be repeated',
    )  # fmt: skip
    add_option(
        g, '--mem', type=float, metavar='GB', help='memory limit (default: 90 %% of the available memory)'
    )
    add_option(
        g, '--device', default='auto',
        help='auto, cpu, cuda or cuda:N; only auto falls back to the CPU, with a message (default auto)',
    )  # fmt: skip
    add_option(
        g, '--plugin', type=Path, metavar='FILE', help='nipype plugin file (YAML): SLURM, SGE, PBS, LSF'
    )
    add_option(g, '--stop-on-first-crash', action='store_true', help='stop at the first scan that fails')
    add_option(g, '--reports-only', action='store_true', help='only write the report pages again')
    add_option(
        g, '--boilerplate-only', action='store_true', help='only print the paragraph for a methods section'
    )
    add_option(g, '--dry-run', action='store_true', help='only list what would be processed, with its inputs')
    add_option(g, '--notrack', action='store_true', help='accepted for compatibility; nothing is ever sent')


def main(args: argparse.Namespace) -> int:
    """Run the participant level; returns the exit status."""
    bids_dir = args.bids_dir.resolve()
    settings = make_settings(args, bids_dir)
    if args.boilerplate_only:
        from ..outputs.methods import methods

        print(methods(settings))
        return 0
    return process(args, settings, make_query(args))


def process(args: argparse.Namespace, settings: Settings, query: Query) -> int:
    """Find the scans and process them, list them, or write their pages; returns the exit status.

    Parameters
    ----------
    args : Namespace
    settings : Settings
    query : Query

    Raises
    ------
    InputError
        If no scan is found, or an output folder cannot be written to.
    """
    from ..bids.query import find_scans
    from ..runtime.files import check_writable

    scans = find_scans(settings.bids_dir, query)
    if args.dry_run:
        _print_plan(scans, settings)
        return 0
    check_writable(settings.out_dir, 'OUT_DIR')
    if args.reports_only:
        from ..outputs.reports import write_pages

        for page in write_pages(scans, settings, {}):
            print(f'report: {page}')
        return 0
    if args.work_dir:
        check_writable(settings.execution.work_dir, 'work folder')
    from ..commands.participant import run

    outcome = run(scans, settings)
    for name in outcome.reused:
        print(f'{name}: done before with the same settings, kept')
    for name in outcome.done:
        print(f'{name}: done')
    for name, reason in outcome.failed.items():
        print(f'pvs: error: {name}: {reason}', file=sys.stderr)
    print(
        f'{len(outcome.done)} done, {len(outcome.reused)} kept, {len(outcome.failed)} failed; '
        f'reports: {settings.out_dir}/sub-*.html'
    )
    return outcome.exit_status


def make_query(args: argparse.Namespace) -> Query:
    """Which scans the options choose.

    Raises
    ------
    InputError
        If a derivative dataset or the filter file cannot be read.
    """
    from ..bids.query import Query, read_filters

    derivatives = []
    for entry in args.derivatives:
        name, _, path = entry.partition('=')
        folder = Path(path or name)
        if not folder.is_dir():
            raise InputError(f'--derivatives {entry}: no such folder; give NAME=PATH')
        derivatives.append(folder.resolve())
    return Query(
        subjects=tuple(dict.fromkeys(label.removeprefix('sub-') for label in args.participant_label)),
        sessions=tuple(dict.fromkeys(label.removeprefix('ses-') for label in args.session_label)),
        filters=read_filters(args.bids_filter_file) if args.bids_filter_file else None,
        use_t2w=args.modality != 'T1w',
        database_dir=args.bids_database_dir,
        derivatives=tuple(derivatives),
    )


def make_settings(args: argparse.Namespace, bids_dir: Path) -> Settings:
    """Settings from the options of analysis and execution.

    Parameters
    ----------
    args : Namespace
    bids_dir : Path
        Dataset of the scans, absolute.

    Raises
    ------
    InputError, ModelError
        If a value is out of its range, or the model is missing or damaged.
    """
    from ..settings import Settings

    out_dir = args.out_dir.resolve()
    return Settings(
        bids_dir=bids_dir, out_dir=out_dir, analysis=_analysis(args), execution=_execution(args, out_dir)
    )


def _analysis(args: argparse.Namespace) -> Analysis:
    from ..segmentation.model import load_model
    from ..settings import Analysis

    model = load_model(args.model)
    model.verify()
    card = model.card
    threshold = card.threshold if args.threshold is None else args.threshold
    minimum = card.min_cluster_size if args.min_cluster_size is None else args.min_cluster_size
    if not 0 < threshold <= 1 or minimum < 0:
        raise InputError('--threshold must lie in (0, 1] and --min-cluster-size must not be negative')
    if args.modality == 'T1w' and 'T2w' in card.channels:
        raise InputError(f'--modality T1w: the model {card.name} needs a T2w; choose another --model')
    return Analysis(
        model_name=card.name,
        model_version=card.version,
        model_sha256=card.sha256,
        model_dir=str(model.folder.resolve()),
        channels=card.channels,
        threshold=threshold,
        min_cluster_size=minimum,
        random_seed=args.random_seed,
        modality=args.modality,
        version=__version__,
        architecture=model.architecture,
    )


def _execution(args: argparse.Namespace, out_dir: Path) -> Execution:
    from ..runtime.resources import cores, memory_for_scans
    from ..segmentation.device import choose_device
    from ..settings import Execution

    nprocs = args.nprocs or cores()
    if nprocs < 1 or (args.omp_nthreads is not None and args.omp_nthreads < 1):
        raise InputError('--nprocs and --omp-nthreads must be at least 1')
    return Execution(
        nprocs=nprocs,
        omp_nthreads=min(args.omp_nthreads or min(nprocs, 8), nprocs),
        memory_gb=memory_for_scans(args.mem),
        device='cpu' if args.dry_run or args.boilerplate_only else choose_device(args.device),
        work_dir=(args.work_dir or out_dir / 'work').resolve(),
        clean_workdir=args.clean_workdir or args.work_dir is None,
        plugin=_plugin_file(args.plugin),
        stop_on_first_crash=args.stop_on_first_crash,
        verbose=args.verbose,
    )


def _plugin_file(path: Path | None) -> str | None:
    """The absolute path of a plugin file that can be read."""
    if path is None:
        return None
    from ..workflows.engine import read_plugin_file

    read_plugin_file(path)
    return str(path.resolve())


def _print_plan(scans: Sequence[Scan], settings: Settings) -> None:
    from ..outputs.scan import status

    root = settings.bids_dir
    for scan in scans:
        parts = [f'T1w {scan.t1w.relative_to(root)}']
        parts.append(f'T2w {scan.t2w.relative_to(root)}' if scan.t2w else 'no T2w')
        if scan.brain_mask:
            parts.append(f'brain mask {scan.brain_mask}')
        if scan.segmentation:
            parts.append(f'segmentation {scan.segmentation}')
        state = status(scan, settings)
        parts.append({'done': 'done before', 'missing': 'to do'}.get(state, state))
        print('\t'.join(parts))
    print(f'{len(scans)} scans; model {settings.analysis.model_name}', file=sys.stderr)
