import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.clusters.label import label_clusters
from pvs_bidsapp.clusters.shape import measure
from pvs_bidsapp.clusters.tables import CLUSTER_COLUMNS, REGION_COLUMNS, cluster_table, region_table, to_tsv


def test_tables(two_clusters):
    probability, regions = two_clusters
    clusters = label_clusters(probability, threshold=0.5, minimum=0, voxel_volume=1)
    shapes = measure(clusters, np.eye(4))
    table = cluster_table(shapes, probability, regions, np.zeros((2, 3)))
    assert list(table) == list(CLUSTER_COLUMNS)
    assert table['region'].tolist() == ['deep white matter frontal', 'basal ganglia']
    assert table['hemisphere'].tolist() == ['left', 'right']
    stats = region_table(table, regions, 1.0)
    assert list(stats) == list(REGION_COLUMNS)
    rows = stats.set_index(['region', 'hemisphere'])
    assert rows.loc[('all', 'both'), 'count'] == 2
    assert rows.loc[('deep white matter', 'left'), 'volume_mm3'] == 6
    assert rows.loc[('basal ganglia', 'both'), 'volume_fraction'] == pytest.approx(1 / 4000)
    assert not stats.duplicated(['region', 'hemisphere']).any()
    assert 'n/a' in to_tsv(stats)


def test_tables_without_clusters(two_clusters):
    _, regions = two_clusters
    table = cluster_table([], np.zeros(regions.shape), regions, np.empty((0, 3)))
    stats = region_table(table, regions, 1.0)
    assert stats['count'].sum() == 0
    assert isinstance(stats, pd.DataFrame)
