import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvs_bidsapp.anatomy.acpc import find_frame
from pvs_bidsapp.anatomy.regions import REGIONS, TOTALS
from pvs_bidsapp.anatomy.registration import Transform
from pvs_bidsapp.clusters.label import label_clusters
from pvs_bidsapp.clusters.shape import measure
from pvs_bidsapp.clusters.tables import CLUSTER_COLUMNS, REGION_COLUMNS, cluster_table, region_table, to_tsv
from pvs_bidsapp.clusters.visual_grades import estimate_grades


def test_tables(two_clusters, around):
    probability, regions = two_clusters
    clusters = label_clusters(probability, threshold=0.5, minimum=0, voxel_volume=1)
    shapes = measure(clusters, np.eye(4))
    table = cluster_table(shapes, probability, regions, np.zeros((2, 3)), surroundings=[around()] * 2)
    assert list(table) == list(CLUSTER_COLUMNS)
    assert table['region'].tolist() == ['deep white matter frontal', 'caudate']
    assert table['hemisphere'].tolist() == ['left', 'right']
    stats = region_table(table, regions, 1.0)
    assert list(stats) == list(REGION_COLUMNS)
    rows = stats.set_index(['region', 'hemisphere'])
    assert rows.loc[('all', 'both'), 'count'] == 2
    assert rows.loc[('deep white matter', 'left'), 'volume_mm3'] == 6
    assert rows.loc[('all', 'both'), ['count_5mm3', 'volume_5mm3']].tolist() == [1, 6]
    assert table['wmh_fraction'].isna().all()
    assert table['flag'].isna().all()
    assert rows.loc[('basal ganglia', 'both'), 'volume_fraction'] == pytest.approx(1 / 4000)
    assert not stats.duplicated(['region', 'hemisphere']).any()
    assert 'n/a' in to_tsv(stats)


def test_what_is_measured_in_the_image_is_described_for_t1w_and_t2w():
    text, _ = CLUSTER_COLUMNS['contrast_to_noise']
    assert 'in the T1w (of a T2w alone, in the T2w)' in text
    text, _ = CLUSTER_COLUMNS['weighted_volume_mm3']
    assert 'dark' not in text  # CSF and spaces are bright in a T2w


def test_the_largest_width_is_described_by_itself():
    assert CLUSTER_COLUMNS['max_width_mm'] == ('the same as width_mm, at the widest place', 'mm')


def test_no_cell_is_empty():
    table = pd.DataFrame({'note': ['', 'few'], 'none': ['', ''], 'n': [1, 2], 'p': [np.nan, 0.123456]})
    assert to_tsv(table) == 'note\tnone\tn\tp\nn/a\tn/a\t1\tn/a\nfew\tn/a\t2\t0.12346\n'


def test_tables_without_clusters(two_clusters):
    _, regions = two_clusters
    table = cluster_table([], np.zeros(regions.shape), regions, np.empty((0, 3)), surroundings=[])
    stats = region_table(table, regions, 1.0)
    assert stats['count'].sum() == 0
    assert isinstance(stats, pd.DataFrame)


def test_the_share_in_lesions_is_told(two_clusters, around):
    probability, regions = two_clusters
    shapes = measure(label_clusters(probability, threshold=0.5, minimum=0, voxel_volume=1), np.eye(4))
    lesions = np.zeros(probability.shape, bool)
    lesions[5, 5, 4:7] = True
    table = cluster_table(
        shapes, probability, regions, np.zeros((2, 3)), surroundings=[around()] * 2, lesions=lesions
    )
    assert table['wmh_fraction'].tolist() == [0.5, 0]


ROWS = st.lists(st.sampled_from(REGIONS), min_size=0, max_size=60)


@settings(deadline=None)  # the first call loads ANTs
@given(ROWS, st.randoms(use_true_random=False))
def test_counts_volumes_and_grades_come_from_one_assignment(regions, random):
    """Whatever regions clusters have, totals are sums of rows, and grades agree with counts."""
    size = len(regions)
    table = pd.DataFrame(
        {
            'index': np.arange(1, size + 1),
            'region': [r.name for r in regions],
            'hemisphere': [r.hemisphere for r in regions],
            'volume_mm3': [random.uniform(1, 30) for _ in regions],
            'length_mm': 3.0,
            'width_mm': 1.0,
        }
    )
    rows = region_table(table, np.array([r.index for r in REGIONS]), 1.0).set_index(['region', 'hemisphere'])
    assert rows.loc[('all', 'both'), 'count'] == size
    for column in ('count', 'volume_mm3', 'count_5mm3', 'volume_5mm3', 'region_volume_mm3'):
        totals = sum(rows.loc[(total, 'both'), column] for total in TOTALS)
        assert totals == pytest.approx(rows.loc[('all', 'both'), column])
        for total in TOTALS:
            sides = [rows.loc[(total, s), column] for s in ('left', 'right') if (total, s) in rows.index]
            assert not sides or sum(sides) == pytest.approx(rows.loc[(total, 'both'), column])
    clusters = np.zeros((max(size, 1), 1, 1), np.int32)
    clusters[:size, 0, 0] = np.arange(1, size + 1)
    grades = estimate_grades(clusters, table, np.eye(4), find_frame(Transform((), ())))
    for key, total in (
        ('potter_basal_ganglia', 'basal ganglia'),
        ('potter_centrum_semiovale', 'deep white matter'),
        ('potter_midbrain', 'midbrain'),
    ):
        assert (grades[key].value > 0) == (rows.loc[(total, 'both'), 'count'] > 0)
        assert grades[key].count <= rows.loc[(total, 'both'), 'count']
