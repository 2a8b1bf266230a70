"""Write a page of the API reference for each public module, and the navigation between them.

Modules are found by looking through the packages that a reader can build on; no module is named here.
The texts are the docstrings, read without importing anything.
"""

from __future__ import annotations

import ast
from pathlib import Path

import mkdocs_gen_files

ROOT = Path('pvs_bidsapp')
PACKAGES = ('anatomy', 'segmentation', 'clusters', 'simulation', 'training', 'evaluation', 'group', 'outputs')
#: Front matter: in a search, guides come before functions.
BEHIND_THE_GUIDES = '---\nsearch:\n  boost: 0.3\n---\n'
INTRODUCTION = """\
# Python API

[`pvs_bidsapp.api`](api.md) has the functions that do the work of whole commands; the
[guide](../../how-to/python.md) shows them.

The steps of the program can be called from Python, too. The functions of these packages take and return
arrays, images and plain dataclasses; they do not depend on BIDS, nipype or the command line. The exception is
`pvs_bidsapp.outputs`, which reads and writes output folders. The interface may change between releases:
pin the version that you use.

"""


def public_modules(package: Path) -> list[Path]:
    """Modules of a package, and of the packages within it, that are not private; sorted."""

    def is_public(path: Path) -> bool:
        return not any(part.startswith('_') for part in path.relative_to(package).parts)

    return sorted(filter(is_public, package.rglob('*.py')))


def summary(path: Path) -> str:
    """First line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return text.split('\n\n')[0].replace('\n', ' ')


navigation, overview = mkdocs_gen_files.Nav(), []
navigation[('Overview',)] = 'index.md'
navigation[('api',)] = 'api.md'
with mkdocs_gen_files.open('reference/api/api.md', 'w') as file:
    file.write('::: pvs_bidsapp.api\n')
for package in (ROOT / name for name in PACKAGES):
    modules = public_modules(package)
    if not modules:
        continue
    title = summary(package / '__init__.py') if (package / '__init__.py').exists() else ''
    overview.append(f'\n## {package.name}\n\n{title}\n')
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
