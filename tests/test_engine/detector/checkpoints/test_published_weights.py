from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lens_engine.detector.checkpoints.published_weights import read_state_dict
from lens_engine.errors import CheckpointError


class Foreign:
    pass


@pytest.mark.parametrize("write", [torch.save, save_file])
def test_tensors_are_read_by_name(tmp_path: Path, write):
    path = tmp_path / ("x.safetensors" if write is save_file else "x.pth")
    write({"a.weight": torch.arange(3.0)}, path)
    assert read_state_dict(path, "a network")["a.weight"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"state_dict": {"a": torch.zeros(1)}}, "'state_dict' is no tensor"),
        ([torch.zeros(1)], "holds a list"),
        ({"a": Foreign()}, "Weights only load failed"),
    ],
)
def test_anything_but_named_tensors_is_refused(tmp_path: Path, content, problem: str):
    path = tmp_path / "x.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=problem):
        read_state_dict(path, "a network")


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"no weights at all", b"\x80\x02}q\x00."])
def test_a_missing_or_broken_file_is_named_with_the_network_it_should_hold(tmp_path: Path, name: str, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read.*state dict of a network"):
        read_state_dict(path, "a network")
