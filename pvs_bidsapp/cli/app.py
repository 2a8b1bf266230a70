"""The BIDS-App form: ``pvs BIDS_DIR OUT_DIR participant|group``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import InputError
from .arguments import command_parser

if TYPE_CHECKING:
    from ..bids.query import Query, Scan
    from ..settings import Settings

DEFAULT_MODEL = 'joliot2021-t1'
#: A scan's steps need up to 2.6 GiB, the program itself some more.
LEAST_MEMORY = 3.0

DESCRIPTION = """\
Find and measure perivascular spaces (PVS) on T1w (and T2w) brain MRI. Research software, not a
medical device. Nothing is written to BIDS_DIR, and nothing is ever sent or fetched."""

EPILOG = """\
examples:
  pvs /bids /out participant                                  every T1w of every session
  pvs /bids /out participant --participant-label 01 02        two subjects
  pvs /bids /out participant --dry-run                        what would be run, on which inputs
  pvs /bids /out group                                        tables and a page of the cohort

other commands (pvs COMMAND --help):
  train      retrain a model on traced scans
  predict    one scan, or a folder of scans, without BIDS
  evaluate   compare masks with traced ones
  simulate   a BIDS data set of simulated heads with known PVS
  models     the bundled models

exit status: 0 all done; 1 some scan failed (the others are finished); 2 usage or bad input;
3 a model or template is missing or damaged.
"""


def parser() -> argparse.ArgumentParser:
    """Arguments of the BIDS-App."""
    p = command_parser('pvs', DESCRIPTION, EPILOG)
    p.add_argument('bids_dir', type=Path, metavar='BIDS_DIR', help='BIDS data set')
    p.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='where the derivatives go')
    p.add_argument(
        'level',
        choices=('participant', 'group'),
        help='participant: find and measure, scan by scan; group: the cohort',
    )
    p.add_argument('--version', action='version', version=f'pvs {__version__}')
    p.add_argument(
        '-v', '--verbose', action='count', default=0, help='say more (twice: also what nipype says)'
    )
    add_selection(p.add_argument_group('which scans'))
    add_analysis(p.add_argument_group('analysis'))
    add_execution(p.add_argument_group('how it is run'))
    add_group(p.add_argument_group('group'))
    return p


def add_group(g: argparse._ArgumentGroup) -> None:
    """Arguments of the group level; columns are those of participants.tsv, and ICV."""
    g.add_argument('--cohort', metavar='COLUMN', help='compare the cohorts that this column names')
    g.add_argument(
        '--compare',
        action='append',
        default=[],
        metavar='NAME=OUT_DIR',
        help='compare with the outputs of another data set (repeatable)',
    )
    g.add_argument(
        '--match', nargs='+', default=[], metavar='COLUMN', help='match cohorts on these, e.g. age sex'
    )
    g.add_argument('--rating', metavar='COLUMN', help='explain this visual rating by the number of clusters')
    g.add_argument(
        '--covariates',
        nargs='+',
        default=[],
        metavar='COLUMN',
        help='explain volume, fraction and count of each region by these, e.g. age sex ICV',
    )
    g.add_argument('--formula', metavar='TEXT', help='right-hand side of a formula, e.g. "age * sex + ICV"')
    g.add_argument(
        '--harmonize', metavar='COLUMN', help='take out the effects of this column (site) by ComBat first'
    )
    g.add_argument(
        '--size-filters', '--size_filters', nargs='+', type=float, default=[0, 5, 10, 15], metavar='MM3',
        help='cluster sizes below which clusters are left out in turn (default 0 5 10 15)',
    )  # fmt: skip


def group(args: argparse.Namespace) -> int:
    """Run the group level; returns the exit status."""
    from ..commands.group import GroupOptions, run_group

    if args.cohort and args.compare:
        raise InputError('--cohort and --compare: give one of them')
    if args.match and not (args.cohort or args.compare):
        raise InputError('--match needs --cohort or --compare')
    others = {}
    for entry in args.compare:
        name, _, path = entry.partition('=')
        if not path or not Path(path).is_dir():
            raise InputError(f'--compare {entry}: give NAME=OUT_DIR, the folder of another participant run')
        others[name] = Path(path)
    page = run_group(GroupOptions(
        args.bids_dir, args.out_dir, tuple(sorted(args.size_filters)), args.cohort, others, tuple(args.match),
        args.rating, tuple(args.covariates), args.formula, args.harmonize,
    ))  # fmt: skip
    print(f'report: {page}')
    return 0


def add_selection(g: argparse._ArgumentGroup) -> None:
    """Arguments that say which scans are worked on."""
    g.add_argument(
        '--participant-label',
        '--participant_label',
        nargs='+',
        default=[],
        metavar='LABEL',
        help='only these subjects (with or without sub-)',
    )
    g.add_argument(
        '--session-label',
        '--session_label',
        '--session-id',
        '--session_id',
        nargs='+',
        default=[],
        metavar='LABEL',
        help='only these sessions (with or without ses-)',
    )
    g.add_argument(
        '--bids-filter-file',
        '--bids_filter_file',
        type=Path,
        metavar='FILE',
        help='JSON with pybids filters: {"t1w": {"acquisition": "mprage"}, "t2w": {...}}',
    )
    g.add_argument(
        '--skip-bids-validation',
        '--skip_bids_validation',
        '--skip-bids-validator',
        '--skip_bids_validator',
        action='store_true',
        help='accepted; the data set is never validated, only searched',
    )
    g.add_argument(
        '-d',
        '--derivatives',
        nargs='+',
        default=[],
        metavar='NAME=PATH',
        help='derivative data sets whose brain masks (desc-brain_mask) and T1w segmentations (dseg) are used',
    )
    g.add_argument(
        '--bids-database-dir',
        '--bids_database_dir',
        type=Path,
        metavar='DIR',
        help="folder with (or for) pybids' index",
    )


def add_analysis(g: argparse._ArgumentGroup) -> None:
    """Arguments that decide the result."""
    g.add_argument(
        '--model',
        default=DEFAULT_MODEL,
        metavar='NAME|DIR',
        help=f'a bundled model or the folder of a trained one (default {DEFAULT_MODEL})',
    )
    g.add_argument(
        '--modality',
        choices=('auto', 'T1w', 'T1w+T2w'),
        default='auto',
        help='auto: T2w is registered where there is one, and used if the model asks for it; T1w: T2w is left alone; T1w+T2w: scans without T2w fail',
    )
    g.add_argument(
        '--threshold',
        type=float,
        metavar='P',
        help="probability from which a voxel counts (default: the model's)",
    )
    g.add_argument(
        '--min-cluster-size',
        '--min_cluster_size',
        type=float,
        metavar='MM3',
        help="smaller clusters are dropped (default: the model's)",
    )
    g.add_argument(
        '--random-seed',
        '--random_seed',
        type=int,
        default=1,
        metavar='N',
        help='seed of all that is random (default 1)',
    )


def add_execution(g: argparse._ArgumentGroup) -> None:
    """Arguments that say how the program runs."""
    g.add_argument(
        '-w',
        '--work-dir',
        '--work_dir',
        type=Path,
        metavar='DIR',
        help='where intermediate files go (default OUT_DIR/work, removed when all is done)',
    )
    g.add_argument(
        '--clean-workdir',
        '--clean_workdir',
        action='store_true',
        help='remove the work folder when all is done',
    )
    g.add_argument(
        '--nprocs',
        '--n-cpus',
        '--n_cpus',
        type=int,
        metavar='N',
        help='processes at a time (default: all cores)',
    )
    g.add_argument(
        '--omp-nthreads',
        '--omp_nthreads',
        type=int,
        metavar='N',
        help='threads of the network (default: as --nprocs, at most 8); registration always uses one, which makes it repeatable',
    )
    g.add_argument(
        '--mem', type=float, metavar='GB', help='memory to keep to (default: 90 %% of what is there)'
    )
    g.add_argument(
        '--device',
        default='auto',
        help='auto, cpu, cuda or cuda:N; only auto falls back to the CPU, and says so',
    )
    g.add_argument(
        '--plugin', type=Path, metavar='FILE', help='nipype plugin file (YAML): SLURM, SGE, PBS, LSF'
    )
    g.add_argument(
        '--stop-on-first-crash',
        '--stop_on_first_crash',
        action='store_true',
        help='stop at the first failed scan',
    )
    g.add_argument('--reports-only', '--reports_only', action='store_true', help='only write the pages anew')
    g.add_argument(
        '--boilerplate-only',
        '--boilerplate_only',
        action='store_true',
        help='only print the paragraph for a methods section',
    )
    g.add_argument(
        '--dry-run', '--dry_run', action='store_true', help='only print what would be run, on which inputs'
    )
    g.add_argument('--notrack', action='store_true', help='accepted; nothing is ever sent anywhere')


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    args = parser().parse_args(argv)
    level = logging.DEBUG if args.verbose > 1 else logging.INFO
    logging.basicConfig(level=level, format='pvs: %(message)s', stream=sys.stderr)
    _check_folders(args)
    if args.level == 'group':
        return group(args)
    return participant(args)


def _check_folders(args: argparse.Namespace) -> None:
    if not args.bids_dir.is_dir():
        raise InputError(f'{args.bids_dir}: no such folder; give the root of a BIDS data set')
    bids, out = args.bids_dir.resolve(), args.out_dir.resolve()
    if out == bids or bids in out.parents:
        raise InputError(
            f'OUT_DIR {args.out_dir} lies inside BIDS_DIR, to which nothing is written; give another'
        )
    if args.out_dir.exists() and not args.out_dir.is_dir():
        raise InputError(f'OUT_DIR {args.out_dir} is a file')


def participant(args: argparse.Namespace) -> int:
    """Run the participant level; returns the exit status."""
    settings = make_settings(args)
    if args.boilerplate_only:
        from ..outputs.texts import methods

        print(methods(settings))
        return 0
    from ..bids.query import find_scans

    scans = find_scans(args.bids_dir.resolve(), _query(args))
    if args.dry_run:
        _print_plan(scans, settings)
        return 0
    check_writable(args.out_dir)
    from ..commands import participant as workflow

    if args.reports_only:
        for page in workflow.write_pages(scans, settings, {}):
            print(f'report: {page}')
        return 0
    if args.work_dir:
        check_writable(settings.execution.work_dir, 'work folder')
    outcome = workflow.run(scans, settings)
    for name in outcome.reused:
        print(f'{name}: done before with the same settings, kept')
    for name in outcome.done:
        print(f'{name}: done')
    for name, reason in outcome.failed.items():
        print(f'pvs: error: {name}: {reason}', file=sys.stderr)
    print(
        f'{len(outcome.done)} done, {len(outcome.reused)} kept, {len(outcome.failed)} failed; reports: {settings.out_dir}/sub-*.html'
    )
    return outcome.exit_status


def _query(args: argparse.Namespace) -> Query:
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


def make_settings(args: argparse.Namespace) -> Settings:
    """Settings from the arguments.

    Raises
    ------
    InputError, ModelError
        If an argument is out of its range, or the model is missing or damaged.
    """
    from ..runtime.resources import cores
    from ..segmentation.device import choose_device
    from ..segmentation.model import load_model
    from ..settings import Analysis, Execution, Settings

    bundle = load_model(args.model)
    bundle.verify()
    card = bundle.card
    threshold = card.threshold if args.threshold is None else args.threshold
    minimum = card.min_cluster_size if args.min_cluster_size is None else args.min_cluster_size
    if not 0 < threshold <= 1 or minimum < 0:
        raise InputError('--threshold must lie in (0, 1] and --min-cluster-size must not be negative')
    if args.modality == 'T1w' and 'T2w' in card.channels:
        raise InputError(f'--modality T1w: the model {card.name} needs a T2w; choose another --model')
    nprocs = args.nprocs or cores()
    if nprocs < 1 or (args.omp_nthreads is not None and args.omp_nthreads < 1):
        raise InputError('--nprocs and --omp-nthreads must be at least 1')
    out_dir = args.out_dir.resolve()
    execution = Execution(
        nprocs=nprocs,
        omp_nthreads=min(args.omp_nthreads or min(nprocs, 8), nprocs),
        memory_gb=enough_memory(args.mem),
        device='cpu' if args.dry_run or args.boilerplate_only else choose_device(args.device),
        work_dir=(args.work_dir or out_dir / 'work').resolve(),
        clean_workdir=args.clean_workdir or args.work_dir is None,
        plugin=str(_plugin_file(args.plugin)) if args.plugin else None,
        stop_on_first_crash=args.stop_on_first_crash,
        verbose=args.verbose,
    )
    analysis = Analysis(
        model_name=card.name, model_version=card.version, model_sha256=card.sha256,
        model_dir=str(bundle.folder.resolve()), channels=card.channels, threshold=threshold,
        min_cluster_size=minimum, random_seed=args.random_seed, modality=args.modality,
        version=__version__, architecture=bundle.architecture,
    )  # fmt: skip
    return Settings(args.bids_dir.resolve(), out_dir, analysis, execution)


def _plugin_file(path: Path) -> Path:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f'--plugin {path}: cannot be read as YAML ({error})') from error
    if not isinstance(content, dict) or 'plugin' not in content:
        raise InputError(f'--plugin {path}: no "plugin:" entry')
    return path.resolve()


def enough_memory(asked: float | None) -> float:
    """Memory to keep to in GiB: what is asked for, else 90 % of what there is.

    Raises
    ------
    InputError
        If a scan does not fit into it.
    """
    from ..runtime.resources import memory_gb

    there = memory_gb()
    if min(asked or there, there) < LEAST_MEMORY:
        raise InputError(
            f'{min(asked or there, there):.1f} GB of memory may be used here, and a scan needs '
            f'{LEAST_MEMORY:g}: ask for more (docker -m 6g, sbatch --mem=6G, --mem 6)'
        )
    return asked or 0.9 * there


def check_writable(folder: Path, what: str = 'OUT_DIR') -> None:
    """Make a folder, or say in one line why it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f'.write-{os.getpid()}'
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f'{what} {folder} cannot be written to ({error.strerror})') from error


def _print_plan(scans: list[Scan], settings: Settings) -> None:
    from ..outputs.scan import status

    root = settings.bids_dir
    for scan in scans:
        parts = [f'T1w {scan.t1w.relative_to(root)}']
        parts.append(f'T2w {scan.t2w.relative_to(root)}' if scan.t2w else 'no T2w')
        if scan.brain_mask:
            parts.append(f'brain mask {scan.brain_mask}')
        if scan.segmentation:
            parts.append(f'segmentation {scan.segmentation}')
        parts.append({'done': 'done before', 'missing': 'to do'}.get(state := status(scan, settings), state))
        print('\t'.join(parts))
    print(f'{len(scans)} scans; model {settings.analysis.model_name}', file=sys.stderr)
