"""``pvs evaluate``: agreement of predicted with reference masks."""

from __future__ import annotations

import logging

from .arguments import (
    PATH,
    SIZE,
    Number,
    OptionParser,
    add_label_options,
    add_option,
    command_parser,
    log_to_terminal,
)
from .folders import check_input, check_output

DESCRIPTION = """\
Compare the PVS masks of PRED_DIR with the reference masks of the same scans in REF_DIR, by voxels
and by clusters (26-connected; a hit is any overlap; cluster Dice is the harmonic mean of cluster
recall and precision). Masks belong to one scan if their entities are the same, space-, res-, den-
and desc- aside. Prints the means, and writes to OUT_DIR:

  evaluation.tsv            scores by scan, region and size filter
  evaluation_summary.tsv    means over scans with 95 % bootstrap intervals
  evaluation_sweep.tsv      scores by threshold and size filter, if PRED_DIR has probability maps;
                            with a figure, evaluation_sweep.png
  evaluation_recall.tsv     recall of the true spaces by volume, and by detectability if REF_DIR is of
                            pvs simulate; then with a figure, evaluation_recall.png
  evaluation_spaces.tsv     each true space, and whether it is found
  evaluation_agreement.tsv  agreement (ICC, Bland-Altman) of the number and the volume of PVS
  evaluation_unmatched.tsv  masks that were left out, with the reason and the mend
  evaluation.html           all of this on one page

Exit status 1 if a file cannot be used; the other scans are compared."""


#: Thresholds of the sweep: each keeps some of the probabilities.
_THRESHOLD = Number(low=0, above=True, high=1, below=True)


def parser() -> OptionParser:
    """Arguments of the command."""
    p = command_parser('pvs evaluate', DESCRIPTION)
    p.add_argument(
        'pred_dir', type=PATH, metavar='PRED_DIR',
        help='output of participant, or masks of another program named as its own (sub-*_label-PVS_mask)',
    )  # fmt: skip
    p.add_argument(
        'ref_dir', type=PATH, metavar='REF_DIR',
        help='dataset with the reference masks, or with the marks of a reader (sub-*_desc-pvs_marks.tsv)',
    )  # fmt: skip
    p.add_argument('out_dir', type=PATH, metavar='OUT_DIR', help='folder for the tables')
    add_label_options(p)
    add_option(
        p,
        '--size-filters',
        nargs='+',
        type=SIZE,
        default=[0, 5, 10, 15],
        metavar='MM3',
        help='cluster-size filters in mm3, applied to both masks (default 0 5 10 15)',
    )
    add_option(
        p,
        '--thresholds',
        nargs='+',
        type=_THRESHOLD,
        default=[k / 10 for k in range(1, 10)],
        metavar='P',
        help='thresholds of the sweep (default 0.1 to 0.9)',
    )
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If a folder does not exist or cannot be written to, or an argument is out of its range.
    """
    from ..runtime.files import check_writable

    args = parser().parse_args(argv)
    log_to_terminal(logging.WARNING)
    check_input(args.pred_dir, 'the output of participant', 'PRED_DIR')
    check_input(args.ref_dir, 'a dataset with reference masks', 'REF_DIR')
    check_output(args.out_dir, 'OUT_DIR', [(args.ref_dir, 'REF_DIR')])
    check_writable(args.out_dir, 'OUT_DIR')
    from ..bids.labels import LabelChoice
    from ..commands.evaluate import run

    choice = LabelChoice(layout=args.labels_layout, rater=args.rater)
    sizes, thresholds = sorted(set(args.size_filters)), sorted(set(args.thresholds))
    outcome = run(args.pred_dir, args.ref_dir, args.out_dir, sizes, thresholds, choice)
    print(outcome.report())
    print(f'tables: {args.out_dir / "evaluation*.tsv"}; page: {args.out_dir / "evaluation.html"}')
    return outcome.exit_status
