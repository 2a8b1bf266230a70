from __future__ import annotations

from dataclasses import replace


def test_a_precision_counts_only_if_somebody_chose_it(settings):
    """Without the option, a checksum is the one of the releases that did not have it."""
    prints = {
        name: replace(settings.analysis, precision=name).fingerprint({}) for name in ('auto', 'fp32', 'bf16')
    }
    assert settings.analysis.precision == 'auto'
    assert prints['auto'] == '926c3990eaca8ae43b34d3882bd65f3f6c655fe0e0c779865a143f4bf28d18ca'
    assert len(set(prints.values())) == 3
