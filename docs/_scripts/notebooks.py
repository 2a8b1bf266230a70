"""Run the notebooks of the tutorials, and write each with its outputs as a page."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mkdocs_gen_files
import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor

FOLDER = Path('docs/tutorials')
#: Seconds that a cell may take.
TIMEOUT = 1800


def run(notebook: nbformat.NotebookNode) -> None:
    """Run all cells in a folder of their own; an error in a cell is an error of the build."""
    with tempfile.TemporaryDirectory() as folder:
        ExecutePreprocessor(timeout=TIMEOUT).preprocess(notebook, {'metadata': {'path': folder}})
    for cell in notebook.cells:
        if cell.cell_type == 'code':  # progress is of no interest to a reader
            cell.outputs = [output for output in cell.outputs if output.get('name') != 'stderr']


for path in sorted(FOLDER.glob('*.ipynb')):
    notebook = nbformat.read(path, as_version=4)
    run(notebook)
    text, resources = MarkdownExporter().from_notebook_node(notebook, {'unique_key': path.stem})
    with mkdocs_gen_files.open(f'tutorials/{path.stem}.md', 'w') as page:
        page.write(text)
    for name, content in resources['outputs'].items():
        with mkdocs_gen_files.open(f'tutorials/{name}', 'wb') as picture:
            picture.write(content)
