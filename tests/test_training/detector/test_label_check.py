from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.files.phantom_downloads import write_phantoms
from support.files.published_data import BRIGHT_ABOVE_HU, save_nifti, scene, write_lits
from support.training.training_scenes import RECIPE, TINY, set_of

from lens_training.datasets.case import TrainingSet
from lens_training.datasets.label_voxels import AXES
from lens_training.datasets.published.lits import read
from lens_training.datasets.published.reading import DatasetName, ReadingOptions
from lens_training.detector.batches import BatchMaker
from lens_training.detector.label_check import label_warnings
from lens_training.detector.planes import PlaneCache
from lens_training.detector.sampling import BatchPlan
from lens_training.detector.slice_cache import SliceCache
from lens_training.running.stopping import StopSignal

RAS = ((2, 1, 0), (True, True, True))


def lits_with(folder: Path, hounsfield: int, name: str) -> TrainingSet:
    volume = scene()
    voxels = np.where(volume.voxels > BRIGHT_ABOVE_HU, hounsfield, volume.voxels).astype(np.int16)
    write_lits(folder, volume, RAS, RAS)
    (folder / "volume-7.nii").unlink()
    save_nifti(folder / name, voxels, volume.geometry)
    (case,) = read(folder, ReadingOptions(held_out_share=0)).cases
    return set_of(replace(case, dataset="lung"))


def warnings_of(training_set: TrainingSet, memory_bytes: int, kept: Path | None = None) -> list[str]:
    cache = PlaneCache(training_set.cases, memory_bytes, SliceCache(kept, 2**30))
    plan = BatchPlan(training_set, RECIPE.sampling, 0)
    maker = BatchMaker(training_set, cache, plan, TINY, RECIPE.augmentation, 0)
    return list(label_warnings(maker, StopSignal()))


@pytest.mark.parametrize("name", ["volume-7.nii", "volume-7.nii.gz"])
@pytest.mark.parametrize("memory_bytes", [0, 2**28])
def test_labels_in_air_are_told_before_the_training(tmp_path: Path, name: str, memory_bytes: int):
    (warning,) = warnings_of(lits_with(tmp_path / "data", -990, name), memory_bytes, tmp_path / "kept")
    assert warning.startswith("1 of 1 labels of lung that were looked at lie on voxels")
    assert "median of -990 HU where a lesion of the type liver has -50 to 250" in warning


def test_labels_on_plausible_voxels_are_no_news(tmp_path: Path):
    assert warnings_of(lits_with(tmp_path, 70, "volume-7.nii"), 0) == []


def phantoms(folder: Path, *axes: int) -> TrainingSet:
    """Return the liver lesions of phantoms as LiTS has them, mirrored against their scans."""
    write_phantoms(DatasetName.LITS, folder, axes)
    cases = read(folder, ReadingOptions(held_out_share=0)).cases
    return set_of(*(replace(case, dataset="lung") for case in cases))


@pytest.mark.parametrize("axis", range(3))
def test_masks_that_are_flipped_onto_other_tissue_are_told_before_the_training(tmp_path: Path, axis: int):
    warnings = warnings_of(phantoms(tmp_path, axis), 0)
    assert f"The labels of lung look flipped: mirrored {AXES[axis]}, " in warnings[-1]
    assert warnings[-1].endswith("See: lens data check lung FOLDER --voxels")


def test_masks_that_lie_right_are_no_news(tmp_path: Path):
    assert warnings_of(phantoms(tmp_path), 0) == []
