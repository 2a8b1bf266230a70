import pytest

from pvs_bidsapp.simulation import label_maps


@pytest.fixture(scope='session')
def template_head():
    """Label map of the bundled template."""
    return label_maps.template_anatomy()


@pytest.fixture(scope='session')
def brain(template_head):
    """The same, with 10 mm around the brain."""
    return label_maps.crop(template_head, 10)
