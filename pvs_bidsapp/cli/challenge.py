"""``pvs challenge``: the contract of the field's challenge container."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from . import participant, predict
from .arguments import PATH, PROCESSES, SIZE, OptionParser, add_option, command_parser, log_to_terminal
from .folders import check_input, check_output

DESCRIPTION = """\
Take a folder with one NIfTI image, a T1w or a T2w, and write <name>_pvs_posterior.nii.gz (float64,
from 0 to 1) and <name>_pvs_mask.nii.gz (uint8) on its grid. Which of both it is, the image tells:
CSF is brighter than the brain on a T2w, and darker on a T1w."""

EXAMPLES = """\
examples:
  pvs challenge /input /output
  docker run --rm --network none -v /data/in:/input:ro -v /data/out:/output pvs challenge /input /output
"""


def parser() -> OptionParser:
    """Arguments of the command."""
    p = command_parser('pvs challenge', DESCRIPTION, EXAMPLES)
    p.add_argument('input_dir', type=PATH, metavar='INPUT_DIR', help='folder with one .nii or .nii.gz')
    p.add_argument('output_dir', type=PATH, metavar='OUTPUT_DIR', help='folder for the two images')
    add_option(
        p, '--modality', choices=('auto', 'T1w', 'T2w'), default='auto',
        help='what the image is; auto: the image tells (default auto)',
    )  # fmt: skip
    add_option(
        p, '--threshold', type=participant.THRESHOLD, metavar='P',
        help="voxels of at least this probability count as PVS (default: the model's threshold)",
    )  # fmt: skip
    add_option(
        p, '--min-cluster-size', type=SIZE, metavar='MM3',
        help="drop smaller clusters (default: the model's minimum)",
    )  # fmt: skip
    add_option(
        p, '-w', '--work-dir', type=PATH, metavar='DIR',
        help='existing folder for intermediate files, which are removed (default: that for temporary files)',
    )  # fmt: skip
    add_option(
        p, '--nprocs', '--n-cpus', type=PROCESSES, metavar='N',
        help='processes in parallel (default: one per available core)',
    )  # fmt: skip
    add_option(p, '--device', default='auto', help='auto, cpu, cuda or cuda:N (default auto)')
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If a folder cannot be used, or there is not one image in it.
    ImageError
        If the scan cannot be finished.
    ModelError
        If there is no model for it.
    """
    from ..commands.challenge import find_input, options_for, write_answer
    from ..commands.predict import select_scans
    from ..commands.single_scan import process_one
    from ..runtime.files import check_writable

    args = parser().parse_args(argv)
    log_to_terminal()
    check_input(args.input_dir, 'a folder with one NIfTI image')
    check_output(args.output_dir, 'OUTPUT_DIR', [(args.input_dir, 'INPUT_DIR')])
    if args.work_dir is not None:
        check_input(args.work_dir, 'an existing folder', '--work-dir')
    scan = find_input(args.input_dir)
    chosen = options_for(scan, None if args.modality == 'auto' else args.modality)
    check_writable(args.output_dir, 'OUTPUT_DIR')
    with tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
        wanted = predict.parser().parse_args([*chosen, *_passed_on(args), '--', str(scan), folder])
        settings = participant.make_settings(wanted, scan.resolve())
        names = process_one(select_scans([scan], None, settings), settings)
        written = write_answer(names, scan, Path(args.output_dir))
    for path in written:
        print(path)
    return 0


def _passed_on(args: argparse.Namespace) -> list[str]:
    """The options that ``pvs predict`` is given as they are."""
    values = {
        '--threshold': args.threshold,
        '--min-cluster-size': args.min_cluster_size,
        '--nprocs': args.nprocs,
        '--device': args.device,
    }
    return [f'{option}={value}' for option, value in values.items() if value is not None]
