"""A device whose memory is short or that fails: smaller portions, then words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.tasks.device_errors import in_words, within_memory
from lens_engine.tasks.workbench import Workbench
from lens_engine.worker.messages import DetectSeries


class SmallDevice(TorchFunctionMode):
    """A device on which a convolution of more than so many slices at a time does not fit, as torch says it.

    Attributes
    ----------
    refused
        How many convolutions did not fit.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.refused = 0

    def __torch_function__(
        self, function: Any, _types: Any, arguments: Sequence[Any] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        if function in (torch.conv2d, torch.nn.functional.conv2d) and arguments[0].shape[0] > self.most:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return function(*arguments, **(named or {}))


def detect(database: Database, folder: Path) -> dict[str, object]:
    series = Catalog(database).all_series()[0]
    task = DetectSeries(series_id=series.id, model_version="v1")
    return Workbench(database.project, folder).run(task, lambda done, total: None)


def test_a_series_that_does_not_fit_is_detected_in_smaller_portions(database: Database, tmp_path: Path) -> None:
    series = Catalog(database).all_series()[0]
    before = detect(database, tmp_path)
    (database.project.detections_folder / "v1" / f"{series.id}.parquet").unlink()
    with SmallDevice(most=3) as device:
        again = detect(database, tmp_path)
    assert device.refused > 0
    assert again["findings"] == before["findings"]
    assert again["boxes"] == before["boxes"]


def test_a_device_without_any_room_is_told(database: Database, tmp_path: Path) -> None:
    with SmallDevice(most=0), pytest.raises(torch.OutOfMemoryError) as raised:
        detect(database, tmp_path)
    words = in_words(raised.value)
    assert words is not None
    assert "even in the smallest portions" in words.happened
    assert Detections(database).series_ids("v1") == ()


def test_other_errors_are_not_tried_again() -> None:
    def fail() -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(fail, lambda: True)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("CUDA error: no kernel image is available for execution on the device", "was not made for this GPU"),
        ("The NVIDIA driver on your system is too old; CUDA needs another", "the driver of the GPU does not fit"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "another program has the GPU for itself"),
        ("CUDA error: invalid device ordinal", "there is no GPU of that number"),
        ("CUDA error: uncorrectable ECC error encountered", "the memory of the GPU is damaged"),
        ("CUDA error: an illegal memory access was encountered", "memory of the GPU that it does not have"),
        ("CUDA error: device-side assert triggered", "an impossible value"),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_EXECUTION_FAILED"),
        ("CUDNN_STATUS_ALLOC_FAILED", "not enough memory"),
    ],
)
def test_errors_of_a_gpu_are_told_in_words(said: str, words: str) -> None:
    told = in_words(RuntimeError(said))
    assert told is not None
    assert words in told.happened
    assert told.remedy


def test_an_error_that_is_not_the_devices_stays_one() -> None:
    assert in_words(RuntimeError("shapes do not fit")) is None
