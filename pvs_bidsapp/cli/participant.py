"""``pvs BIDS_DIR OUT_DIR participant``: options, and the settings that they make."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..messages import options
from ..messages.message import one_line
from ..settings import DEFAULT_MODELS
from .arguments import PATH, PROCESSES, SIZE, Number, WholeNumber, add_option
from .folders import is_same

if TYPE_CHECKING:
    from ..bids.query import Query, Selection
    from ..settings import Analysis, Execution, Settings

LOG = logging.getLogger(__name__)
#: `pvs_bidsapp.anatomy.template.SPACE`, without the imports of that module.
STANDARD_SPACE = 'MNI152NLin2009cSym'
#: Threads of a step if nobody says otherwise: more help little.
MOST_THREADS = 8
#: Probabilities from which voxels count as PVS.
THRESHOLD = Number(low=0, above=True, high=1)
#: How the help of options begins that never have an effect, and need no word.
COMPATIBLE = 'accepted for compatibility'
_SHARE = Number(low=0, above=True, high=1)
#: Seeds that numpy and ITK take; to ITK, 0 means a new one each time.
_RANDOM_SEED = WholeNumber(low=1, high=2**31 - 1)
_MEMORY = Number(low=0, above=True)


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
        g, '--bids-filter-file', type=PATH, metavar='FILE',
        help='JSON file with pybids filters: {"t1w": {"acquisition": "mprage"}, "t2w": {...}}',
    )  # fmt: skip
    add_option(
        g, '--skip-bids-validation', '--skip-bids-validator', action='store_true',
        help=f'{COMPATIBLE}; the dataset is never validated',
    )  # fmt: skip
    add_option(
        g, '-d', '--derivatives', nargs='+', default=[], metavar='NAME=PATH',
        help='use brain masks (desc-brain_mask), T1w segmentations (dseg) and masks of white matter '
        'hyperintensities (label-WMH_mask) of these derivative datasets, under names of your choice',
    )  # fmt: skip
    add_option(
        g, '--exclude-wmh', type=_SHARE, metavar='SHARE',
        help='leave out clusters of which at least this share, in (0, 1], lies in white matter '
        'hyperintensities; a scan without a mask of them fails',
    )  # fmt: skip
    add_option(
        g, '--bids-database-dir', type=PATH, metavar='DIR',
        help='folder in which the pybids index of all subjects is kept from run to run',
    )  # fmt: skip


def add_analysis(g: argparse._ArgumentGroup) -> None:
    """Add the options that decide the result."""
    add_option(
        g, '--model', metavar='NAME|DIR',
        help='a bundled model, or the folder of a model that you trained '
        f'(default {DEFAULT_MODELS["T1w"]}; with --modality T2w {DEFAULT_MODELS["T2w"]})',
    )  # fmt: skip
    add_option(
        g, '--modality', choices=('auto', 'T1w', 'T1w+T2w', 'T2w'), default='auto',
        help='auto: register the T2w where there is one, and use it if the model needs it; T1w: ignore T2w '
        'scans; T1w+T2w: a scan without a T2w fails; T2w: take T2w scans alone, and ignore T1w scans',
    )  # fmt: skip
    add_option(
        g, '--threshold', type=THRESHOLD, metavar='P',
        help="voxels of at least this probability count as PVS (default: the model's threshold)",
    )  # fmt: skip
    add_option(
        g, '--min-cluster-size', type=SIZE, metavar='MM3',
        help="drop smaller clusters (default: the model's minimum)",
    )  # fmt: skip
    add_option(
        g, '--random-seed', type=_RANDOM_SEED, default=1, metavar='N',
        help='seed of all random numbers, at least 1 (default 1)',
    )  # fmt: skip
    add_option(
        g, '--precision', choices=('auto', 'fp32', 'bf16'), default='auto',
        help='precision inside the network; bf16 is faster on processors with units for it, with slightly '
        'different masks (default auto: fp32 on a CPU, fp16 on a GPU)',
    )  # fmt: skip

    add_option(
        g, '--output-spaces', nargs='+', choices=('T1w', STANDARD_SPACE), default=['T1w'], metavar='SPACE',
        help=f'T1w, which is always written, and {STANDARD_SPACE}: also write mask and probability in the '
        "template's space, and the transforms",
    )  # fmt: skip


def add_execution(g: argparse._ArgumentGroup) -> None:
    """Add the options that decide how the program runs."""
    add_option(
        g, '-w', '--work-dir', type=PATH, metavar='DIR',
        help='folder for intermediate files; those of a scan are removed when it is done (default '
        'OUT_DIR/work)',
    )  # fmt: skip
    add_option(g, '--keep-workdir', action='store_true', help='keep the intermediate files of all scans')
    add_option(g, '--clean-workdir', action='store_true', help=f'{COMPATIBLE}; this is the default')
    add_option(
        g, '--nprocs', '--n-cpus', type=PROCESSES, metavar='N',
        help='processes in parallel, and scans that are worked on at a time (default: one per available '
        'core)',
    )  # fmt: skip
    add_option(
        g, '--omp-nthreads', type=PROCESSES, metavar='N',
        help='threads of a step that can use several (default: up to 8, as far as other scans leave cores of '
        '--nprocs)',
    )  # fmt: skip
    add_option(
        g, '--mem', type=_MEMORY, metavar='GB', help='memory limit (default: 90 %% of the available memory)'
    )
    add_option(
        g, '--device', default='auto',
        help='auto, cpu, cuda or cuda:N; only auto falls back to the CPU, with a message (default auto)',
    )  # fmt: skip
    add_option(
        g, '--plugin', type=PATH, metavar='FILE', help='nipype plugin file (YAML): SLURM, SGE, PBS, LSF'
    )
    add_option(g, '--stop-on-first-crash', action='store_true', help='stop at the first scan that fails')
    add_option(g, '--reports-only', action='store_true', help='only write the report pages again')
    add_option(
        g, '--boilerplate-only', action='store_true', help='only print the paragraph for a methods section'
    )
    add_option(g, '--dry-run', action='store_true', help='only list what would be processed, with its inputs')
    add_option(g, '--notrack', action='store_true', help=f'{COMPATIBLE}; nothing is ever sent')


def main(args: argparse.Namespace) -> int:
    """Run the participant level; returns the exit status."""
    bids_dir = args.bids_dir.resolve()
    settings = make_settings(args, bids_dir)
    if args.boilerplate_only:
        from ..outputs.methods import methods

        print(methods(settings.analysis))
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
        If no scan can be used, or an output folder cannot be written to.
    """
    from ..bids.query import find_scans
    from ..outputs.records import refuse_other_sources

    analysis = settings.analysis
    query = replace(
        query,
        suffix=analysis.suffix,
        needs_t2w=analysis.needs_t2w,
        needs_lesions=analysis.exclude_wmh is not None,
    )
    selection = find_scans(settings.bids_dir, query)
    selection = refuse_other_sources(selection, settings)
    return work_on(args, settings, selection, settings.bids_dir)


