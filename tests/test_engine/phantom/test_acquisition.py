import numpy as np
import pytest

from lens_engine.phantom.acquisition import NOISE_HU, Kernel, acquire


def _water() -> np.ndarray:
    return np.zeros((12, 96, 96), dtype=np.float32)


@pytest.mark.parametrize("kernel", list(Kernel))
def test_noise_in_the_centre_has_the_stated_deviation(kernel: Kernel):
    centre = acquire(_water(), kernel, 4.0, np.random.default_rng(3))[:, 36:60, 36:60]
    assert centre.std() == pytest.approx(NOISE_HU[kernel], rel=0.15)
    assert abs(centre.mean()) < 2


def test_thinner_slices_are_noisier():
    thick, thin = (acquire(_water(), Kernel.SOFT, spacing, np.random.default_rng(3)).std() for spacing in (4.0, 1.0))
    assert thin == pytest.approx(2 * thick, rel=0.05)


def test_sharp_kernel_steepens_an_edge_that_the_soft_one_blurs():
    step = np.where(np.arange(96) < 48, -100, 100).astype(np.float32) * np.ones((12, 96, 1), dtype=np.float32)
    rises = []
    for kernel in (Kernel.SOFT, Kernel.SHARP):
        profile = acquire(step, kernel, 4.0, np.random.default_rng(0)).mean(axis=(0, 1))
        rises.append(profile[48] - profile[47])
    assert rises[0] < 160 < 200 < rises[1]


def test_values_stay_in_the_range_of_twelve_bits():
    extreme = np.where(np.arange(96) < 48, -5000, 9000).astype(np.float32) * np.ones((12, 96, 1), dtype=np.float32)
    scan = acquire(extreme, Kernel.SOFT, 4.0, np.random.default_rng(0))
    assert (scan.min(), scan.max(), scan.dtype) == (-1024, 3071, np.int16)
