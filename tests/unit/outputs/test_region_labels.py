"""What the numbers of a region map mean, and whether they mean the same in this version."""

from __future__ import annotations

import pytest

from pvs_bidsapp.outputs.region_labels import differing_label, region_labels


@pytest.mark.parametrize(
    ('edit', 'difference'),
    [
        (lambda text: text, ''),
        (
            lambda text: text.replace('21\tcaudate left', '21\tbasal ganglia left'),
            '21 is basal ganglia left in it, and caudate left in this version',
        ),
        (
            lambda text: text.replace('32\tpons both\tboth\n', ''),
            '32 is no region in it, and pons both in this version',
        ),
        (lambda text: text + '99\tpons\tboth\n', '99 is pons in it, and no region in this version'),
        (lambda text: text[:40], 'is damaged (a row of it is incomplete)'),
    ],
)
def test_the_first_difference_is_told(edit, difference, tmp_path):
    table = tmp_path / 'sub-01_seg-regions_dseg.tsv'
    table.write_text(edit(region_labels()))
    assert differing_label(table) == difference


def test_a_table_that_is_not_there_is_told(tmp_path):
    assert differing_label(tmp_path / 'a.tsv').startswith('missing')
