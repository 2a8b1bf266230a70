"""With this folder in PYTHONPATH, Python processes note and refuse calls that reach beyond the machine."""

from __future__ import annotations

import os
import sys

_NOTES = os.environ.get('PVS_NETWORK_NOTES')
_LOOK_UPS = ('socket.getaddrinfo', 'socket.gethostbyname', 'socket.gethostbyaddr', 'socket.getnameinfo')
_CALLS = ('socket.connect', 'socket.sendto', 'socket.sendmsg')


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _CALLS and isinstance(arguments[1], str | bytes | None):
        return  # a socket of this machine, by which its processes speak with each other
    if event in _CALLS or event in _LOOK_UPS:
        with open(str(_NOTES), 'a') as notes:
            notes.write(f'{os.getpid()} {event} {arguments[-1]!r}\n')
        raise PermissionError(f'{event} in a test without network')


if _NOTES:
    with open(_NOTES + '.processes', 'a') as started:
        started.write(f'{os.getpid()} {sys.argv}\n')
    sys.addaudithook(_refuse)
