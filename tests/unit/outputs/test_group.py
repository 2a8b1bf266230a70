"""What the group level writes of the columns and cohorts of others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pvs_bidsapp.clusters.tables import to_tsv
from pvs_bidsapp.outputs.group import describe_map, exact, map_labels


def test_numbers_of_others_are_written_with_all_digits():
    table = pd.DataFrame({'ours': [1.23456789], 'theirs': [1412345.125], 'whole': [1412345], 'text': ['a']})
    table = pd.concat(
        [table, pd.DataFrame({'ours': [2.0], 'theirs': [np.nan], 'whole': [2], 'text': [None]})]
    )
    written = to_tsv(exact(table, ('theirs', 'whole', 'text'))).splitlines()
    assert written == ['ours\ttheirs\twhole\ttext', '1.2346\t1412345.125\t1412345\ta', '2\tn/a\t2\tn/a']


def test_each_cohort_has_a_map_of_its_own():
    names = ['this', 'a b', 'ab', 'A-B', '+', '', '日本', 'x' * 300, 'x' * 301]
    labels = map_labels(names)
    assert list(labels) == names
    assert labels['this'] == 'this'
    assert len({label.casefold() for label in labels.values()}) == len(names)
    assert all(label.isascii() and label.isalnum() and len(label) < 50 for label in labels.values())


def test_a_map_says_how_its_scans_were_drawn():
    line = 'each cluster as a straight line through its centre in template space'
    mask = 'the voxels of the mask in template space'
    assert describe_map(5, 0) == f'of 5 scans, {line}'
    assert describe_map(5, 5) == f'of 5 scans, {mask}'
    assert describe_map(5, 2) == f'of 2 scans, {mask}; of 3 scans, {line}'
