import numpy as np
import pytest

from pvs_bidsapp.anatomy import structures, template
from pvs_bidsapp.anatomy.structures import Structure


def at(x, y, z):
    """Structure of the template at a point in mm."""
    atlas = template.load()
    place = tuple(np.rint(np.array([x, y, z]) - atlas.affine[:3, 3]).astype(int))
    return Structure(structures.template_structures()[place])


@pytest.mark.parametrize(
    ('point', 'expected'),
    [
        ((12, 12, 8), Structure.CAUDATE),
        ((-26, 2, 2), Structure.LENTIFORM),
        ((12, -18, 8), Structure.THALAMUS),
        ((-20, -8, 10), Structure.INTERNAL_CAPSULE),  # posterior limb
        ((18, 12, 4), Structure.INTERNAL_CAPSULE),  # anterior limb
        ((-34, -2, 2), Structure.EXTERNAL_CAPSULE),
        ((0, -20, 26), Structure.CALLOSUM),  # body
        ((0, 28, 6), Structure.CALLOSUM),  # genu
        ((0, -38, 12), Structure.CALLOSUM),  # splenium
        ((10, -14, -7), Structure.VENTRAL_DIENCEPHALON),
        ((10, -8, -4), Structure.VENTRAL_DIENCEPHALON),  # mammillothalamic tract
        ((-10, -8, -4), Structure.VENTRAL_DIENCEPHALON),
        ((-29, -2, -9), Structure.LENTIFORM),  # where its vessels enter
        ((28, -1, -9), Structure.LENTIFORM),
        ((6, -26, -14), Structure.MIDBRAIN),
        ((14, -20, -12), Structure.MIDBRAIN),  # cerebral peduncle
        ((0, -28, -36), Structure.PONS),
        ((0, -42, -62), Structure.OTHER),  # medulla
        ((28, -20, -14), Structure.HIPPOCAMPUS),
        ((0, -14, -2), Structure.THIRD_VENTRICLE),
        ((26, -40, 34), Structure.LOBAR),  # centrum semiovale
        ((28, 40, 10), Structure.LOBAR),
    ],
)
def test_structures_of_the_template(point, expected):
    assert at(*point) == expected


def test_both_sides_are_alike():
    found = structures.template_structures()
    for structure in (Structure.CAUDATE, Structure.INTERNAL_CAPSULE, Structure.EXTERNAL_CAPSULE):
        left, right = (int((half == structure).sum()) for half in (found[:96], found[97:]))
        assert left == pytest.approx(right, rel=0.05)


@pytest.mark.parametrize(
    ('drawn', 'hull'),
    [
        (['#...#', '.....', '..#..'], ['#####', '.###.', '..#..']),
        (['...#', '#...', '...#'], ['...#', '####', '...#']),
        (['.#.', '#.#', '.#.'], ['.#.', '###', '.#.']),
        (['#..', '...', '..#'], ['#..', '...', '..#']),  # on a line: there is no area
        (['#'], ['#']),
    ],
)
def test_the_convex_hull_holds_its_edges(drawn, hull):
    mask, expected = (np.array([list(row) for row in rows]) == '#' for rows in (drawn, hull))
    np.testing.assert_array_equal(structures._convex_hull(mask), expected)


@pytest.fixture
def labels():
    """A segmentation in which the nuclei of one side lie as in a brain, by their FreeSurfer codes."""
    made = np.full((30, 30, 10), 2, np.int32)
    made[:, :5] = 3
    made[5:9, 20:26] = 11
    made[14:20, 14:24] = 12
    made[6:11, 8:14] = 10
    made[0:3, 8:14] = 14
    return made


def test_a_segmentation_of_the_scan_takes_the_place_of_the_template(labels):
    from_template = np.full(labels.shape, Structure.LENTIFORM, np.uint8)
    from_template[22:26] = Structure.EXTERNAL_CAPSULE
    found = structures.with_own_labels(from_template, labels, np.ones(labels.shape, bool))
    assert found[6, 22, 5] == Structure.CAUDATE
    assert found[16, 18, 5] == Structure.LENTIFORM
    assert found[8, 10, 5] == Structure.THALAMUS
    assert found[1, 10, 5] == Structure.THIRD_VENTRICLE
    assert found[12, 17, 5] == Structure.INTERNAL_CAPSULE  # between the nuclei
    assert found[28, 28, 5] == Structure.LOBAR  # white matter, whatever the template says
    assert found[24, 20, 5] == Structure.EXTERNAL_CAPSULE
    assert (found[:, :5] == Structure.LOBAR).all()  # cortex


def test_the_brainstem_is_divided_as_in_the_template(labels):
    labels[:, 27:] = 16
    from_template = np.full(labels.shape, Structure.PONS, np.uint8)
    from_template[..., 5:] = Structure.MIDBRAIN
    found = structures.with_own_labels(from_template, labels, np.ones(labels.shape, bool))
    assert (found[:, 28, 2] == Structure.PONS).all()
    assert (found[:, 28, 7] == Structure.MIDBRAIN).all()


def test_tissue_classes_are_no_segmentation(labels):
    assert structures.is_segmentation(labels)
    assert not structures.is_segmentation(np.arange(4).reshape(1, 2, 2))
