import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.errors import GeometryError
from lens_engine.geometry import CANONICAL_DIRECTIONS_LPS, VolumeGeometry

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
ORIENTATIONS = [
    np.eye(3)[:, list(order)] * np.asarray(signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
"""All 48 ways in which source axes i, j, k can run along the patient's axes."""

orientations = st.sampled_from(ORIENTATIONS)
spacings = st.tuples(*[st.floats(0.2, 6.0)] * 3)
origins = st.tuples(*[st.floats(-900, 900)] * 3)
tilts = st.floats(-12, 12)


def _turned(matrix: np.ndarray, degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]]) @ matrix


@given(orientations, spacings, origins, tilts)
def test_index_to_millimetres_and_back_is_the_same_index(matrix, spacing, origin, degrees):
    geometry = VolumeGeometry.from_source((5, 7, 9), spacing, origin, _turned(matrix, degrees))
    points = np.random.default_rng(0).uniform(-20, 40, (50, 3))
    np.testing.assert_allclose(geometry.mm_to_index(geometry.index_to_mm(points)), points, atol=1e-8)


@given(orientations)
def test_source_to_canonical_and_back_is_the_same_array(matrix):
    source = np.arange(5 * 7 * 9).reshape(5, 7, 9)
    geometry = VolumeGeometry.from_source(source.shape, (1, 1, 1), (0, 0, 0), matrix)
    canonical = geometry.to_canonical(source)
    assert canonical.shape == geometry.shape
    np.testing.assert_array_equal(geometry.to_source(canonical), source)


@given(orientations, spacings, origins, tilts)
def test_every_voxel_stays_where_it_was_in_the_patient(matrix, spacing, origin, degrees):
    matrix = _turned(matrix, degrees)
    shape = (3, 4, 5)
    k, j, i = np.indices(shape)
    source_mm = np.stack([i, j, k], axis=-1) * np.asarray(spacing) @ matrix.T + np.asarray(origin)
    geometry = VolumeGeometry.from_source(shape, spacing, origin, matrix)
    canonical_mm = geometry.index_to_mm(np.stack(np.indices(geometry.shape), axis=-1))
    for axis in range(3):
        np.testing.assert_allclose(canonical_mm[..., axis], geometry.to_canonical(source_mm[..., axis]), atol=1e-6)


@given(orientations)
def test_canonical_axes_run_to_the_feet_the_back_and_the_left(matrix):
    geometry = VolumeGeometry.from_source((5, 7, 9), (1, 1, 1), (0, 0, 0), matrix)
    np.testing.assert_allclose(geometry.directions, CANONICAL_DIRECTIONS_LPS)


@given(orientations, spacings, origins)
def test_lps_and_ras_descriptions_of_one_affine_agree(matrix, spacing, origin):
    ras_matrix, ras_origin = LPS_TO_RAS @ matrix, LPS_TO_RAS @ np.asarray(origin)
    there_and_back = VolumeGeometry.from_source(
        (5, 7, 9), spacing, tuple(LPS_TO_RAS @ ras_origin), LPS_TO_RAS @ ras_matrix
    )
    assert there_and_back == VolumeGeometry.from_source((5, 7, 9), spacing, origin, matrix)


@given(orientations, spacings, origins)
def test_json_values_give_the_same_geometry(matrix, spacing, origin):
    geometry = VolumeGeometry.from_source((5, 7, 9), spacing, origin, matrix, first_slice_number=39)
    assert VolumeGeometry.from_dict(geometry.as_dict()) == geometry


def test_slice_numbers_count_from_the_first_of_the_source():
    geometry = VolumeGeometry((5, 7, 9), (1, 1, 1), first_slice_number=39)
    assert geometry.slice_number(0) == 39
    assert geometry.slice_index(43) == 4


@pytest.mark.parametrize("spacing", [(0.0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (float("inf"), 1, 1)])
def test_a_spacing_that_is_no_positive_number_is_refused(spacing):
    with pytest.raises(GeometryError, match=r"The voxel spacing is \("):
        VolumeGeometry((5, 7, 9), spacing)


@pytest.mark.parametrize("shape", [(5, 7), (0, 7, 9), (5, 7, 9, 2)])
def test_a_shape_that_is_not_a_volume_is_refused(shape):
    with pytest.raises(GeometryError, match="shape"):
        VolumeGeometry(shape, (1, 1, 1))


def test_sheared_axes_are_refused():
    with pytest.raises(GeometryError, match="right angles"):
        VolumeGeometry((5, 7, 9), (1, 1, 1), directions=((0, 0.1, -0.995), (0, 1, 0), (1, 0, 0)))


def test_slices_turned_by_twenty_degrees_are_refused_with_the_angle():
    with pytest.raises(GeometryError, match=r"turned by 20\.0 degrees"):
        VolumeGeometry.from_source((5, 7, 9), (1, 1, 1), (0, 0, 0), _turned(np.eye(3), 20))
