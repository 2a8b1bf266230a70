"""Write a page of the API reference for each public module, and the navigation between them.

Modules are found by looking through the package: none is named here, only the rooms that a reader
can build on. The texts are the docstrings, read without importing anything.
"""

from __future__ import annotations

import ast
from pathlib import Path

import mkdocs_gen_files

PACKAGE = Path('pvs_bidsapp')
ROOMS = ('anatomy', 'segmentation', 'clusters', 'simulation', 'training', 'evaluation', 'group', 'outputs')
#: Front matter: in a search, guides come before functions.
BEHIND_THE_GUIDES = '---\nsearch:\n  boost: 0.3\n---\n'
INTRODUCTION = """\
# Python API

The steps of the program can be called from Python. The functions of these packages take and return arrays,
images and plain dataclasses; they do not depend on BIDS, nipype or the command line. The exception is
`pvs_bidsapp.outputs`, which reads and writes output folders. The interface may change between releases:
pin the version that you use.

"""


def public_modules(room: Path) -> list[Path]:
    """Modules of a room, and of the rooms within it, that are not private; sorted."""

    def is_public(path: Path) -> bool:
        return not any(part.startswith('_') for part in path.relative_to(room).parts)

    return sorted(filter(is_public, room.rglob('*.py')))


def summary(path: Path) -> str:
    """First line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return text.split('\n\n')[0].replace('\n', ' ')


navigation, overview = mkdocs_gen_files.Nav(), []
navigation[('Overview',)] = 'index.md'
for room in (PACKAGE / name for name in ROOMS):
    modules = public_modules(room)
    if not modules:
        continue
    title = summary(room / '__init__.py') if (room / '__init__.py').exists() else ''
    overview.append(f'\n## {room.name}\n\n{title}\n')
    for path in modules:
        parts = path.with_suffix('').parts
        page = '/'.join(parts[1:]) + '.md'
        navigation[parts[1:]] = page
        overview.append(f'[`{".".join(parts)}`]({page})\n:   {summary(path)}\n')
        with mkdocs_gen_files.open(f'reference/api/{page}', 'w') as file:
            file.write(f'{BEHIND_THE_GUIDES}::: {".".join(parts)}\n')

with mkdocs_gen_files.open('reference/api/index.md', 'w') as file:
    file.write(INTRODUCTION + '\n'.join(overview))
with mkdocs_gen_files.open('reference/api/SUMMARY.md', 'w') as file:
    file.writelines(navigation.build_literate_nav())
