"""``pvs calibrate``: intervals of the expected numbers of a model, from scans with reference masks."""

from __future__ import annotations

import logging

from .arguments import PATH, OptionParser, command_parser, log_to_terminal
from .folders import check_input

DESCRIPTION = """\
Find out how far the numbers of a model may be off. `participant` writes an expected number and an
expected volume of spaces beside those of the mask: by the probabilities, those too faint for the
mask included, with a 90 % interval. The intervals come from scans like yours with reference masks:
PRED_DIR is the output of `participant` with the model for at least 10 scans (better 40), REF_DIR a
dataset with their reference masks. They are written to the card of the model, MODEL_DIR/model.json,
and used from then on. The weights stay as they are."""

EXAMPLES = """\
example:
  pvs /data/labelled out participant --model models/mine
  pvs calibrate out /data/labelled/derivatives/labels models/mine
"""


def parser() -> OptionParser:
    """Arguments of the command."""
    p = command_parser('pvs calibrate', DESCRIPTION, EXAMPLES)
    p.add_argument('pred_dir', type=PATH, metavar='PRED_DIR', help='output of participant with the model')
    p.add_argument('ref_dir', type=PATH, metavar='REF_DIR', help='dataset with the reference masks')
    p.add_argument('model_dir', type=PATH, metavar='MODEL_DIR', help='folder of the model')
    return p


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status.

    Raises
    ------
    InputError
        If a folder does not exist, there are too few scans, or the model is named as a bundled one.
    ModelError
        If the model cannot be used.
    """
    args = parser().parse_args(argv)
    log_to_terminal(logging.WARNING)
    check_input(args.pred_dir, 'the output of participant', 'PRED_DIR')
    check_input(args.ref_dir, 'a dataset with reference masks', 'REF_DIR')
    from ..commands.calibrate import run

    outcome = run(args.pred_dir, args.ref_dir, args.model_dir)
    print(outcome.report())
    print(f'written to {outcome.card}')
    return outcome.exit_status
