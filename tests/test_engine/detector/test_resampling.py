import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lens_engine.detector.resampling import Taps, linear_taps, resample


def matrix_of(taps: Taps, source: int) -> NDArray[np.float64]:
    """Return the weights of all source pixels, (targets, source)."""
    result = np.zeros((len(taps.indices), source))
    rows = np.arange(len(result))[:, None]
    np.add.at(result, (rows, taps.part[0] + taps.indices.numpy()), taps.weights.numpy().astype(np.float64))
    return result


def triangles(source: int, target: int, scale: float, *, antialias: bool) -> NDArray[np.float64]:
    """Return the same by the definition: a triangle around every target pixel's centre, in source pixels."""
    reach = max(1.0, 1 / scale) if antialias else 1.0
    centres = np.clip((np.arange(target) + 0.5) / scale - 0.5, 0, source - 1)
    weights = np.maximum(1 - np.abs(centres[:, None] - np.arange(source)) / reach, 0)
    return weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.floats(0.3, 2.5), st.booleans())
def test_the_taps_are_the_triangles_around_the_pixels_centres(source: int, scale: float, antialias: bool):
    target = max(int(source * scale + 0.5), 1)
    taps = linear_taps(source, range(target), scale, antialias=antialias)
    expected = triangles(source, target, scale, antialias=antialias)
    np.testing.assert_allclose(matrix_of(taps, source), expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 60), st.floats(0.3, 2.5), st.booleans())
def test_resampling_keeps_a_ramp_a_ramp(source: int, scale: float, antialias: bool):
    target = max(int(source * scale + 0.5), 1)
    weights = matrix_of(linear_taps(source, range(target), scale, antialias=antialias), source)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    centres = (np.arange(target) + 0.5) / scale - 0.5
    inner = (centres > 1 / scale + 1) & (centres < source - 2 - 1 / scale)
    tolerance = 0.3 if antialias else 1e-3  # a widened triangle on few pixels is centred only roughly
    np.testing.assert_allclose((weights @ np.arange(source))[inner], centres[inner], atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 60), st.floats(0.3, 2.5), st.booleans(), st.integers(0, 5), st.integers(1, 6))
def test_some_targets_read_what_they_read_among_all(source: int, scale: float, antialias: bool, first: int, count: int):
    target = max(int(source * scale + 0.5), 1)
    wanted = range(min(first, target - 1), min(first + count, target))
    every, some = (linear_taps(source, targets, scale, antialias=antialias) for targets in (range(target), wanted))
    np.testing.assert_array_equal(matrix_of(some, source), matrix_of(every, source)[wanted.start : wanted.stop])


def test_one_pass_along_three_axes_is_one_pass_along_each():
    volume = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (3, 13, 17))).float()
    depth = Taps((0, 1, 2), torch.tensor([[0, 1], [1, 2], [2, 2]]), torch.tensor([[0.75, 0.25], [0.5, 0.5], [1, 0]]))
    rows = linear_taps(13, range(9), 0.7, antialias=True)
    columns = linear_taps(17, range(21), 1.24, antialias=True)
    found = resample(
        volume[:, rows.part[0] : rows.part[-1] + 1, columns.part[0] : columns.part[-1] + 1], depth, rows, columns
    )
    weights = (matrix_of(taps, length) for taps, length in ((depth, 3), (rows, 13), (columns, 17)))
    expected = np.einsum("nz,ay,bx,zyx->nab", *weights, volume.numpy())
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
