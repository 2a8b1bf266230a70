"""Messages about scans."""

from __future__ import annotations

from ..errors import ImageError, InputError, ModelError
from .message import Caution, Refusal
