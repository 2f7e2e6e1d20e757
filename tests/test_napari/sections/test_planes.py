import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens_engine.geometry import VolumeGeometry
from lens_napari.sections.planes import Plane, inside, linked_slice

ORIENTATIONS = [
    np.eye(3)[:, list(order)] * np.asarray(signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
"""All 48 ways in which source axes can run along the patient's axes."""
SIDE_OF_LETTER = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "F": (2, -1), "H": (2, 1)}
"""LPS coordinate that tells how far a place lies on the side of a letter, and its sign."""


def turned(degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])


@st.composite
def geometries(draw: st.DrawFn) -> VolumeGeometry:
    """Volumes of files of any orientation, up to 12 degrees off the patient's axes, with any spacing."""
    return VolumeGeometry.from_source(
        draw(st.tuples(*[st.integers(1, 40)] * 3)),
        draw(st.tuples(*[st.floats(0.3, 8.0)] * 3)),
        draw(st.tuples(*[st.floats(-900, 900)] * 3)),
        turned(draw(st.floats(-12, 12))) @ draw(st.sampled_from(ORIENTATIONS)),
    )


@st.composite
def voxels(draw: st.DrawFn, geometry: VolumeGeometry) -> tuple[int, int, int]:
    z, y, x = (draw(st.integers(0, size - 1)) for size in geometry.shape)
    return z, y, x


planes = st.sampled_from(list(Plane))


@given(st.data(), geometries(), planes)
def test_the_place_of_a_voxel_leads_back_to_it(data: st.DataObject, geometry: VolumeGeometry, plane: Plane) -> None:
    voxel = data.draw(voxels(geometry))
    assert plane.voxel_at(plane.place_of(voxel, geometry), voxel[plane.across], geometry) == voxel


@given(st.data(), geometries(), planes)
def test_places_of_a_section_are_as_far_apart_as_in_the_patient(
    data: st.DataObject, geometry: VolumeGeometry, plane: Plane
) -> None:
    one, other = data.draw(voxels(geometry)), list(data.draw(voxels(geometry)))
    other[plane.across] = one[plane.across]
    in_patient = geometry.index_to_mm(np.asarray([one, other], dtype=float))
    on_section = np.asarray([plane.place_of(voxel, geometry) for voxel in (one, tuple(other))])
    assert np.linalg.norm(on_section[1] - on_section[0]) == pytest.approx(
        np.linalg.norm(in_patient[1] - in_patient[0]), abs=1e-6
    )


@given(geometries(), planes)
def test_each_edge_lies_on_the_side_of_the_patient_that_its_letter_says(geometry: VolumeGeometry, plane: Plane) -> None:
    height, width = plane.size_mm(geometry)
    row_mm, column_mm = plane.pixel_mm(geometry)
    edges = {
        plane.letters.top: (0.0, width / 2),
        plane.letters.bottom: (height, width / 2),
        plane.letters.left: (height / 2, 0.0),
        plane.letters.right: (height / 2, width),
    }
    middle = (height / 2, width / 2)

    def in_patient(place: tuple[float, float]) -> np.ndarray:
        index = np.zeros(3)
        index[plane.down], index[plane.right] = place[0] / row_mm - 0.5, place[1] / column_mm - 0.5
        return geometry.index_to_mm(index)

    for letter, place in edges.items():
        axis, sign = SIDE_OF_LETTER[letter]
        assert sign * (in_patient(place) - in_patient(middle))[axis] > 0


@given(st.data(), planes)
def test_a_section_holds_the_voxels_that_its_places_name(data: st.DataObject, plane: Plane) -> None:
    geometry = VolumeGeometry(data.draw(st.tuples(*[st.integers(1, 6)] * 3)), (2.0, 0.7, 0.9))
    volume = np.arange(np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape)
    voxel = data.draw(voxels(geometry))
    section = plane.cut(volume, voxel[plane.across])
    assert section[voxel[plane.down], voxel[plane.right]] == volume[voxel]
    row_mm, column_mm = plane.pixel_mm(geometry)
    assert (section.shape[0] * row_mm, section.shape[1] * column_mm) == pytest.approx(plane.size_mm(geometry))


@given(st.data(), geometries(), planes, st.floats(-500, 500), st.floats(-500, 500))
def test_a_place_outside_gives_the_nearest_voxel_of_the_section(
    data: st.DataObject, geometry: VolumeGeometry, plane: Plane, down: float, right: float
) -> None:
    section = data.draw(st.integers(0, geometry.shape[plane.across] - 1))
    voxel = plane.voxel_at((down, right), section, geometry)
    assert voxel[plane.across] == section
    assert inside(voxel, geometry) == voxel
    if down < 0:
        assert voxel[plane.down] == 0


@given(st.data(), geometries(), planes, st.floats(-30, 30).filter(bool))
def test_a_section_moves_by_the_distance_and_stays_in_the_volume(
    data: st.DataObject, geometry: VolumeGeometry, plane: Plane, distance_mm: float
) -> None:
    voxel = data.draw(voxels(geometry))
    moved = plane.moved(voxel, distance_mm, geometry)
    assert inside(moved, geometry) == moved
    assert [moved[axis] for axis in (plane.down, plane.right)] == [voxel[axis] for axis in (plane.down, plane.right)]
    steps = moved[plane.across] - voxel[plane.across]
    last = geometry.shape[plane.across] - 1
    if 0 < moved[plane.across] < last:
        assert steps * distance_mm > 0
        spacing = geometry.spacing_mm[plane.across]
        assert abs(steps * spacing - distance_mm) <= max(spacing / 2, spacing - abs(distance_mm)) + 1e-6


@given(geometries(), geometries(), st.integers(0, 39), st.integers(0, 39), st.integers(-60, 60))
def test_the_partner_moves_by_the_same_millimetres_of_its_patient(
    geometry: VolumeGeometry, partner: VolumeGeometry, key_slice: int, partner_key_slice: int, steps: int
) -> None:
    shown = linked_slice(key_slice + steps, key_slice, geometry, partner_key_slice, partner)

    def moved_mm(of: VolumeGeometry, here: int, key: int) -> float:
        points = of.index_to_mm(np.asarray([[here, 0, 0], [key, 0, 0]], dtype=float))
        return float(np.copysign(np.linalg.norm(points[0] - points[1]), here - key))

    difference = moved_mm(partner, shown, partner_key_slice) - moved_mm(geometry, key_slice + steps, key_slice)
    assert abs(difference) <= partner.spacing_mm[0] / 2 + 1e-6


def test_the_key_slices_are_shown_together() -> None:
    geometry = VolumeGeometry((30, 10, 10), (5.0, 1.0, 1.0))
    assert linked_slice(12, 12, geometry, 7, VolumeGeometry((90, 10, 10), (1.25, 1.0, 1.0))) == 7
    assert linked_slice(14, 12, geometry, 7, VolumeGeometry((90, 10, 10), (1.25, 1.0, 1.0))) == 15
