import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.phantom.marks import measure


def _disc(a: float, b: float, turn: float) -> np.ndarray:
    y, x = np.mgrid[-40:41, -40:41]
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return (u / a) ** 2 + (v / b) ** 2 <= 1


@given(st.floats(6, 30), st.floats(0.5, 0.9), st.floats(0, 3.1))
def test_diameters_of_an_ellipse_are_its_axes_at_right_angles(a, share, turn):
    marks = measure(_disc(a, a * share, turn))
    x11, y11, x12, y12, x21, y21, x22, y22 = marks.ends
    assert marks.long_pixels == pytest.approx(2 * a + 0.5, abs=1.6)
    assert math.dist((x11, y11), (x12, y12)) == pytest.approx(marks.long_pixels)
    assert math.dist((x21, y21), (x22, y22)) == pytest.approx(2 * a * share + 0.5, abs=2.6)
    assert (x12 - x11) * (x22 - x21) + (y12 - y11) * (y22 - y21) == pytest.approx(0, abs=1e-6)


def test_a_single_pixel_measures_one_pixel():
    marks = measure(np.array([[False, True]]))
    assert marks.long_pixels == 1
    assert marks.ends == (0.5, 0, 1.5, 0, 1, -0.5, 1, 0.5)
