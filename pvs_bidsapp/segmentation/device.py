"""Where a network runs."""

from __future__ import annotations

import logging
import re
from pathlib import Path

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
        LOG.warning('no usable GPU found (%s): running on the CPU', why_no_gpu())
        return 'cpu'
    index = int(wish.split(':')[1]) if ':' in wish else 0
    if index >= number:
        reason = why_no_gpu() if not number else f'there are {number} GPUs, cuda:0 to cuda:{number - 1}'
        raise InputError(f'--device {wish}: {reason}; --device cpu runs without a GPU')
    return wish


def why_no_gpu(root: Path = Path('/')) -> str:
    """What keeps torch from a GPU, in a few words with the mend.

    Parameters
    ----------
    root : Path
        Of the file system, for tests.
    """
    import torch

    if torch.version.cuda is None:
        return 'this installation has the CPU build of torch'
    driver = root / 'proc/driver/nvidia/version'
    devices = list((root / 'dev').glob('nvidia[0-9]*'))
    if not driver.exists() and not devices:
        return 'this machine has no NVIDIA driver'
    if not devices:
        return 'the machine has an NVIDIA driver, but no GPU is handed over: docker run --gpus all, apptainer --nv'
    version = re.search(r'Kernel Module\D*([\d.]+)', driver.read_text()) if driver.exists() else None
    found = f'driver {version[1]}' if version else 'its driver'
    return f'{found} is too old for CUDA {torch.version.cuda}, or CUDA_VISIBLE_DEVICES hides the GPU: update the driver'
