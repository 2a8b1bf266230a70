"""What is told of a T2w in the records of a scan."""

from pvs_bidsapp.interfaces.derivatives import about_unused_t2w
from pvs_bidsapp.messages import scans


def test_thick_slices_of_a_t2w_do_not_matter_where_it_is_not_used():
    thick = scans.THICK.finding('sub-1_T2w.nii.gz', zooms='0.4 x 0.4 x 2.5')
    mirrored = scans.T2W_MIRRORED.finding(mirrored=-0.7, correlation=-0.3)
    partial = scans.T2W_PARTIAL.finding(percent=80)
    assert about_unused_t2w([thick, mirrored, partial]) == [mirrored]
