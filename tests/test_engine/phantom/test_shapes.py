import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.phantom.shapes import Canvas, Capsule, Ellipsoid, Grown, Overlay, Tube, Union, depth_at

RADII = st.tuples(*[st.floats(3, 20)] * 3)


def _canvas() -> Canvas:
    axis = np.arange(-32, 32, dtype=np.float32)
    return Canvas(axis, axis, axis[::2].copy())


@given(RADII, st.floats(0, 180), st.floats(0, 6.28), st.floats(-1, 1))
def test_distance_of_an_ellipsoid_vanishes_on_its_surface(radii, turn, longitude, height):
    rx, ry, rz = radii
    flat = (1 - height**2) ** 0.5
    u, v, w = rx * flat * np.cos(longitude), ry * flat * np.sin(longitude), rz * height
    angle = np.radians(turn)
    point = (np.cos(angle) * u - np.sin(angle) * v, np.sin(angle) * u + np.cos(angle) * v, w)
    assert abs(depth_at(Ellipsoid((0, 0, 0), radii, turn), point)) < 0.02


@given(RADII)
def test_centre_of_an_ellipsoid_lies_as_deep_as_its_smallest_radius(radii):
    assert depth_at(Ellipsoid((1, 2, 3), radii), (1, 2, 3)) == pytest.approx(min(radii), abs=0.01)


def test_distance_to_a_capsule_is_that_to_its_axis_less_the_radius():
    capsule = Capsule((0, 0, -10), (0, 0, 10), 3, 3)
    assert depth_at(capsule, (5, 0, 4)) == pytest.approx(-2, abs=1e-4)
    assert depth_at(capsule, (0, 0, 15)) == pytest.approx(-2, abs=1e-4)


@given(RADII)
def test_painted_share_of_all_voxels_adds_up_to_the_volume(radii):
    canvas = _canvas()
    filled = canvas.fill(Ellipsoid((0.3, -0.2, 0.1), radii), sublevels=3)
    assert filled is not None
    volume = float(filled[1].sum()) * canvas.slice_mm
    assert volume == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.08)


def test_paint_outside_the_grid_changes_nothing():
    canvas = _canvas()
    canvas.paint(Ellipsoid((200, 0, 0), (5, 5, 5)), 100)
    assert (canvas.hu == -1000).all()


def test_paint_mixes_at_the_border_only():
    canvas = _canvas()
    canvas.paint(Ellipsoid((0, 0, 0), (10, 10, 10)), 50)
    assert canvas.hu[16, 32, 32] == 50
    assert canvas.hu.max() == 50
    assert canvas.hu.min() == -1000
    assert ((canvas.hu > -900) & (canvas.hu < 0)).any()


def test_union_contains_its_parts_and_overlay_leaves_out_its_holes():
    left, right = Ellipsoid((-6, 0, 0), (8, 8, 8)), Ellipsoid((6, 0, 0), (8, 8, 8))
    union = Union((left, right), 4)
    rest = Overlay((left,), holes=(right,), gap_mm=1)
    for x in np.linspace(-16, 16, 33):
        point = (float(x), 0.0, 0.0)
        assert depth_at(union, point) >= max(depth_at(left, point), depth_at(right, point)) - 1e-4
        if depth_at(rest, point) > 0:
            assert depth_at(right, point) < -0.99


def test_growing_moves_the_border_and_thinning_a_tube_leaves_a_wall():
    body = Ellipsoid((0, 0, 0), (10, 10, 10))
    assert depth_at(Grown(body, 2), (11, 0, 0)) == pytest.approx(1, abs=1e-3)
    tube = Tube(((0, 0, 0), (0, 0, 20)), (5, 5))
    assert tube.thinned(2).radii == (3, 3)
