"""Which elements a page has: what comes from data must never be one."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from html.parser import HTMLParser
from pathlib import Path

#: Elements and attributes of all pages.
_ELEMENTS = frozenset((
    'html', 'head', 'meta', 'title', 'style', 'body', 'h1', 'h2', 'h3', 'p', 'b', 'ul', 'li', 'div', 'nav',
    'a', 'table', 'tr', 'th', 'td', 'figure', 'figcaption', 'img', 'details', 'summary', 'code', 'script',
    'input', 'select', 'option', 'span', 'thead', 'tbody', 'label', 'button', 'pre',
))  # fmt: skip
_ATTRIBUTES = frozenset((
    'lang', 'charset', 'name', 'content', 'class', 'id', 'href', 'src', 'alt', 'open', 'type', 'placeholder',
    'value', 'role', 'aria-label',
))  # fmt: skip
#: Further ones of a subject's page.
_SUBJECT_ELEMENTS = frozenset(
    ('section', 'fieldset', 'legend', 'canvas', 'kbd', 'svg', 'line', 'rect', 'text')
)
_SUBJECT_ATTRIBUTES = frozenset((
    'tabindex', 'title', 'style', 'hidden', 'checked', 'min', 'max', 'step', 'accept', 'aria-live',
    'aria-pressed', 'data-role', 'data-overlay', 'data-volume', 'data-index', 'data-mark', 'data-copy',
    'viewbox', 'x', 'y', 'x1', 'x2', 'y1', 'y2', 'width', 'height', 'text-anchor',
))  # fmt: skip
#: Further ones of the group's page.
_GROUP_ATTRIBUTES = frozenset(('title', 'download', 'data-figure', 'data-numbers'))
_ADDRESSES = (
    '#',
    'data:image/png;base64,',
    'data:image/webp;base64,',
    'data:text/tab-separated-values;base64,',
)
_PAGE = re.compile(r'sub-[a-zA-Z0-9+]+(_ses-[a-zA-Z0-9+]+)?\.html')


class _Reader(HTMLParser):
    def __init__(self, elements: Collection[str], attributes: Collection[str]) -> None:
        super().__init__()
        self.elements, self.attributes = elements, attributes
        self.odd: list[str] = []
        self.text: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.elements:
            self.odd.append(f'<{tag}>')
        if tag == 'script':
            self.scripts.append('')
        for name, value in attrs:
            if name not in self.attributes:
                self.odd.append(f'<{tag} {name}>')
            elif name in ('href', 'src') and not _is_within(value or ''):
                self.odd.append(f'<{tag} {name}={value!r}>'[:200])

    def handle_comment(self, data: str) -> None:
        self.odd.append(f'<!--{data}-->')

    def handle_data(self, data: str) -> None:
        if self.lasttag == 'script' and self.scripts:
            self.scripts[-1] += data
        self.text.append(data)


def _is_within(address: str) -> bool:
    return not address or address.startswith(_ADDRESSES) or _PAGE.fullmatch(address) is not None


def _read(path: Path, elements: Collection[str], attributes: Collection[str]) -> _Reader:
    reader = _Reader(elements, attributes)
    reader.feed(path.read_text(encoding='utf-8'))
    reader.close()
    assert not reader.odd, reader.odd[:5]
    return reader


def check_page(path: Path) -> str:
    """Check that a subject's page holds the elements of its template only, and links to nothing elsewhere.

    Parameters
    ----------
    path : Path

    Returns
    -------
    text : str
        What a reader sees, without tags.
    """
    return ''.join(_read(path, _ELEMENTS | _SUBJECT_ELEMENTS, _ATTRIBUTES | _SUBJECT_ATTRIBUTES).text)


def check_group_page(path: Path) -> str:
    """As `check_page`, of the page of a group; its scripts are data in JSON, plotly, and the template's."""
    reader = _read(path, _ELEMENTS, _ATTRIBUTES | _GROUP_ATTRIBUTES)
    scans, figures, *_, code = reader.scripts
    assert set(json.loads(scans)) == {'columns', 'headings', 'rows', 'links'}
    assert all(isinstance(choices, list) for choices in json.loads(figures).values())
    assert 'innerHTML' not in code
    assert '{{' not in code
    return ''.join(reader.text)
