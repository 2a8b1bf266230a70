"""Whether the program refuses something as its table of messages says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pvs_bidsapp.messages.message import Refusal


def pattern(message: str) -> str:
    """A regular expression for a format string: any text stands in its places."""
    return '.*'.join(re.escape(part) for part in re.split(r'\{[^}]*\}', message))


@contextmanager
def refused(refusal: Refusal, *, naming: str = '', status: int | None = None) -> Iterator[None]:
    """Expect an error of this refusal, in one line, with its mend, its exit status and a name in it."""
    with pytest.raises(refusal.kind) as caught:
        yield
    line = str(caught.value)
    assert '\n' not in line
    assert re.search(pattern(refusal.text), line), line
    assert re.search(pattern(refusal.mend), line), line
    assert naming in line, line
    assert caught.value.exit_status == (refusal.kind.exit_status if status is None else status)
