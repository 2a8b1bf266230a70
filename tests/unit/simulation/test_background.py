"""Real scans as backgrounds of training patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from real_backgrounds import make_maps
from scipy import ndimage

from pvs_bidsapp.segmentation.intensity import TissueNormalization
from pvs_bidsapp.simulation import background
from pvs_bidsapp.simulation.background import ScanMaps, prepare_background
from pvs_bidsapp.simulation.patch_source import COARSE, REGION

NORMALIZATION = TissueNormalization()


@pytest.fixture(scope='module')
def maps() -> ScanMaps:
    return make_maps()


def test_what_looks_like_a_tube_is_left_out_with_its_neighbours(maps):
    labels = background.anatomy_of_regions('a', maps).labels
    possible = background.possible_spaces(maps, labels)
    assert possible[11:14, 11:14, 12:28].all()
    assert possible[maps.regions > 0].mean() < 0.2
    assert not possible[15, 30, 20]
    likely = np.zeros_like(maps.probability)
    likely[15, 30, 20], likely[15, 25, 20] = 0.06, 0.04
    possible = background.possible_spaces(replace(maps, probability=likely), labels)
    assert possible[14:17, 29:32, 19:22].all()
    assert not possible[15, 25, 20]


def test_a_sheet_does_not_look_like_a_tube():
    rng = np.random.default_rng(1)
    image = 0.4 + 0.02 * rng.standard_normal((30, 30, 30), np.float32)
    image[:15, 15], image[22, 22] = -0.6, -0.6
    found = background.vesselness(image, np.ones(image.shape, bool), np.ones(3))
    assert found[22, 22, 5:25].min() > background.TUBULAR
    assert np.median(found[4:11, 15, 5:25]) < background.TUBULAR


def test_the_label_map_has_the_structures_of_the_regions(maps):
    labels = background.anatomy_of_regions('a', maps).labels
    assert labels[24, 22, 20] == 4  # CSF near the caudate, deep in the brain
    assert labels[3, 20, 20] == 24
    assert labels[30, 20, 20] == 50
    assert (labels[10, 20, 20], labels[36, 20, 20]) == (2, 41)
    assert labels[5, 20, 20] == 3
    assert labels[0, 0, 0] == 0


@pytest.mark.parametrize('fwhm', [0.9, 1.4])
def test_resolution_is_that_of_the_noise(fwhm):
    noise = np.random.default_rng(4).standard_normal((60, 60, 60), np.float32)
    noise = ndimage.gaussian_filter(noise, [fwhm / 2.3548, 0, fwhm / 2.3548])
    found = background.resolution(noise, np.ones(noise.shape, bool), np.array([1.0, 1.0, 0.5]))
    assert found[0] == pytest.approx(fwhm, rel=0.1)
    assert found[1] < 0.7  # white noise
    assert found[2] == pytest.approx(fwhm / 2, rel=0.1)


def test_a_prepared_scan_comes_back_from_its_file(maps, tmp_path):
    made = prepare_background('sub-1', maps, NORMALIZATION)
    background.write_background(made, tmp_path / 'a.npz')
    again = background.read_background(tmp_path / 'a.npz')
    for name in ('image', 'fluid', 'brain', 'left_out', 'fwhm'):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))
    np.testing.assert_array_equal(again.source.voxels, made.source.voxels)
    assert again.source.name == 'sub-1'
    assert set(made.source.centres) == {'white-matter', 'basal-ganglia'}
    assert not made.source.voxels[..., REGION][maps.regions == 0].any()
    assert made.fluid[0, 15, 30, 20] == pytest.approx(NORMALIZATION.csf - NORMALIZATION.wm, abs=0.1)
    assert NORMALIZATION.csf - NORMALIZATION.wm < made.fluid[0, 5, 30, 20] < NORMALIZATION.csf + 0.6  # cortex
    # vessels between ventricle and cortex run along the axis between them
    direction = made.source.directions[(36 // COARSE, 22 // COARSE, 20 // COARSE)].astype(float)
    assert abs(direction[0]) > 0.8 * np.linalg.norm(direction)
