from dataclasses import replace
from pathlib import Path

import pytest

from pvs_bidsapp.bids.query import Scan
from pvs_bidsapp.workflows.scan import init_scan_wf


def segment_inputs(settings):
    scan = Scan(Path(settings.bids_dir) / 'sub-1' / 'anat' / 'sub-1_T1w.nii.gz')
    return init_scan_wf(scan, settings).get_node('segment').inputs.get_hashval()[1]


@pytest.mark.parametrize('change', [{'model_sha256': 'def'}, {'model_version': '2'}])
def test_new_weights_in_the_same_folder_are_run_anew_in_an_old_work_folder(settings, change):
    other = replace(settings, analysis=replace(settings.analysis, **change))
    assert segment_inputs(settings) == segment_inputs(settings)
    assert segment_inputs(settings) != segment_inputs(other)
