"""Detection in changed copies of a scan: what is found there is told in the frame and on the grid of the scan."""

from itertools import product

import numpy as np
import pytest
from support.training.training_scenes import TINY, Ball, volume_with

from lens_engine.boxes import overlaps
from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.detector.preprocess import prepare
from lens_engine.findings import FUSED
from lens_engine.geometry import VolumeGeometry
from lens_engine.proposals import Proposals
from lens_engine.volume import Volume
from lens_training.datasets.phantoms import PhantomRecipe, training_cases
from lens_training.recipes.recipe import AugmentationRecipe
from lens_training.reproduction.scan_copies import CopyPlan, ScanCopy, detect_in_copy

VARIED = AugmentationRecipe(flips=True, scale=(0.5, 1.5), shift=8)
BALL = volume_with(Ball(30, 34, 6, 14))


@pytest.fixture(scope="module")
def detector() -> InferenceDetector:
    return InferenceDetector(load_checkpoint(demo_checkpoint_folder())[0])


@pytest.fixture(scope="module")
def scan() -> Volume:
    """Return the slices of a phantom patient around the largest of his lesions."""
    recipe = PhantomRecipe(universal_patients=1, single_type_patients=1, val_patients=1)
    case = next(iter(training_cases(recipe, ("universal",))))
    whole, key = case.load(), max(case.lesions, key=lambda lesion: lesion.box[3] - lesion.box[0]).slices[0][0]
    voxels = whole.voxels[max(key - 6, 0) : key + 6]
    return Volume(voxels, VolumeGeometry(voxels.shape, whole.geometry.spacing_mm))


@pytest.fixture(scope="module")
def own(detector: InferenceDetector, scan: Volume) -> Proposals:
    return detect_with(detector, scan).proposals.of(FUSED)


def boxes_at(grid_indices: list[int], box: tuple[float, ...], slice_mm: float) -> Proposals:
    count = len(grid_indices)
    return Proposals(
        (FUSED,),
        2.0,
        slice_mm,
        np.zeros(count, np.int16),
        np.array(grid_indices, np.int32),
        np.repeat(np.array([box], np.float32), count, axis=0),
        np.linspace(0.1, 0.9, count, dtype=np.float32),
        np.zeros((count, 0), np.float32),
    )


def test_a_copy_that_is_not_changed_gives_the_boxes_of_the_scan(
    detector: InferenceDetector, scan: Volume, own: Proposals
):
    copied = detect_in_copy(detector, scan, ScanCopy())
    assert len(own.scores) > 10
    np.testing.assert_array_equal(copied.boxes, own.boxes)
    np.testing.assert_array_equal(copied.grid_index, own.grid_index)
    assert copied.embeddings.shape == (len(own.scores), 0)


@pytest.mark.parametrize("copy", [ScanCopy(scale=1.2, shift=(-5, 3)), ScanCopy((True, False, False))])
def test_a_detector_finds_in_a_copy_what_it_is_sure_of_in_the_scan(
    detector: InferenceDetector, scan: Volume, own: Proposals, copy: ScanCopy
):
    copied = detect_in_copy(detector, scan, copy)
    sure = np.flatnonzero(own.scores > 0.5).tolist()
    again = [
        overlaps(own.boxes[row : row + 1], copied.boxes[copied.grid_index == own.grid_index[row]]).max(initial=0) > 0.5
        for row in sure
    ]
    assert len(sure) > 3
    assert np.mean(again) > 0.6


@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
@pytest.mark.parametrize("slice_mm", [0.7, 1.0, 3.0, 5.0])
def test_a_mirrored_copy_shows_the_depths_of_the_scan_and_maps_back_to_them(
    flips: tuple[bool, bool, bool], slice_mm: float
):
    """What the network sees of a copy, mirrored back, is what it sees of the scan: slice for slice, pixel for pixel."""
    volume = Volume(BALL.voxels, VolumeGeometry(BALL.geometry.shape, (slice_mm, 1.6, 1.6)))
    copy, config = ScanCopy(flips), TINY.model_copy(update={"grid_mm": 2.0})
    own = prepare(volume, config)
    seen = prepare(copy.voxels(volume), config, copy.augmentation(volume))
    assert seen.grid.count == own.grid.count
    last, side = own.grid.count - 1, BALL.geometry.shape[1]
    for grid_index in (0, last):
        there = last - grid_index if flips[0] else grid_index
        image = np.flip(own.image(grid_index).numpy(), [axis for axis in range(3) if flips[axis]])
        np.testing.assert_allclose(seen.image(there).numpy(), image, atol=0.02)
        moved = copy.in_scan(boxes_at([there], (10, 20, 16, 30), slice_mm), volume, config)
        assert moved.grid_index.tolist() == [grid_index]
        x1, y1, x2, y2 = moved.boxes[0].tolist()
        assert (x1, x2) == ((side - 16, side - 10) if flips[2] else (10, 16))
        assert (y1, y2) == ((side - 30, side - 20) if flips[1] else (20, 30))


def test_boxes_of_a_copy_that_is_mirrored_along_z_ascend_along_the_grid_with_their_scores():
    found = boxes_at([0, 1, 5], (10, 20, 16, 30), 4.0)
    moved = ScanCopy((True, False, False)).in_scan(found, BALL, TINY)
    assert moved.grid_index.tolist() == [6, 10, 11]
    assert moved.scores.tolist() == found.scores.tolist()[::-1]


def test_the_copies_of_a_scan_are_drawn_once_and_for_all():
    plan = CopyPlan(3, VARIED, seed=1)
    assert plan.copies("a") == plan.copies("a")
    assert len(set(plan.copies("a") + plan.copies("b") + CopyPlan(3, VARIED, seed=2).copies("a"))) == 9
    assert plan.digest != CopyPlan(2, VARIED, seed=1).digest


def test_copies_vary_no_more_than_the_recipe_says():
    copies = [copy for name in range(30) for copy in CopyPlan(3, VARIED, seed=0).copies(str(name))]
    assert {copy.flips for copy in copies} == set(product((False, True), repeat=3))
    assert all(0.5 <= copy.scale <= 1.5 and max(map(abs, copy.shift)) <= 8 for copy in copies)
    still = AugmentationRecipe(scale=(1.0, 1.0), shift=0)
    assert set(CopyPlan(3, still, seed=0).copies("a")) == {ScanCopy()}
