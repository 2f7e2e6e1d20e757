"""x, y and z are never swapped or flipped: the voxels in every box that is read are those of the bright box."""

import math
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.files.published_data import (
    BRIGHT,
    BRIGHT_ABOVE_HU,
    SIDE_MM,
    SPACING_MM,
    deeplesion_row,
    scene,
    write_deeplesion,
    write_lits,
    write_luna16,
    write_nih_ln,
)

from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import Augmentation, prepare
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.datasets.published.catalogue import DatasetName, read_dataset

Margin = Callable[[int], NDArray[np.float64]]
"""From the hull of the bright pixels of a slice to the box that the data set gives there."""

orientations = st.tuples(st.permutations(range(3)).map(tuple), st.tuples(*[st.booleans()] * 3))
"""Which canonical axis each axis of the stored array is, and which of them run backwards."""
any_orientation = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("first", [1, 39, 994])
def test_deeplesion_is_read_as_written(first, tmp_path):
    volume = scene()
    write_deeplesion(tmp_path, volume, first, [deeplesion_row(key_slice=first + 5, Slice_range=f"1, {first + 30}")])
    case = only_case(DatasetName.DEEPLESION, tmp_path)
    assert_reads_the_scene(case, volume, lambda index: np.asarray([-4.5, -4.5, 4.5, 4.5]))  # five around pixel centres
    assert (case.lesions[0].key_slice, len(case.lesions[0].slices)) == (5, 1)
    assert case.geometry.first_slice_number == first


@any_orientation
@given(orientations)
def test_luna16_is_read_as_written(tmp_path, stored_as):
    volume = scene()
    write_luna16(tmp_path, volume, stored_as)
    case = only_case(DatasetName.LUNA16, tmp_path)
    np.testing.assert_allclose(case.lesions[0].box, BRIGHT, atol=1e-3)
    assert [index for index, *_ in case.lesions[0].slices] == [4, 5, 6, 7]
    assert_reads_the_scene(case, volume, smaller_than_the_cube)


@any_orientation
@given(orientations, orientations)
def test_lits_is_read_as_written(tmp_path, scan_as, mask_as):
    volume = scene()
    write_lits(tmp_path, volume, scan_as, mask_as)
    case = only_case(DatasetName.LITS, tmp_path)
    assert case.lesions[0].box == BRIGHT
    assert_reads_the_scene(case, volume, lambda index: np.zeros(4))


@pytest.mark.parametrize("affine_sign", [1, -1])
def test_nih_ln_is_read_as_written_whatever_the_header_of_its_mask_says(affine_sign, tmp_path):
    volume = scene()
    write_nih_ln(tmp_path, volume, affine_sign=affine_sign)
    case = only_case(DatasetName.NIH_LN, tmp_path)
    assert case.lesions[0].box == BRIGHT
    assert_reads_the_scene(case, volume, lambda index: np.zeros(4))


def only_case(name: DatasetName, folder: Path) -> Case:
    reading = read_dataset(name, folder)
    assert reading.odd == ()
    (case,) = reading.cases
    assert case.dataset == name.value
    return case


def smaller_than_the_cube(index: int) -> NDArray[np.float64]:
    radius_mm = SIDE_MM / 2
    distance_mm = abs(index + 0.5 - 6) * SPACING_MM[0]
    less_mm = radius_mm - math.sqrt(radius_mm**2 - distance_mm**2)
    return less_mm / np.asarray([SPACING_MM[2], SPACING_MM[1], -SPACING_MM[2], -SPACING_MM[1]])


def assert_reads_the_scene(case: Case, original: Volume, margin: Margin) -> None:
    volume = pickle.loads(pickle.dumps(case)).load()  # as a worker process gets it
    assert volume.geometry.shape == case.geometry.shape
    np.testing.assert_allclose(case.geometry.spacing_mm, SPACING_MM, rtol=1e-5)
    np.testing.assert_array_equal(volume.voxels, original.voxels)
    for index, *box in case.lesions[0].slices:
        np.testing.assert_allclose(box, hull(volume.voxels[index] > BRIGHT_ABOVE_HU) + margin(index), atol=1e-3)
    assert_covered_on_the_network_pixels(case, volume, margin)


def assert_covered_on_the_network_pixels(case: Case, volume: Volume, margin: Margin) -> None:
    config = InputConfig()
    grid = prepare(volume, config).grid
    bright = np.interp(BRIGHT_ABOVE_HU, *zip(*config.intensity, strict=True)) - config.mean
    scale = np.asarray([*grid.scale[::-1]] * 2)
    padding = np.asarray([-1, -1, 1, 1]) * (case.tight_margin_voxels if case.lesions[0].is_tight else 0)
    for index, *_ in case.lesions[0].slices:
        (labelled,) = grid.to_network(case.labels.on_slice(index).lesions)
        through_slice = prepare(volume, config, Augmentation(phase_mm=index * volume.geometry.spacing_mm[0]))
        image = through_slice.network_slice(through_slice.grid.nearest_grid_index(index))
        expected = labelled - (margin(index) + padding) * scale
        np.testing.assert_allclose(hull(image > bright), expected, atol=1.5)


def hull(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
