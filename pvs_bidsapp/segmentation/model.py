"""Models: weights (safetensors, no pickle) with a card, verified when they are loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..runtime.files import atomic_write, write_json

if TYPE_CHECKING:
    from torch import nn

    from .grid import Spacing

WEIGHTS, CARD = 'model.safetensors', 'model.json'
#: Folder of the bundled models, beside the code.
BUNDLED = Path(__file__).resolve().parents[1] / 'models'


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The description of a model that is stored as ``model.json``.

    Attributes
    ----------
    name, version : str
        Of the weights, not of this program.
    architecture : dict
        ``name`` and arguments of the network, see `pvs_bidsapp.segmentation.networks.build`.
    channels : tuple of str
        ``('T1w',)`` or ``('T1w', 'T2w')``.
    spacing : float or tuple of float
        Voxel size of the network's grid in mm, or the smallest and the largest; see
        `pvs_bidsapp.segmentation.grid`.
    box : tuple of int
        Smallest shape of that grid, in voxels.
    intensity : dict
        The normalization, see `pvs_bidsapp.segmentation.intensity.TissueNormalization.card`.
    threshold : float
        A voxel is segmented if its probability is at least this, in [0, 1].
    min_cluster_size : float
        Clusters below this volume (mm³) are removed.
    trained_on, limits, licence : str
        Training data, limitations and licence, in plain words.
    patch_size, stride : int or None
        Edge of the patches that the network is applied to and the step between them, in voxels;
        None for whole volumes.
    mirror : bool
        Whether the predictions on the scan and on its mirror image are averaged.
    metrics, training : dict
        Scores of the model; settings of its training.
    sha256 : str
        Of the weights' file, in hexadecimal.
    """

    name: str
    version: str
    architecture: dict[str, Any]
    channels: tuple[str, ...]
    spacing: Spacing
    box: tuple[int, int, int]
    intensity: dict[str, Any]
    threshold: float
    min_cluster_size: float
    trained_on: str
    limits: str
    licence: str
    patch_size: int | None = None
    stride: int | None = None
    mirror: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    sha256: str = ''


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
            If the file is missing or differs.
        """
        if not self.weights.is_file():
            raise ModelError(f'{self.weights}: missing; reinstall the package or name another --model')
        if (actual := file_sha256(self.weights)) != self.card.sha256:
            raise ModelError(
                f'{self.weights}: checksum {actual[:12]}... is not the {self.card.sha256[:12]}... of '
                'its card; the file is damaged or was changed'
            )

    def network(self) -> nn.Module:
        """Build the network with its weights, which are verified first.

        Returns
        -------
        network : nn.Module
            In float32, in evaluation mode, on the CPU.

        Raises
        ------
        ModelError
            If the weights are missing, differ from their checksum, or do not fit the card.
        """
        import torch
        from safetensors.torch import load_file

        from .networks import build

        self.verify()
        network = build(self.card.architecture)
        try:
            state = {
                k: v.to(torch.float32) if v.is_floating_point() else v
                for k, v in load_file(self.weights).items()
            }
            network.load_state_dict(state)
        except Exception as error:  # safetensors and torch raise exceptions of many kinds
            raise ModelError(f'{self.weights}: does not fit its card ({str(error)[:200]})') from error
        return network.eval()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def bundled_names() -> list[str]:
    """Names of the models that ship with the package."""
    return sorted(p.parent.name for p in BUNDLED.glob(f'*/{CARD}'))


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
        If there is no such model, or its card cannot be read.
    """
    folder = BUNDLED / str(model) if str(model) in bundled_names() else Path(model)
    path = folder / CARD
    if not path.is_file():
        known = ', '.join(bundled_names()) or 'none'
        raise ModelError(f'no model {str(model)!r}: neither a bundled one ({known}) nor a folder with {CARD}')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        content['channels'], content['box'] = tuple(content['channels']), tuple(content['box'])
        if isinstance(content['spacing'], list):
            low, high = content['spacing']
            content['spacing'] = (low, high)
        card = ModelCard(**content)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f'{path}: not a model card ({error})') from error
    return Model(card, folder)


def write_model(folder: Path, network: nn.Module, card: ModelCard) -> ModelCard:
    """Write a network's weights, in half precision, and its card.

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
    """
    import torch
    from safetensors.torch import save_file

    state = {
        k: (v.to(torch.float16) if v.is_floating_point() else v).contiguous().cpu()
        for k, v in network.state_dict().items()
    }
    with atomic_write(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
        temporary.chmod(0o644)  # safetensors makes the file readable by its owner only
    card = replace(card, sha256=file_sha256(folder / WEIGHTS))
    write_json(folder / CARD, asdict(card))
    return card
