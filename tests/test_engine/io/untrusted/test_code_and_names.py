"""Files that bring code to run, and names that lead elsewhere when something is written under them."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from lens_engine.checkpoint_card import CARD_NAME, read_card
from lens_engine.detector.checkpoints.published_weights import read_state_dict
from lens_engine.errors import AnnotationFileError, CheckpointError, ConfigError, LensError
from lens_engine.io.annotations.annotation_file import read_annotations
from lens_engine.io.annotations.manual_test_set import TestSetFile
from lens_engine.io.series import scan
from lens_engine.io.series_source import leading_series_name, parse_series_name
from lens_engine.progress import WorkHandle
from lens_training.recipes.files import read_fields


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("is_of_torch", [True, False])
def test_weights_with_code_are_refused_and_the_code_does_not_run(name, is_of_torch, tmp_path):
    path, proof = tmp_path / name, tmp_path / "it ran"
    if is_of_torch:
        torch.save({"layer": Harmful(proof)}, path)
    else:
        path.write_bytes(pickle.dumps({"layer": Harmful(proof)}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state_dict(path, "DenseNet-121")
    assert not proof.exists()


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".json", ".csv", ".dcm", ".nii.gz", ".nrrd"])
def test_annotations_with_code_are_refused_and_the_code_does_not_run(suffix, tmp_path):
    path, proof = tmp_path / f"set{suffix}", tmp_path / "it ran"
    path.write_bytes(pickle.dumps({"val": Harmful(proof)}))
    with pytest.raises(LensError):
        read_annotations(path, [])
    assert not proof.exists()


TRAVERSALS = ["../../000410_02_02_039-099", "/tmp/000410_02_02_039-099", "000410_02_02_039-099/../..", "..\\x", "a\0b"]


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_name_of_a_series_leads_elsewhere(name, tmp_path):
    assert parse_series_name(name) is None
    given = leading_series_name(name)
    assert given is None or "/" not in given.name
    path = tmp_path / "set.json"
    path.write_text(TestSetFile(val={name: ()}, test={}).model_dump_json())
    with pytest.raises(AnnotationFileError, match="is not the name of a sub-volume"):
        read_annotations(path, [])


DEEP = 100_000


def test_a_card_and_a_recipe_nested_without_end_are_refused(tmp_path):
    (tmp_path / CARD_NAME).write_text("[" * DEEP)
    with pytest.raises(CheckpointError, match="is not a JSON object"):
        read_card(tmp_path)
    (tmp_path / "recipe.yaml").write_text("[" * 5_000)
    with pytest.raises(ConfigError, match="is not YAML"):
        read_fields(tmp_path / "recipe.yaml")


def test_what_a_scan_tells_meanwhile_is_text_whatever_the_files_are_called(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xfcber")
    os.mkdir(folder)
    Path(folder, os.fsdecode(b"\xe4.txt")).touch()
    handle, told = WorkHandle(), []
    scan([tmp_path], on_progress=lambda *_: told.append(handle.current), handle=handle)
    assert told == ["Reading ?.txt"]
