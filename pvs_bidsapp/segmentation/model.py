"""Models: weights (safetensors, no pickle) with a card, verified when they are loaded.

A model folder may come from anywhere. Nothing is allocated for its network before the header of the weights'
file has been compared with what the card describes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..messages import models
from ..runtime.files import atomic_write, write_json
from .card import ModelCard, card_content, read_card, shown

if TYPE_CHECKING:
    import torch
    from torch import nn

WEIGHTS, CARD = 'model.safetensors', 'model.json'
#: Folder of the bundled models, beside the code.
BUNDLED = Path(__file__).resolve().parents[1] / 'models'
#: Most parameters of a network, members of an ensemble together. The bundled ones have up to 23.6 million.
PARAMETERS = 500_000_000
#: Largest header of a weights' file, and largest file, in bytes: all parameters in single precision.
HEADER_BYTES = 10_000_000
WEIGHTS_BYTES = 4 * PARAMETERS + HEADER_BYTES
#: Types of the tensors that are read, by the names of safetensors.
_FLOATING, _INTEGER = ('F16', 'BF16', 'F32'), ('I64', 'I32')


@dataclass(frozen=True)
class Model:
    """A model's card and the folder that it was read from.

    Attributes
    ----------
    card : ModelCard
    folder : Path
        Holds ``model.json`` and ``model.safetensors``.
    """

    card: ModelCard
    folder: Path

    @property
    def architecture(self) -> str:
        """Name of the network's architecture; for an ensemble, that of its members."""
        entry = self.card.architecture
        return str(entry.get('of', entry).get('name', ''))

    @property
    def weights(self) -> Path:
        """The weights' file."""
        return self.folder / WEIGHTS

    def verify(self) -> None:
        """Compare the weights with the card's checksum.

        Raises
        ------
        ModelError
            If the file is missing, cannot be read or differs.
        """
        with _reading(self.weights):
            if not self.weights.is_file():
                raise models.WEIGHTS_ABSENT.error(self.weights)
            if self.weights.stat().st_size > WEIGHTS_BYTES:
                raise models.WEIGHTS_TOO_LARGE.error(self.weights, limit=WEIGHTS_BYTES / 1e9)
            actual, expected = file_sha256(self.weights), self.card.sha256
        if actual != expected:
            raise models.WEIGHTS_CHANGED.error(self.weights, actual=actual[:12], expected=expected[:12])

    def network(self) -> nn.Module:
        """Build the network with its weights, which are verified first.

        Returns
        -------
        network : nn.Module
            In float32, in evaluation mode, on the CPU.

        Raises
        ------
        ModelError
            If the weights are missing, differ from their checksum, do not fit the card, or hold values that
            no network has.
        """
        import torch
        from safetensors.torch import load_file

        from .networks import build

        self.verify()
        expected = expected_state(self.card.architecture)
        if (number := count_parameters(expected)) > PARAMETERS:
            raise models.TOO_MANY_PARAMETERS.error(self.folder / CARD, number=number, limit=PARAMETERS)
        _check_header(self.weights, expected)
        state = {}
        for name, tensor in load_file(self.weights).items():
            state[name] = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
            _check_values(name, state[name], self.weights)
        network = build(self.card.architecture)
        network.load_state_dict(state)
        return network.eval()


def _check_values(name: str, tensor: torch.Tensor, path: Path) -> None:
    """Refuse values with which a network gives NaN, which no threshold would find."""
    import torch

    if not torch.isfinite(tensor).all():
        raise models.WEIGHTS_IMPOSSIBLE.error(path, tensor=name, what='NaN or infinite values')
    if name.endswith('running_var') and (tensor < 0).any():
        raise models.WEIGHTS_IMPOSSIBLE.error(path, tensor=name, what='negative variances')


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Report a file that the system does not let us read."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        reason = getattr(error, 'strerror', None) or error
        raise models.WEIGHTS_UNREADABLE.error(path, reason=reason) from error


def expected_state(architecture: dict[str, Any]) -> Mapping[str, torch.Tensor]:
    """Names, shapes and types of a network's tensors, without memory for their values.

    Parameters
    ----------
    architecture : dict
        As in a model's card.

    Returns
    -------
    state : dict
        Of tensors on torch's device ``meta``.
    """
    import torch

    from .networks import build

    with torch.device('meta'):
        return build(architecture).state_dict()


def count_parameters(state: Mapping[str, torch.Tensor]) -> int:
    """Number of values in a state dict, statistics of the normalisation included."""
    return sum(tensor.numel() for tensor in state.values())