def work_on(args: argparse.Namespace, settings: Settings, selection: Selection, where: Path) -> int:
    """Process the selected scans, list them, or write their pages; returns the exit status.

    Parameters
    ----------
    args : Namespace
    settings : Settings
    selection : Selection
    where : Path
        Where the scans were looked for.

    Raises
    ------
    InputError
        If no scan can be used, or an output folder cannot be written to, or holds the dataset of another
        program.
    """
    from ..outputs.dataset import check_own
    from ..runtime.files import check_writable

    check_own(settings.out_dir)
    if args.dry_run:
        from ..commands.audit import audit_inputs

        selection = audit_inputs(selection, settings, is_dry_run=True)
        _print_plan(selection, settings)
        selection.check_usable(where)
        return 1 if selection.refused else 0
    check_writable(settings.out_dir, 'OUT_DIR')
    if args.reports_only:
        from ..outputs.reports import write_pages

        for page in write_pages(selection, settings, all_records=True):
            print(f'report: {page}')
        _print_refused(selection, settings)
        return 1 if selection.refused else 0
    if args.work_dir:
        check_writable(settings.execution.work_dir, 'work folder')
    from ..commands.participant import run

    outcome = run(selection, settings)
    for name in outcome.reused:
        print(one_line(f'{name}: done before with the same settings, kept'))
    for name in outcome.done:
        print(one_line(f'{name}: done'))
    for name, reason in outcome.failed.items():
        print(one_line(f'pvs: error: {name}: {reason}'), file=sys.stderr)
    print(
        f'{len(outcome.done)} done, {len(outcome.reused)} kept, {len(outcome.failed)} failed; '
        f'reports: {settings.out_dir}/sub-*.html'
    )
    selection.check_usable(where)
    return outcome.exit_status


