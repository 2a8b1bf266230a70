import numpy as np
import pandas as pd
import pytest

from pvs_bidsapp.clusters import visual_grades
from pvs_bidsapp.clusters.label import label_clusters, within_regions
from pvs_bidsapp.clusters.shape import measure
from pvs_bidsapp.clusters.tables import CLUSTER_COLUMNS, REGION_COLUMNS, cluster_table, region_table, to_tsv


@pytest.fixture
def made():
    """Two clusters: a line of six voxels in region 1, a single voxel in region 22."""
    probability = np.zeros((20, 20, 20), np.float32)
    probability[5, 5, 4:10] = 0.9
    probability[15, 15, 15] = 0.6
    regions = np.zeros((20, 20, 20), np.uint8)
    regions[:10], regions[10:] = 1, 22
    return probability, regions


def test_threshold_is_inclusive(made):
    probability, _ = made
    assert label_clusters(probability, threshold=0.6, minimum=0, voxel_volume=1).max() == 2
    assert label_clusters(probability, threshold=0.61, minimum=0, voxel_volume=1).max() == 1
    assert label_clusters(probability, threshold=0.5, minimum=2, voxel_volume=1).max() == 1


@pytest.mark.parametrize(('inside', 'kept'), [(6, 6), (3, 6), (2, 0), (0, 0)])
def test_a_cluster_is_kept_whole_where_half_of_it_lies_within_the_regions(made, inside, kept):
    probability = np.where(made[0] > 0.8, made[0], 0.1)
    regions = np.zeros(probability.shape, np.uint8)
    regions[:, :, 4 : 4 + inside] = 22
    found, grown = within_regions(probability, regions, 0.9)
    assert (found >= 0.9).sum() == kept
    faint = probability < 0.9
    np.testing.assert_array_equal(found[faint], np.where(regions > 0, probability, 0)[faint])
    np.testing.assert_array_equal(grown, np.where(found >= 0.9, 22, regions))


def test_what_lies_beyond_the_regions_joins_the_one_that_holds_most(made):
    probability, regions = made
    regions[5, 5, 4:10] = (1, 2, 2, 0, 0, 0)
    grown = within_regions(probability, regions, 0.7)[1]
    assert grown[5, 5, 4:10].tolist() == [1, 2, 2, 2, 2, 2]
    assert grown.dtype == regions.dtype


def test_clusters_are_numbered_by_falling_size(made):
    clusters = label_clusters(made[0], threshold=0.5, minimum=0, voxel_volume=1)
    assert (clusters == 1).sum() == 6
    assert (clusters == 2).sum() == 1


def test_shape_of_a_line(made):
    clusters = label_clusters(made[0], threshold=0.5, minimum=0, voxel_volume=1)
    affine = np.diag([-0.5, 0.5, 2.0, 1])
    affine[:3, 3] = (10, -20, 5)
    line, dot = measure(clusters, affine)
    assert line.volume == pytest.approx(6 * 0.5)
    assert line.length == pytest.approx(12.0)
    assert line.width == pytest.approx(2 * np.sqrt(3 / (np.pi * 12)))
    assert line.linearity > 0.95
    np.testing.assert_allclose(line.direction, [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(line.centre, [10 - 2.5, -20 + 2.5, 5 + 13])
    assert dot.volume == pytest.approx(0.5)


def test_length_and_width_of_a_slanted_cylinder():
    grid = np.stack(np.meshgrid(*[np.arange(60)] * 3, indexing='ij'), -1) - 30.0
    axis = np.array([1, 2, 2]) / 3
    along = grid @ axis
    away = np.linalg.norm(grid - along[..., None] * axis, axis=-1)
    clusters = ((np.abs(along) < 18) & (away < 3)).astype(np.int32)
    (shape,) = measure(clusters, np.diag([0.5, 0.5, 0.5, 1]))
    assert shape.length == pytest.approx(18, rel=0.05)
    assert shape.width == pytest.approx(3, rel=0.05)
    assert abs(shape.direction @ axis) > 0.999


def test_tables(made):
    probability, regions = made
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


def test_tables_of_nothing(made):
    _, regions = made
    table = cluster_table([], np.zeros(regions.shape), regions, np.empty((0, 3)))
    stats = region_table(table, regions, 1.0)
    assert stats['count'].sum() == 0
    assert isinstance(stats, pd.DataFrame)


@pytest.mark.parametrize(
    ('count', 'grade'), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (40, 3), (41, 4)]
)
def test_potter(count, grade):
    assert visual_grades.potter(count) == grade


def test_zhu():
    assert [visual_grades.zhu_basal_ganglia(n) for n in (0, 4, 5, 10, 11, 26)] == [1, 1, 2, 2, 3, 4]
    assert [visual_grades.zhu_white_matter(*p) for p in ((9, 9), (12, 8), (40, 11), (90, 21))] == [1, 2, 3, 4]


def test_grades_count_spots_of_the_worst_section_not_clusters():
    clusters, regions = np.zeros((2, 30, 30, 10), np.int32)
    regions[:] = 21
    clusters[2:28:3, 4, 5] = np.arange(1, 10)  # nine spots in one section
    clusters[2:28:3, 20, 5] = np.arange(10, 19)  # and nine more
    clusters[2, 4, :] = 1  # one of them runs through all sections
    grades = visual_grades.estimate_grades(clusters, regions, np.eye(4))
    assert grades['potter_basal_ganglia'] == 2
    assert grades['zhu_basal_ganglia'] == 3
    assert grades['potter_midbrain'] == 0
