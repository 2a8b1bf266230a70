"""Write reference/commands.md from the argument parsers, so that it always agrees with ``--help``."""

from __future__ import annotations

import argparse
import os
import pkgutil
import re
from importlib import import_module

import mkdocs_gen_files

import pvs_bidsapp.cli as cli

#: Order of the page; commands that are not named here follow.
ORDER = (
    'pvs', 'pvs predict', 'pvs train', 'pvs evaluate', 'pvs calibrate', 'pvs simulate', 'pvs models',
    'pvs challenge',
)  # fmt: skip
TITLES = {'pvs': 'pvs participant, pvs group'}
GROUPS = {'positional arguments': 'arguments'}
INTRODUCTION = """\
# Commands

All commands and options, as `--help` shows them. `pvs` and `python run.py` are the same program.

- Options can be spelt with hyphens or underscores: `--work-dir` and `--work_dir` are the same.
- Labels can be given with or without their prefix: `01` and `sub-01` are the same.
- The [exit status](../how-to/troubleshoot.md#exit-status) says whether a run succeeded.

"""


def parsers() -> list[argparse.ArgumentParser]:
    """The parser of every module of the command line that has one, in the order of the page."""
    modules = (import_module(f'{cli.__name__}.{m.name}') for m in pkgutil.iter_modules(cli.__path__))
    found = {p.prog: p for p in (m.parser() for m in modules if callable(getattr(m, 'parser', None)))}
    return [found.pop(name) for name in ORDER if name in found] + list(found.values())


def anchor(*words: str) -> str:
    """An id for a heading or an option."""
    return '-'.join(re.sub(r'[^a-z0-9]+', '-', word.lower()).strip('-') for word in words)


def prose(text: str) -> str:
    """Help text as Markdown: options and file names as code, everything else literal."""
    words = []
    for word in re.split(r'(\s+|`[^`]*`|\{".*\})', text):
        core = re.match(r'^([("\']*)(.*?)([)\].,;:"\']*)$', word, re.DOTALL)
        if word.startswith('{"'):
            words.append(f'`{word}`')
        elif word.startswith('`') or not word.strip() or core is None:
            words.append(word)
        elif re.fullmatch(r'--?[a-z][\w-]*|.*[*_{].*', core[2]):
            words.append(f'{core[1]}`{core[2]}`{core[3]}')
        else:
            words.append(re.sub(r'([\\*_<>\[\]|])', r'\\\1', word))
    return ''.join(words)


def spellings(action: argparse.Action) -> list[str]:
    """Names of an option without the spelling by underscores."""
    return [name for name in action.option_strings if '_' not in name]


def signature(action: argparse.Action) -> str:
    """An option, or argument, with its value: ``-w DIR, --work-dir DIR``."""
    formatter = argparse.HelpFormatter('pvs')
    if not action.option_strings:
        choices = '{' + ','.join(map(str, action.choices or ())) + '}'
        return str(action.metavar or (choices if action.choices else action.dest))
    default = formatter._get_default_metavar_for_optional(action)
    value = formatter._format_args(action, default) if action.nargs != 0 else ''
    return ', '.join(f'{name} {value}'.strip() for name in spellings(action))


def entry(action: argparse.Action, prog: str) -> str:
    """A definition: the option as its term, with an anchor, and its help."""
    formatter = argparse.HelpFormatter(prog)
    text = formatter._expand_help(action) if action.help else ''
    name = next((n for n in spellings(action) if n.startswith('--')), action.dest)
    return f'`{signature(action)}`{{ #{anchor(prog, name)} }}\n:   {prose(text)}\n'


def usage(parser: argparse.ArgumentParser) -> str:
    """One line: the positional arguments, and that options follow."""
    positional = [action for action in parser._actions if not action.option_strings]
    words = [f'[{signature(action)}]' if action.nargs else signature(action) for action in positional]
    options = ['[options]'] if any(a.option_strings and a.dest != 'help' for a in parser._actions) else []
    return ' '.join([parser.prog, *words, *options])


def section(parser: argparse.ArgumentParser) -> str:
    """One command: usage, description, options by group, examples."""
    parts = [f'## {TITLES.get(parser.prog, parser.prog)} {{ #{anchor(parser.prog)} }}\n']
    parts.append(f'```text\n{usage(parser)}\n```\n')
    if parser.description:
        parts.append(prose(' '.join(parser.description.split())) + '\n')
    for group in parser._action_groups:
        hidden = (argparse.SUPPRESS, None)
        actions = [a for a in group._group_actions if a.help not in hidden and a.dest != 'help']
        if actions:
            title = GROUPS.get(group.title or '', group.title or '')
            parts.append(f'### {title.capitalize()} {{ #{anchor(parser.prog, title)} }}\n')
            parts += [entry(action, parser.prog) for action in actions]
    if parser.epilog:
        parts.append(f'### Notes and examples {{ #{anchor(parser.prog, "examples")} }}\n')
        parts.append(f'```text\n{parser.epilog.strip()}\n```\n')
    return '\n'.join(parts)


os.environ['COLUMNS'] = '100'
with mkdocs_gen_files.open('reference/commands.md', 'w') as page:
    page.write(INTRODUCTION + '\n'.join(section(parser) for parser in parsers()))
