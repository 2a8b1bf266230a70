"""Where a network runs."""

from __future__ import annotations

import logging
import re

from ..errors import InputError

LOG = logging.getLogger(__name__)


def choose_device(wish: str) -> str:
    """The torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Only ``auto`` falls back to the CPU, and says so.

    Raises
    ------
    InputError
        If the wish is not understood, or a GPU is asked for and none can be used.
    """
    if wish == 'cpu':
        return 'cpu'
    if wish != 'auto' and not re.fullmatch(r'cuda(:\d+)?', wish):
        raise InputError(f'--device {wish}: auto, cpu, cuda or cuda:N')
    import torch

    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wish == 'auto':
        if number:
            return 'cuda'
        LOG.warning('no usable GPU found: running on the CPU')
        return 'cpu'
    index = int(wish.split(':')[1]) if ':' in wish else 0
    if index >= number:
        raise InputError(
            f'--device {wish}: {number} usable GPUs found; in a container, was --gpus all (Docker) '
            'or --nv (Singularity) given? --device cpu runs without one'
        )
    return wish
