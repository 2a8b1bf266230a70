"""Cards of tiny models."""

from __future__ import annotations

from pvs_bidsapp.segmentation.card import ModelCard
from pvs_bidsapp.segmentation.intensity import TissueNormalization

SMALL = {'name': 'joliot2021', 'in_channels': 1, 'blocks': 3, 'filters': 2, 'dropout': 0.1}


def card(**changes) -> ModelCard:
    values = {
        'name': 'small', 'version': '1', 'architecture': SMALL, 'channels': ('T1w',), 'spacing': 1.0,
        'box': (16, 16, 16), 'intensity': TissueNormalization().card(), 'threshold': 0.5,
        'min_cluster_size': 0.0, 'trained_on': '', 'limits': '', 'licence': '',
    }  # fmt: skip
    return ModelCard(**(values | changes))
