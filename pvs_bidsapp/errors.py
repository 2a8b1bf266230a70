"""Errors that a user can put right, each with its documented exit status."""

from __future__ import annotations

from typing import Any


class PVSError(Exception):
    """Base of all errors that are reported in one line, without a traceback.

    Attributes
    ----------
    exit_status : int
        Exit status of the program when this error ends it.
    finding : pvs_bidsapp.messages.message.Finding or None
        What the error says, if it comes from the tables of messages.
    """

    exit_status = 1
    finding: Any = None


class InputError(PVSError):
    """A wrong argument or an input dataset that cannot be used."""

    exit_status = 2


class ImageError(PVSError):
    """One image cannot be used; the other subjects go on."""

    exit_status = 1


class ModelError(PVSError):
    """A model or template file is missing or fails its checksum."""

    exit_status = 3
