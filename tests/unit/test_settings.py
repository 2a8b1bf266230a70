from __future__ import annotations

from dataclasses import replace


def test_a_precision_counts_only_if_somebody_chose_it(settings):
    """Without the option, a checksum is the one of the releases that did not have it."""
    prints = {
        name: replace(settings.analysis, precision=name).fingerprint({}) for name in ('auto', 'fp32', 'bf16')
    }
    assert settings.analysis.precision == 'auto'
    assert prints['auto'] == '894905b55348425fec7963ed9b7f17976e0c1eff343db933aa7fc54e1a6f5c36'
    assert len(set(prints.values())) == 3
