"""Model bundles: weights (safetensors, no pickle) with a card, verified at load."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from .grid import Spacing

WEIGHTS, CARD = 'model.safetensors', 'model.json'
#: The bundled models live beside the code.
BUNDLED = Path(__file__).resolve().parents[1] / 'models'


@dataclass(frozen=True)
class ModelCard:
    """What has to be known of a model: the content of ``model.json``.

    Attributes
    ----------
    name, version : str
    architecture : dict
        ``name`` and arguments of the network.
    channels : tuple of str
        ``('T1w',)`` or ``('T1w', 'T2w')``.
    spacing : float or tuple of float
        Voxel size of the network's grid in mm; or the smallest and the largest, see
        `pvs_bidsapp.segmentation.grid`.
    box : tuple of int
        Smallest shape of that grid.
    intensity : dict
        The intensity rule, see `pvs_bidsapp.segmentation.intensity`.
    threshold : float
        A voxel counts from this probability on.
    min_cluster_size : float
        Clusters below this volume (mm3) are dropped.
    trained_on, limits, licence : str
        In plain words.
    patch_size, stride : int or None
        Edge of the patches that the network sees at work and the step between them, in voxels;
        None where it sees whole volumes.
    mirror : bool
        Whether the network's findings on the scan and on its mirror image are averaged at work.
    metrics, training : dict
        What was measured, how it was trained.
    sha256 : str
        Of the weights' file.
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
    """A model's card and the folder it was read from."""

    card: ModelCard
    folder: Path

    @property
    def architecture(self) -> str:
        """Name of the network's architecture, of an ensemble that of its members."""
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
        if (found := file_sha256(self.weights)) != self.card.sha256:
            raise ModelError(
                f'{self.weights}: checksum {found[:12]}... is not the {self.card.sha256[:12]}... of '
                'its card; the file is damaged or was changed'
            )

    def network(self) -> nn.Module:
        """The network with its weights, float32, in evaluation mode; verified first."""
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
        except Exception as error:  # safetensors and torch raise many kinds
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
    """The bundle of a model's name, or in a folder.

    Raises
    ------
    ModelError
        If there is none, or its card cannot be read.
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
    """Store weights in half precision with their card; returns the card with its checksum."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {
        k: (v.to(torch.float16) if v.is_floating_point() else v).contiguous().cpu()
        for k, v in network.state_dict().items()
    }
    temporary = folder / f'.{WEIGHTS}.part'
    save_file(state, temporary)
    temporary.chmod(0o644)  # safetensors lets only the owner read: no use in a shared folder
    os.replace(temporary, folder / WEIGHTS)
    card = replace(card, sha256=file_sha256(folder / WEIGHTS))
    text = json.dumps(asdict(card), indent=2, ensure_ascii=False) + '\n'
    part = folder / f'.{CARD}.part'
    part.write_text(text, encoding='utf-8')
    os.replace(part, folder / CARD)
    return card
