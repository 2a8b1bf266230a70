"""The program imports nothing but what its installation brings along."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Libraries without which a part of the program says that it needs them.
OPTIONAL = {'neurocombat'}


def imported() -> dict[str, str]:
    """Top-level modules that the package imports anywhere, with a file that does so."""
    found = {}
    for path in sorted((ROOT / 'pvs_bidsapp').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.append(node.module)
            found |= {name.split('.')[0]: str(path.relative_to(ROOT)) for name in names}
    return found


def plain(name: str) -> str:
    return re.sub('[-_.]+', '-', name).lower()


def test_all_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    declared = {plain(re.split('[^A-Za-z0-9._-]', line, maxsplit=1)[0]) for line in project['dependencies']}
    distributions = packages_distributions()
    undeclared = {
        module: path
        for module, path in imported().items()
        if module not in sys.stdlib_module_names
        and module != 'pvs_bidsapp'
        and not {plain(d) for d in distributions.get(module, [module])} & (declared | OPTIONAL)
    }
    assert not undeclared
