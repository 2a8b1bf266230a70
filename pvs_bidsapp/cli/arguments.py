"""Helpers that all parsers share: options, the values that they take, and errors in one line."""

from __future__ import annotations

import argparse
import difflib
import logging
import math
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from ..messages import options
from ..messages.message import one_line

#: Names of `pvs_bidsapp.simulation.scanner.SUITES`, which is too heavy to import for a parser.
SUITES = ('easy', 'hard', 'shift', 'dense', 'mixed', 'training')
#: Keys of `pvs_bidsapp.bids.label_layouts.LAYOUTS`, for the same reason.
LAYOUTS = ('bids', 'ds005595', 'valdo')
#: What begins like an option, but is a negative value.
_NEGATIVE = re.compile(r'^-(\d|\.\d|inf|nan)', re.IGNORECASE)


class Value(ABC):
    """A type of argument that says in its text what it takes."""

    def __call__(self, text: str) -> Any:
        """The value that a text stands for.

        Raises
        ------
        ArgumentTypeError
            If it stands for none; the message says what is allowed.
        """
        try:
            return self.convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(str(self)) from None

    @abstractmethod
    def convert(self, text: str) -> Any:
        """The value that a text stands for; a ValueError if there is none."""


@dataclass(frozen=True, kw_only=True)
class Number(Value):
    """A finite number within limits.

    Attributes
    ----------
    low, high : float
        Limits; infinite ones are none.
    above, below : bool
        Whether the value must be above `low` and below `high`, not only equal to them.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    noun: ClassVar[str] = 'a number'
    to_number: ClassVar[Callable[[str], float]] = float

    def convert(self, text: str) -> float:
        """The number that a text stands for; a ValueError if there is none within the limits."""
        value = type(self).to_number(text)
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        if not (math.isfinite(value) and over and under):
            raise ValueError
        return value

    def __str__(self) -> str:
        limits = []
        if math.isfinite(self.low):
            limits.append(f'{"above" if self.above else "of at least"} {self.low:g}')
        if math.isfinite(self.high):
            limits.append(f'{"below" if self.below else "at most"} {self.high:.10g}')
        return ' '.join([self.noun, ' and '.join(limits)]).strip()


class WholeNumber(Number):
    """A whole number within limits."""

    noun = 'a whole number'
    to_number = int


class PathText(Value):
    """A path; ``~`` is the home, also where the shell leaves it alone, as in ``--work-dir=~/work``."""

    def convert(self, text: str) -> Path:
        """The path; a ValueError if the text is empty, as that of an unset variable."""
        if not text.strip():
            raise ValueError
        path = Path(text)
        return path.expanduser() if text.startswith('~/') and 'HOME' in os.environ else path

    def __str__(self) -> str:
        return 'a path that is not empty'


#: A number of things of which there has to be one.
COUNT = WholeNumber(low=1, high=2**31 - 1)
#: A number of processes or threads.
PROCESSES = WholeNumber(low=1, high=4096)
#: A seed of numpy and torch.
SEED = WholeNumber(low=0, high=2**31 - 1)
#: Volumes in mm3 below which clusters are left out.
SIZE = Number(low=0, high=1e6)
PATH = PathText()


class OptionParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, as an `InputError`, and takes no abbreviations.

    An abbreviation is a trap: a later release with another option of that beginning reads it differently.
    """

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, allow_abbrev=False, **kwargs)
        self._negative_number_matcher = _NEGATIVE

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse arguments.

        Raises
        ------
        InputError
            If they cannot be used.
        """
        arguments = list(sys.argv[1:] if args is None else args)
        self._check_spelling(arguments)
        return super().parse_args(arguments, namespace)

    def _check_spelling(self, arguments: Sequence[str]) -> None:
        """Refuse options that do not exist: the parser would take their values for folders."""
        if {'-h', '--help'} & set(arguments):
            return
        known = self._option_string_actions
        for argument in arguments:
            if argument == '--':
                return
            name = argument.split('=')[0]
            is_option = len(argument) > 1 and argument[0] == '-' and ' ' not in argument
            if not is_option or _NEGATIVE.match(argument) or name in known:
                continue
            if argument[1] != '-' and argument[:2] in known:  # -vv, -wDIR
                continue
            near = self._nearest(name)
            hint = f'did you mean {near}? ' if near else ''
            raise options.UNKNOWN.error(name, nearest=hint, program=self.prog)

    def _nearest(self, name: str) -> str:
        """The option that is spelt most like a name; empty if none is like it."""
        there = [option for action in self._actions for option in action.option_strings]
        name = name.replace('_', '-')
        longer = [option for option in there if len(name) > 3 and option.startswith(name)]
        return next(iter(longer or difflib.get_close_matches(name, there, 1)), '')

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            if not isinstance(action.type, Value):
                raise
            name = f'{name_of(action)} {arg_string}'
            raise options.VALUE.error(name, allowed=action.type, program=self.prog) from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = ', '.join(map(str, action.choices))
            raise options.CHOICE.error(f'{name_of(action)} {value}', choices=choices, program=self.prog)

    def error(self, message: str) -> NoReturn:
        """Refuse arguments.

        Raises
        ------
        InputError
            Always.
        """
        if message.startswith('the following arguments are required'):
            message += ' (give them before options that take several values)'
        raise options.USAGE.error(reason=message, program=self.prog)


def name_of(action: argparse.Action) -> str:
    """What an argument is called in messages."""
    long = [name for name in action.option_strings if name.startswith('--')]
    return next(iter(long or action.option_strings), str(action.metavar or action.dest))


class Extend(argparse.Action):
    """Collect the values of an option that is given more than once; the default counts only if it is not."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        """Add values to those of the option's earlier occurrences."""
        earlier = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*([] if earlier is self.default else earlier), *values])


