import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvs_bidsapp.anatomy import acpc
from pvs_bidsapp.anatomy.registration import Transform

IDENTITY = Transform((), ())


def test_the_frame_of_the_template():
    frame = acpc.find_frame(IDENTITY)
    np.testing.assert_allclose(frame.axes @ frame.axes.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(frame.axes) == pytest.approx(1)
    np.testing.assert_allclose(frame.heights(np.array([acpc.AC, acpc.PC])), 0, atol=1e-4)
    assert frame.axes[0] @ [1, 0, 0] > 0.99
    assert frame.axes[1] @ [0, 1, 0] > 0.99
    assert frame.heights(np.array([acpc.ABOVE]))[0] > 50


@given(st.tuples(*[st.floats(-60, 60)] * 3), st.floats(-50, 50))
def test_heights_do_not_change_within_a_section(point, shift):
    frame = acpc.find_frame(IDENTITY)
    moved = np.array(point) + shift * frame.axes[0] + 2 * shift * frame.axes[1]
    first, second = frame.heights(np.array([point, moved]))
    assert first == pytest.approx(second, abs=1e-6)


def test_a_frame_survives_its_file():
    frame = acpc.find_frame(IDENTITY)
    again = acpc.Frame.load(json.loads(json.dumps(frame.dump())))
    np.testing.assert_array_equal(again.origin, frame.origin)
    np.testing.assert_array_equal(again.axes, frame.axes)
