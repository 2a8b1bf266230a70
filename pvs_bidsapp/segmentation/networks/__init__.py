"""The networks, by their names in a model's card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...messages import models

if TYPE_CHECKING:
    from torch import nn


def build(architecture: dict[str, Any]) -> nn.Module:
    """Build an untrained network from the entry ``architecture`` of a model's card.

    Parameters
    ----------
    architecture : dict
        ``{'name': NAME, **arguments of its class}``.

    Raises
    ------
    ModelError
        If the name is not known or the arguments do not fit.
    """
    from .ensemble import Ensemble
    from .joliot import JoliotAutoencoder, JoliotUNet
    from .m2ss import M2SSNet

    known: dict[str, type[nn.Module]] = {
        'joliot2021': JoliotUNet,
        'joliot2021-autoencoder': JoliotAutoencoder,
        'm2ss': M2SSNet,
        'ensemble': Ensemble,
    }
    arguments = dict(architecture)
    name = arguments.pop('name', None)
    if name not in known:
        raise models.ARCHITECTURE.error(name=name, reason='is not known', known=', '.join(known))
    try:
        return known[name](**arguments)
    except TypeError as error:
        raise models.ARCHITECTURE.error(name=name, reason=error, known=', '.join(known)) from error