def command_parser(name: str, description: str, epilog: str = '') -> OptionParser:
    """Make a parser whose help keeps the line breaks of its texts."""
    return OptionParser(
        name, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_option(group: argparse._ActionsContainer, *names: str, **kwargs: Any) -> None:
    """Add an option under both of its spellings, with hyphens and with underscores.

    Parameters
    ----------
    group : argument group or parser
    *names : str
        Spellings with hyphens, such as ``-w`` and ``--work-dir``; the help shows these alone.
    **kwargs
        As for ``add_argument``. An option of several values collects those of all its occurrences.
    """
    if kwargs.get('nargs') == '+':
        kwargs.setdefault('action', Extend)
    group.add_argument(*names, **kwargs)
    action = group._actions[-1]
    for name in names:
        other = name[:2] + name[2:].replace('-', '_')
        if other != name:
            # registered for parsing, but not in option_strings: the help need not list everything twice
            group._option_string_actions[other] = action


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add ``-v``, of which the program heeds the second."""
    parser.add_argument(
        '-v', '--verbose', action='count', default=0,
        help='given twice (-vv): print debug messages and the messages of nipype',
    )  # fmt: skip


def add_label_options(group: argparse._ActionsContainer) -> None:
    """Add the options that say which masks are experts' labels: ``--labels-layout`` and ``--rater``."""
    add_option(
        group, '--labels-layout', choices=LAYOUTS,
        help='names of the masks that experts drew: bids (sub-*_label-PVS_mask), ds005595 (OpenNeuro: '
        'derivatives/mask/sub-*/sub-*_desc-mask_PVS) or valdo (sub-*/sub-*_space-T1_desc-Rater*_PVSSeg); '
        'default: those that are there, if they are of one kind',
    )  # fmt: skip
    add_option(
        group, '--rater', metavar='NAME',
        help='of several masks of a scan, those whose name has desc-NAME, such as Rater2 (default: the only '
        'one; of VALDO the first)',
    )  # fmt: skip


class _OneLine(logging.Formatter):
    """Keeps a message in one line, whatever names of files it holds."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def log_to_terminal(level: int = logging.INFO, prefix: str = 'pvs: ') -> None:
    """Print log messages on the standard error, one line each.

    Parameters
    ----------
    level : int
        Level of the least important messages that are printed.
    prefix : str
        With which each line begins.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(f'{prefix}%(message)s'))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger('bidsschematools').setLevel(logging.WARNING)  # it logs which schema it takes
