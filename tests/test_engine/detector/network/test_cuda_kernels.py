"""torchvision's CUDA kernels against ours; on other machines only that they are left alone."""

import subprocess
import sys

import pytest
import torch

from lens_engine.detector.network import cuda_kernels, ops

PROGRAM = """
import sys, torch
from lens_engine.detector.network import ops
boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10]])
ops.non_maximum_suppression(boxes, torch.tensor([0.5, 0.6]), 0.5)
ops.roi_align(torch.zeros(1, 2, 8, 8), [boxes], 7, 0.25)
sys.exit("torchvision" in sys.modules)
"""


def test_torchvision_is_not_imported_on_a_cpu():
    assert subprocess.run([sys.executable, "-c", PROGRAM], check=False).returncode == 0


@pytest.fixture
def kernels():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    values = torch.zeros(1, 4, device="cuda")
    if cuda_kernels.suppress(values, values[:, 0], 0.5) is None:
        pytest.skip("no torchvision for this build of torch")


@pytest.mark.gpu
@pytest.mark.parametrize("levels", [7, 10**6])
def test_the_kernel_suppresses_what_ours_suppresses(kernels, levels):
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(3000, 2, generator=generator) * 300
    boxes = torch.cat([low, low + torch.rand(3000, 2, generator=generator) * 40 + 1], dim=1)
    scores = torch.randint(0, levels, (3000,), generator=generator) / levels
    expected = ops.non_maximum_suppression(boxes, scores, 0.5)
    assert ops.non_maximum_suppression(boxes.cuda(), scores.cuda(), 0.5).cpu().tolist() == expected.tolist()


@pytest.mark.gpu
@pytest.mark.parametrize("aligned", [False, True])
def test_the_kernel_pools_what_ours_pools(kernels, aligned):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 16, 32, 40, generator=generator)
    low = torch.rand(60, 2, generator=generator) * 140 - 10
    boxes = list(torch.cat([low, low + torch.rand(60, 2, generator=generator) * 60], dim=1).split([25, 35]))
    expected = ops.roi_align(features, boxes, 7, 0.25, aligned=aligned)
    found = ops.roi_align(features.cuda(), [own.cuda() for own in boxes], 7, 0.25, aligned=aligned)
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-4)
