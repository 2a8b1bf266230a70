from __future__ import annotations

from dataclasses import replace


def test_a_precision_counts_only_if_somebody_chose_it(settings):
    """Without the option, a checksum is the one of the releases that did not have it."""
    prints = {
        name: replace(settings.analysis, precision=name).fingerprint({}) for name in ('auto', 'fp32', 'bf16')
    }
    assert settings.analysis.precision == 'auto'
    assert prints['auto'] == '537380851a4c4adad8ce62df0dfff2fb028870ab2e6ab9a8ccc24ddd96120418'
    assert len(set(prints.values())) == 3
