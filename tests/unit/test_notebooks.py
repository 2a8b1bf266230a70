"""The notebooks of the docs name what exists, and hold no outputs; `make docs` runs them."""

from __future__ import annotations

import ast
import inspect
import json
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / 'docs'
NOTEBOOKS = sorted((DOCS / 'tutorials').glob('*.ipynb'))


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())['cells'] if cell['cell_type'] == 'code']


def parsed(path: Path) -> list[ast.AST]:
    return [node for cell in code_cells(path) for node in ast.walk(ast.parse(''.join(cell['source'])))]


def imported(path: Path) -> dict[str, object]:
    """What a notebook imports of the package, by name."""
    return {
        alias.name: getattr(import_module(node.module), alias.name)
        for node in parsed(path)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith('pvs_bidsapp')
        for alias in node.names
    }


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ['find-pvs.ipynb']


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_what_it_imports_exists_and_takes_these_arguments(path):
    functions = imported(path)
    assert {'find_pvs', 'measure', 'group'} <= functions.keys()
    called = set()
    for node in parsed(path):
        if not isinstance(node, ast.Call):
            continue
        names = [part.id for part in (node.func, *node.args[:1]) if isinstance(part, ast.Name)]
        if function := next((functions[name] for name in names if name in functions), None):
            called |= {function.__name__}
            parameters = inspect.signature(function).parameters
            is_free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            assert is_free or given <= parameters.keys(), function.__name__
    assert {'find_pvs', 'measure', 'group'} <= called


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path):
    for cell in code_cells(path):
        assert cell['outputs'] == []
        assert cell['execution_count'] is None


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_it_uses_names_that_results_have(path):
    from pvs_bidsapp.api import PVSResult

    attributes = {
        node.attr
        for node in parsed(path)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ('found', 'drawn')
    }
    assert attributes
    assert all(hasattr(PVSResult, name) for name in attributes)