def _check_header(path: Path, expected: Mapping[str, torch.Tensor]) -> None:
    """Compare names, shapes and types of the tensors of a file with those of a network."""
    from safetensors import SafetensorError, safe_open

    with _reading(path), path.open('rb') as stream:
        length = int.from_bytes(stream.read(8), 'little')
    if length > HEADER_BYTES:
        raise models.WEIGHTS_DAMAGED.error(path, reason=f'a header of {length} bytes')
    try:
        with safe_open(path, 'pt') as stored:
            names = set(stored.keys())
            if different := sorted(names ^ expected.keys()):
                kind = 'has' if different[0] in names else 'lacks'
                reason = f'{kind} {shown(different[0])}, {len(different)} tensors differ'
                raise models.WEIGHTS_MISFIT.error(path, reason=reason)
            for name, tensor in expected.items():
                part = stored.get_slice(name)
                shape, dtype = tuple(part.get_shape()), part.get_dtype()
                if shape != tuple(tensor.shape):
                    reason = f'{name} has the shape {shown(shape)} instead of {tuple(tensor.shape)}'
                    raise models.WEIGHTS_MISFIT.error(path, reason=reason)
                if dtype not in (_FLOATING if tensor.is_floating_point() else _INTEGER):
                    raise models.WEIGHTS_MISFIT.error(path, reason=f'{name} has the type {dtype}')
    except (SafetensorError, OSError, ValueError) as error:
        raise models.WEIGHTS_DAMAGED.error(path, reason=str(error)[:120]) from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def bundled_names() -> list[str]:
    """Names of the models that ship with the package."""
    return sorted(p.parent.name for p in BUNDLED.glob(f'*/{CARD}'))


def bundled_card(sha256: str) -> ModelCard | None:
    """The card of the bundled model with these weights.

    Parameters
    ----------
    sha256 : str
        Of the weights, as results name it.

    Returns
    -------
    card : ModelCard or None
        None if it is no bundled model.
    """
    cards = (load_model(name).card for name in bundled_names())
    return next((card for card in cards if card.sha256 == sha256), None)


def load_model(model: str | Path) -> Model:
    """Read a model's card.

    Parameters
    ----------
    model : str or Path
        Name of a bundled model, or a folder with a model.

    Returns
    -------
    model : Model
        Its weights are neither read nor verified yet.

    Raises
    ------
    ModelError
        If there is no such model, or its card cannot be used.
    """
    folder = BUNDLED / str(model) if str(model) in bundled_names() else Path(model)
    path = folder / CARD
    try:
        exists = path.is_file()
    except (OSError, ValueError) as error:  # no permission; a name that is too long
        raise models.CARD_UNREADABLE.error(path, reason=getattr(error, 'strerror', None) or error) from error
    if not exists:
        known = ', '.join(bundled_names()) or 'none'
        raise models.ABSENT.error(name=repr(str(model)[:200]), known=known, card=CARD)
    return Model(read_card(path), folder)


def write_model(folder: Path, network: nn.Module, card: ModelCard) -> ModelCard:
    """Write a network's weights, in half precision, and its card: both or neither.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    network : nn.Module
    card : ModelCard
        Its `sha256` is not used.

    Returns
    -------
    card : ModelCard
        With the checksum of the weights.

    Raises
    ------
    ModelError
        If an entry of the card is not what it has to be, or a weight is not finite.
    """
    from safetensors.torch import save

    state = {k: _stored(k, v, folder / WEIGHTS) for k, v in network.state_dict().items()}
    data = save(state)  # in memory: the library's own writer does not say that a disk is full
    card = replace(card, sha256=hashlib.sha256(data).hexdigest())
    content = card_content(card, folder / CARD)
    with atomic_write(folder / CARD) as card_file, atomic_write(folder / WEIGHTS) as weights_file:
        weights_file.write_bytes(data)
        card_file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    return card


def write_card(folder: Path, card: ModelCard) -> None:
    """Write the card of a model whose weights stay as they are.

    Parameters
    ----------
    folder : Path
        With the weights.
    card : ModelCard
        With the checksum of these weights.

    Raises
    ------
    ModelError
        If an entry of the card is not what it has to be.
    """
    write_json(folder / CARD, card_content(card, folder / CARD))


def _stored(name: str, tensor: torch.Tensor, path: Path) -> torch.Tensor:
    """A tensor as it is stored: in half precision, or as it is where that would be infinite."""
    import torch

    if not tensor.is_floating_point():
        return tensor.contiguous().cpu()
    _check_values(name, tensor, path)
    half = tensor.to(torch.float16)
    return (half if torch.isfinite(half).all() else tensor.float()).contiguous().cpu()
