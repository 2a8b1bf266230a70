from __future__ import annotations

from dataclasses import replace


def test_a_precision_counts_only_if_somebody_chose_it(settings):
    """Without the option, a checksum is the one of the releases that did not have it."""
    prints = {
        name: replace(settings.analysis, precision=name).fingerprint({}) for name in ('auto', 'fp32', 'bf16')
    }
    assert settings.analysis.precision == 'auto'
    assert prints['auto'] == 'e91cd03d63beaa3cabf5fb67c8f9707625df511c50aae00deb1520c1d1a635c7'
    assert len(set(prints.values())) == 3
