import json

import pytest
import torch

from lens_engine.detector import device_probe
from lens_engine.detector.network.cuda_kernels import (
    Kernels,
    kernels_in_use,
    kernels_in_words,
    torchvision_ops,
)
from lens_engine.detector.precision_probe import WORTH


def test_the_probe_takes_bf16_only_where_it_is_worth_its_other_boxes(capsys):
    torch.set_num_threads(1)
    assert device_probe.main() == 0
    report = json.loads(capsys.readouterr().out)
    speedup = float(report["bf16"].split()[2])
    assert 0 < speedup < 1000
    assert report["faster"] == ("bf16" if speedup >= WORTH else "fp32") or speedup == pytest.approx(WORTH, abs=0.06)
    assert report["kernels"] == "NMS by plain torch, ROIAlign by plain torch"


def test_on_a_cpu_nms_and_roialign_are_ours():
    assert kernels_in_use(torch.device("cpu"), torch.float32) == (Kernels.PLAIN, Kernels.PLAIN)


@pytest.mark.skipif(torchvision_ops() is not None, reason="torchvision is here")
def test_a_gpu_without_torchvision_is_told_that_it_goes_the_slower_way_and_what_to_do():
    words = kernels_in_words(torch.device("cuda"), torch.float32)
    assert words.startswith("NMS by plain torch, ROIAlign by plain torch, slower")
    assert "pip install 'lens-napari[cuda]'" in words
