"""Griffe extension: types in docstrings (``ndarray, shape (x, y, z)``) are prose, not code with links."""

from __future__ import annotations

from typing import Any

import griffe


class LiteralTypes(griffe.Extension):
    """Shows the types of parameters, attributes and returns as they are written."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Replace the parsed types of one object's docstring by their text."""
        for section in obj.docstring.parsed if obj.docstring else ():
            for item in section.value if isinstance(section.value, list) else ():
                if hasattr(item, 'name') and isinstance(item.annotation, griffe.Expr):
                    item.annotation = self._source(obj.docstring.value, item) or str(item.annotation)

    @staticmethod
    def _source(text: str, item: Any) -> str:
        """The type as the docstring has it: ``name : type``."""
        for line in text.splitlines():
            name, found, written = line.strip().partition(' : ')
            if found and item.name in [part.strip() for part in name.split(',')]:
                return written.removesuffix(', optional')
        return ''
