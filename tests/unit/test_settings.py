from __future__ import annotations

from dataclasses import replace


def test_a_precision_counts_only_if_somebody_chose_it(settings):
    """Without the option, a checksum is the one of the releases that did not have it."""
    prints = {
        name: replace(settings.analysis, precision=name).fingerprint({}) for name in ('auto', 'fp32', 'bf16')
    }
    assert settings.analysis.precision == 'auto'
    assert prints['auto'] == '6001f0922c056d3b18cd3019aa4bcde970ad9ce549e72f203c50d4de35d909ed'
    assert len(set(prints.values())) == 3
