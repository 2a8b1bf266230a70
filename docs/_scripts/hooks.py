"""MkDocs hook: the lists from which mkdocs-literate-nav makes the navigation are no pages of their own."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files, InclusionLevel


@event_priority(-100)
def on_files(files: Files, config: MkDocsConfig) -> None:
    """Leave the lists out once the navigation has been made."""
    for file in files:
        if file.name == 'SUMMARY':
            file.inclusion = InclusionLevel.EXCLUDED