def make_query(args: argparse.Namespace) -> Query:
    """Which scans the options choose.

    Raises
    ------
    InputError
        If a derivative dataset or the filter file cannot be read, or the former is OUT_DIR: brain masks in it
        would be both input and output, and no scan would ever be done.
    """
    from ..bids.filters import read_filters
    from ..bids.query import Query
    from ..messages import datasets

    derivatives = []
    for entry in args.derivatives:
        name, equals, path = entry.partition('=')
        folder = Path(path if equals else name)
        if (equals and not path) or not folder.is_dir():  # nothing behind =: an unset variable
            raise datasets.NO_DERIVATIVES.error(f'--derivatives {entry}')
        if is_same(folder, args.out_dir):
            raise options.INSIDE_INPUT.error(f'OUT_DIR {args.out_dir}', root=f'--derivatives {entry}')
        derivatives.append(folder.resolve())
    return Query(
        subjects=_labels(args.participant_label, 'sub-'),
        sessions=_labels(args.session_label, 'ses-'),
        filters=read_filters(args.bids_filter_file) if args.bids_filter_file else {},
        use_t2w=args.modality != 'T1w',
        database_dir=args.bids_database_dir,
        derivatives=tuple(derivatives),
    )


def _labels(given: Sequence[str], prefix: str) -> tuple[str, ...]:
    """Labels without prefix, each once; a shell completes the names of folders with a slash."""
    return tuple(dict.fromkeys(label.rstrip('/').removeprefix(prefix) for label in given))


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
        bids_dir=bids_dir, out_dir=out_dir, analysis=_analysis(args), execution=make_execution(args, out_dir)
    )


def _analysis(args: argparse.Namespace) -> Analysis:
    from ..segmentation.card import use_digest
    from ..segmentation.model import load_model
    from ..settings import Analysis

    model = load_model(args.model or DEFAULT_MODELS['T2w' if args.modality == 'T2w' else 'T1w'])
    if args.dry_run or args.boilerplate_only or args.reports_only:
        model.verify()
    else:
        model.network()  # what is wrong with it is said here, not after the preparation of each scan
    card = model.card
    threshold = card.threshold if args.threshold is None else args.threshold
    minimum = card.min_cluster_size if args.min_cluster_size is None else args.min_cluster_size
    if not fits(args.modality, card.channels):
        option, wanted = f'--modality {args.modality}', ' and '.join(card.channels)
        raise options.MODALITY.error(option, model=card.name, channels=wanted)
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
        precision=args.precision,
        burden=card.burden,
        model_use=use_digest(card),
        output_spaces=tuple(sorted({*args.output_spaces} - {'T1w'})),
        exclude_wmh=getattr(args, 'exclude_wmh', None),  # predict has no derivative datasets
    )


