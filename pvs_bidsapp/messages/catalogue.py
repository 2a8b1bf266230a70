"""The tables of all messages, in the order in which the documentation shows them."""

from __future__ import annotations

from importlib import import_module

from .message import Message

#: Modules of this package that hold messages, with their headings.
SUBJECTS = {
    'datasets': 'Datasets and names of files',
    'scans': 'Scans',
    'masks': 'Masks and label maps',
    'people': 'Participants and designs',
    'models': 'Models',
    'training': 'Training',
    'options': 'Options and folders',
}


def messages_of(subject: str) -> dict[str, Message]:
    """The messages of one subject by the name of their constant, in the order of the file.

    Parameters
    ----------
    subject : str
        A key of `SUBJECTS`.
    """
    module = import_module(f'.{subject}', __package__)
    return {name: value for name, value in vars(module).items() if isinstance(value, Message)}
