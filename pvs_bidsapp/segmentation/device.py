"""The device that a network runs on, and its precision."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from ..messages import models

LOG = logging.getLogger(__name__)


def choose_device(requested: str) -> str:
    """Choose the torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Only ``auto`` falls back to the CPU, with a warning.

    Parameters
    ----------
    requested : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns
    -------
    device : str
        A torch device.

    Raises
    ------
    InputError
        If the request is not understood, or a GPU is requested and none can be used.
    """
    if requested == 'cpu':
        return 'cpu'
    if requested != 'auto' and not re.fullmatch(r'cuda(:\d+)?', requested):
        raise models.DEVICE_UNKNOWN.error(f'--device {requested}')
    import torch

    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if requested == 'auto':
        if number:
            return 'cuda'
        models.NO_GPU.log(LOG, reason=why_no_gpu())
        return 'cpu'
    index = int(requested.split(':')[1]) if ':' in requested else 0
    if index >= number:
        reason = why_no_gpu() if not number else f'there are {number} GPUs, cuda:0 to cuda:{number - 1}'
        raise models.DEVICE_UNUSABLE.error(f'--device {requested}', reason=reason)
    return requested


def choose_devices(device: str, number: int) -> tuple[str, ...]:
    """Choose one device per training process.

    Parameters
    ----------
    device : str
        As `choose_device` returns it.
    number : int
        Number of processes.

    Returns
    -------
    devices : tuple of str
        The CPU may occur repeatedly.

    Raises
    ------
    InputError
        If there are fewer GPUs than processes.
    """
    if number == 1 or device == 'cpu':
        return (device,) * number
    import torch

    if (available := torch.cuda.device_count()) < number:
        raise models.FEW_GPUS.error(f'--devices {number}', number=available)
    return tuple(f'cuda:{index}' for index in range(number))


def choose_precision(requested: str, device: str) -> str:
    """Choose the precision inside a network in training.

    Parameters
    ----------
    requested : str
        ``auto``, ``fp32``, ``bf16`` or ``fp16``.
    device : str
        A torch device.

    Returns
    -------
    precision : str
        ``fp32``, ``bf16`` or ``fp16``; for ``auto`` bf16 on a GPU that supports it, fp16 on other GPUs,
        fp32 on a CPU.
    """
    if requested != 'auto':
        return requested
    if device.startswith('cuda'):
        import torch

        return 'bf16' if torch.cuda.is_bf16_supported() else 'fp16'
    return 'fp32'


def why_no_gpu(root: Path = Path('/')) -> str:
    """Find out why torch cannot use a GPU.

    Parameters
    ----------
    root : Path
        Root of the file system, for tests.

    Returns
    -------
    reason : str
        The reason in a few words and, where possible, a remedy.
    """
    import torch

    if torch.version.cuda is None:
        return 'this installation has the CPU build of torch'
    driver = root / 'proc/driver/nvidia/version'
    devices = list((root / 'dev').glob('nvidia[0-9]*'))
    if not driver.exists() and not devices:
        return 'this machine has no NVIDIA driver'
    if not devices:
        return (
            'the machine has an NVIDIA driver, but no GPU is handed over: docker run --gpus all, '
            'apptainer --nv'
        )
    version = re.search(r'Kernel Module\D*([\d.]+)', driver.read_text()) if driver.exists() else None
    name = f'driver {version[1]}' if version else 'its driver'
    return (
        f'{name} is too old for CUDA {torch.version.cuda}, or CUDA_VISIBLE_DEVICES hides the GPU: '
        'update the driver'
    )
