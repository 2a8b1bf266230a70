"""Write reference/messages.md, what the program refuses and what it warns of, from its own tables."""

from __future__ import annotations

import re

import mkdocs_gen_files

from pvs_bidsapp.messages.catalogue import SUBJECTS, messages_of
from pvs_bidsapp.messages.message import Caution, Message, Refusal

PAGE = 'reference/messages.md'
INTRODUCTION = """\
# What it refuses, what it warns of

The program refuses an input where it would otherwise give a number that misleads. It warns where the
results can be used, but not without knowing something about the input. Every message has one line: the
file or option, what was found, and what to do about it.

- **Before the work**, `pvs participant` reads the headers of all scans. What it finds stands in
  `OUT_DIR/logs/input_audit.tsv`, and in the log. `--dry-run` shows the same and does nothing else.
- **A refusal with exit status 2** ends the command: nothing is done.
- **A refusal with exit status 1** ends the work on one scan, mask or file. The others are finished. The
  reason stands in the log, on the report of the subject, on the page of the group, and in
  `OUT_DIR/logs`.
- **A refusal with exit status 3** is about a model or the template.
- **A warning** about a scan stands in the log, on the report, and as `InputFindings` in all its sidecars,
  under the name that is given here.

Words in *italics* stand for the values that the message gives. The page is made from the program's own
tables.
"""


def text(template: str) -> str:
    """A format string as Markdown: its places in italics, everything else literal."""
    parts = re.split(r'(\{[^}]*\})', template)
    shown = []
    for part in parts:
        if part.startswith('{'):
            name = re.match(r'\{(\w*)', part)
            shown.append(f'*{name[1].replace("_", " ") if name else "value"}*')
        else:
            shown.append(re.sub(r'([\\*_<>\[\]|`])', r'\\\1', part))
    return ''.join(shown)


def row(message: Message) -> str:
    """A row of a table."""
    cells = [f'`{message.code}`', text(message.text), text(message.mend)]
    if isinstance(message, Refusal):
        cells.append(str(message.kind.exit_status))
    return f'| {" | ".join(cells)} |'


def table(messages: list[Message], *, has_status: bool) -> str:
    """A table of messages."""
    columns = ['name', 'what was found', 'what to do', *(['exit status'] if has_status else [])]
    head = f'| {" | ".join(columns)} |\n|{" --- |" * len(columns)}'
    return '\n'.join([head, *map(row, messages)])


def section(subject: str, heading: str) -> str:
    """The messages of one subject."""
    messages = list(messages_of(subject).values())
    refusals = [m for m in messages if isinstance(m, Refusal)]
    cautions = [m for m in messages if isinstance(m, Caution)]
    parts = [f'## {heading}']
    if refusals:
        parts += ['**Refused**', table(refusals, has_status=True)]
    if cautions:
        parts += ['**Warned of**', table(cautions, has_status=False)]
    return '\n\n'.join(parts)


with mkdocs_gen_files.open(PAGE, 'w') as page:
    page.write('\n\n'.join([INTRODUCTION, *(section(*entry) for entry in SUBJECTS.items())]) + '\n')
