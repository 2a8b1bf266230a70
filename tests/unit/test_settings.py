from __future__ import annotations

from dataclasses import replace

from pvs_bidsapp.settings import Analysis


def test_a_precision_counts_only_if_somebody_chose_it(settings):
    """Without the option, a checksum is the one of the releases that did not have it."""
    prints = {
        name: replace(settings.analysis, precision=name).fingerprint({}) for name in ('auto', 'fp32', 'bf16')
    }
    assert settings.analysis.precision == 'auto'
    assert prints['auto'] == '1438ac9e7cd391b0527f23a55454d0dec7f74e9b9b590360bed37cf4846d4e8f'
    assert len(set(prints.values())) == 3


def test_how_a_network_is_used_counts(settings):
    other = replace(settings.analysis, model_use='0123')
    assert other.fingerprint({}) != settings.analysis.fingerprint({})


def test_settings_are_read_again_from_a_record(settings):
    analysis = replace(settings.analysis, output_spaces=('MNI152NLin2009cSym',), exclude_wmh=0.5)
    entry = replace(settings, analysis=analysis).dump()['analysis']
    assert Analysis.of_record(entry) == analysis
    for name, value in (('threshold', 'x'), ('channels', 5), ('model_name', None), ('exclude_wmh', [])):
        assert Analysis.of_record(entry | {name: value}) is None
    for damaged in (None, 5, [], {}, {'threshold': 0.5}):
        assert Analysis.of_record(damaged) is None
