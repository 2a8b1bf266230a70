"""Engines: what computes a network's probabilities on patches.

On a GPU, and where OpenVINO cannot be used, that is torch. On a CPU it is OpenVINO, which is several times
faster. The network is converted in memory: no file is written and nothing is fetched.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from ..messages import models
from ..messages.message import one_line

LOG = logging.getLogger(__name__)
#: Half precisions by name.
AUTOCAST_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


class Engine(Protocol):
    """Computes probabilities on patches.

    Attributes
    ----------
    name : str
        With its version, as it stands in sidecars.
    precision : str
        ``fp32``, ``bf16`` or ``fp16``, inside the network.
    batch_size : int
        Number of patches that it takes best at a time.
    """

    name: str
    precision: str
    batch_size: int

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        """Compute probabilities.

        Parameters
        ----------
        patches : ndarray of float32, shape (n, channels, x, y, z)

        Returns
        -------
        probability : ndarray of float32, shape (n, x, y, z)
            In [0, 1].
        """
        ...  # pragma: no cover


class TorchEngine:
    """torch, on a CPU or a GPU.

    Parameters
    ----------
    network : nn.Module
        Returns logits; in evaluation mode, on `device`.
    device : str or torch.device
    precision : str
        ``fp32``, ``bf16`` or ``fp16``.
    """

    def __init__(self, network: nn.Module, device: str | torch.device, *, precision: str = 'fp32') -> None:
        self.name = f'torch {torch.__version__}'
        self.network, self.device, self.precision = network, torch.device(device), precision
        self.batch_size = 16 if self.device.type == 'cuda' else 1

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        """As `Engine`."""
        dtype = AUTOCAST_DTYPES.get(self.precision)
        batch = torch.from_numpy(patches).to(self.device).contiguous(memory_format=torch.channels_last_3d)
        with torch.inference_mode(), torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            probability = torch.sigmoid(self.network(batch)[:, 0])
        return probability.float().cpu().numpy()


class OpenVinoEngine:
    """OpenVINO, on a CPU.

    Its results are the same bit by bit for any number of threads.

    Parameters
    ----------
    network : nn.Module
        Returns logits; in evaluation mode, on the CPU.
    shape : tuple of int
        Shape (channels, x, y, z) of the patches.
    precision : str
        ``fp32`` or ``bf16``. Processors without units for bf16 compute in fp32; `precision` says so.
    num_threads : int

    Raises
    ------
    ImportError
        If OpenVINO is not there or does not run on this machine.
    RuntimeError
        If it cannot convert the network.
    """

    batch_size = 1  # larger batches are no faster, and need more memory

    def __init__(
        self, network: nn.Module, shape: tuple[int, ...], *, precision: str = 'fp32', num_threads: int = 1
    ) -> None:
        import openvino

        if precision == 'bf16' and not has_bf16():
            precision = 'fp32'
        self.name, self.precision = f'OpenVINO {openvino.__version__.split("-")[0]}', precision
        model = convert(nn.Sequential(network, nn.Sigmoid()).eval(), shape)
        properties = {
            # left to itself, it takes bf16 wherever a processor has units for it
            'INFERENCE_PRECISION_HINT': 'f32' if precision == 'fp32' else precision,
            'INFERENCE_NUM_THREADS': num_threads,
            'NUM_STREAMS': 1,
        }
        self._request = openvino.compile_model(model, 'CPU', properties).create_infer_request()

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        """As `Engine`."""
        found = np.empty((len(patches), *patches.shape[2:]), np.float32)
        for number in range(len(patches)):
            patch = np.ascontiguousarray(patches[number : number + 1])
            found[number] = self._request.infer([patch], share_inputs=True, share_outputs=True)[0][0, 0]
        return found


def has_bf16() -> bool:
    """Whether OpenVINO finds units for bf16 in this processor."""
    import openvino

    return 'BF16' in openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')


def convert(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """Convert a network to OpenVINO, in memory.

    The front end is called by itself: `openvino.convert_model` would report its use to its makers.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the CPU.
    shape : tuple of int
        Shape (channels, x, y, z) of its input.

    Returns
    -------
    model : openvino.Model
        For batches of one.

    Raises
    ------
    ImportError, RuntimeError
        As `OpenVinoEngine`.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(1, *shape)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter('ignore')  # sizes become constants: all patches have one shape
        decoder = TorchScriptPythonDecoder(
            network, example_input=(example,), trace_kwargs={'check_trace': False}
        )
    front_end = FrontEndManager().load_by_framework('pytorch')
    model = front_end.convert(front_end.load(decoder))
    model.reshape(list(example.shape))
    return model


def make_engine(
    network: nn.Module,
    shape: tuple[int, ...] | None,
    device: str,
    *,
    precision: str = 'auto',
    num_threads: int = 1,
) -> Engine:
    """Choose the fastest engine for a network.

    Parameters
    ----------
    network : nn.Module
        Returns logits; in evaluation mode, on the CPU.
    shape : tuple of int or None
        Shape (channels, x, y, z) of the patches. None if whole volumes go through the network: to convert it
        for a single one would take as long as torch takes for that.
    device : str
        A torch device.
    precision : str
        ``auto``, ``fp32`` or ``bf16``; ``auto`` is fp16 on a GPU and fp32 on a CPU.
    num_threads : int
        On a CPU.

    Returns
    -------
    engine : Engine
    """
    is_cpu = torch.device(device).type == 'cpu'
    if precision == 'auto':
        precision = 'fp32' if is_cpu else 'fp16'
    if is_cpu:
        torch.set_num_threads(num_threads)
        if shape is not None:
            try:
                engine = OpenVinoEngine(network, shape, precision=precision, num_threads=num_threads)
            except Exception as error:  # of many classes, those of its C++ among them
                models.NO_OPENVINO.log(LOG, reason=one_line(str(error))[:200])
            else:
                if engine.precision != precision:
                    models.NO_BF16.log(LOG)
                return engine
    network = network.to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return TorchEngine(network, device, precision=precision)