def fits(modality: str, channels: tuple[str, ...]) -> bool:
    """Whether a model can be used with a modality.

    Parameters
    ----------
    modality : str
        A choice of ``--modality``.
    channels : tuple of str
        Of the model.
    """
    if modality == 'T2w':
        return channels == ('T2w',)
    return modality == 'auto' or ('T1w' in channels and (modality == 'T1w+T2w' or 'T2w' not in channels))


def make_execution(args: argparse.Namespace, out_dir: Path) -> Execution:
    """Settings from the options of execution alone.

    Parameters
    ----------
    args : Namespace
    out_dir : Path
        Absolute.

    Raises
    ------
    InputError
        If a value is out of its range, options do not go together, or there is no such device.
    """
    from ..runtime.resources import cores, memory_for_scans
    from ..segmentation.device import choose_device
    from ..settings import Execution

    if args.keep_workdir and args.clean_workdir:
        raise options.CONFLICT.error('--keep-workdir', other='--clean-workdir')
    nprocs, plugin = args.nprocs or cores(), _plugin_file(args.plugin)
    return Execution(
        nprocs=nprocs,
        omp_nthreads=_threads(args.omp_nthreads, nprocs, is_local=plugin is None),
        adapt_threads=args.omp_nthreads is None,
        memory_gb=memory_for_scans(args.mem),
        device='cpu' if args.dry_run or args.boilerplate_only else choose_device(args.device),
        work_dir=(args.work_dir or out_dir / 'work').resolve(),
        clean_workdir=not args.keep_workdir,
        plugin=plugin,
        stop_on_first_crash=args.stop_on_first_crash,
        verbose=args.verbose,
    )


def _threads(asked: int | None, nprocs: int, *, is_local: bool) -> int:
    """Threads of a step; the cores of a job of a batch system are not known here, only in the job."""
    if not is_local:
        return asked or MOST_THREADS
    if asked is not None and asked > nprocs:
        options.THREADS_CAPPED.log(LOG, f'--omp-nthreads {asked}', nprocs=nprocs)
    return min(asked or MOST_THREADS, nprocs)


def _plugin_file(path: Path | None) -> str | None:
    """The absolute path of a plugin file that can be read."""
    if path is None:
        return None
    from ..workflows.plugin_file import read_plugin_file

    read_plugin_file(path)
    return str(path.resolve())


def _print_plan(selection: Selection, settings: Settings) -> None:
    from ..outputs.scan import status

    for scan in selection.scans:
        parts = [f'{scan.suffix} {_shown(scan.source or scan.anat, settings)}']
        t2w = scan.t2w_source or scan.t2w
        if scan.suffix == 'T1w':
            parts.append(f'T2w {_shown(t2w, settings)}' if t2w else 'no T2w')
        if scan.brain_mask:
            parts.append(f'brain mask {scan.brain_mask}')
        if scan.segmentation:
            parts.append(f'segmentation {scan.segmentation}')
        if scan.lesions:
            parts.append(f'hyperintensities {scan.lesions}')
        state = status(scan, settings)
        parts.append({'done': 'done before', 'missing': 'to do'}.get(state, state))
        print('\t'.join(one_line(part) for part in parts))
    _print_refused(selection, settings)
    print(
        f'{len(selection.scans)} scans, {len(selection.refused)} refused; '
        f'model {settings.analysis.model_name}',
        file=sys.stderr,
    )


def _print_refused(selection: Selection, settings: Settings) -> None:
    from ..commands.participant import names_of

    names = names_of(selection, settings)
    for refused in selection.refused:
        print(one_line(f'pvs: error: {names[refused]}: {refused.reason}'), file=sys.stderr)


def _shown(path: Path, settings: Settings) -> Path:
    """A path as it stands in the dataset; as it is if it lies elsewhere."""
    return path.relative_to(settings.bids_dir) if path.is_relative_to(settings.bids_dir) else path
