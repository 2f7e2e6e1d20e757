"""Detection in changed copies of a scan: mirrored, scaled and shifted; boxes are those of the scan (algorithms 5.7).

Mirroring turns the voxels. Scale and shift only move the network's pixels, as they do in training, so that a copy is
resampled once as well. The slice grid of a copy mirrored along z passes through the same depths as that of the scan.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.detector.input_config import InputConfig
from lens_engine.detector.preprocess import Augmentation, Crop, make_grid
from lens_engine.findings import FUSED
from lens_engine.proposals import Proposals
from lens_engine.volume import Volume
from lens_training.recipes.recipe import AugmentationRecipe
from lens_training.running.fingerprint import fingerprint


@dataclass(frozen=True, slots=True)
class ScanCopy:
    """How a copy differs from its scan.

    Attributes
    ----------
    flips
        Whether it is mirrored along z, y and x.
    scale
        Factor of the in-plane size.
    shift
        Voxels of the copy by which the top and the left edge of the crop move.
    """

    flips: tuple[bool, bool, bool] = (False, False, False)
    scale: float = 1.0
    shift: tuple[int, int] = (0, 0)

    def voxels(self, volume: Volume) -> Volume:
        """Return the mirrored volume, a view."""
        axes = tuple(axis for axis, is_flipped in enumerate(self.flips) if is_flipped)
        return Volume(np.flip(volume.voxels, axes), volume.geometry)

    def augmentation(self, volume: Volume) -> Augmentation:
        """Return where the network's pixels and slices lie in the mirrored volume."""
        slice_mm = volume.geometry.spacing_mm[0]
        last_mm = (volume.geometry.shape[0] - 1) * slice_mm
        return Augmentation(self.scale, self.shift, last_mm if self.flips[0] else 0.0)

    def in_scan(self, found: Proposals, volume: Volume, config: InputConfig) -> Proposals:
        """Return boxes of the copy as boxes of the scan, in the order that proposals have."""
        _, height, width = volume.geometry.shape
        boxes, grid_index = found.boxes, found.grid_index
        if self.flips[1]:
            boxes = _mirrored(boxes, height, 1)
        if self.flips[2]:
            boxes = _mirrored(boxes, width, 0)
        if self.flips[0]:
            count = make_grid(volume.geometry, Crop.of(volume.voxels), config, Augmentation()).count
            grid_index = (count - 1 - grid_index).astype(grid_index.dtype)
        moved = Proposals(
            found.experts,
            found.grid_spacing_mm,
            found.slice_spacing_mm,
            found.expert_index,
            grid_index,
            boxes,
            found.scores,
            found.embeddings,
        )
        return moved.take(np.lexsort((grid_index, found.expert_index)))


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """How many copies of each scan are looked at, and what they differ in.

    Attributes
    ----------
    augmentation
        As training varies its samples; its windows and depths do not matter here.
    seed
        Equal seeds give equal copies, scan by scan.
    """

    count: int
    augmentation: AugmentationRecipe
    seed: int

    def copies(self, scan: str) -> tuple[ScanCopy, ...]:
        """Return the copies of the scan of that name."""
        generator = np.random.default_rng(int(fingerprint(self.seed, scan), 16))
        return tuple(_drawn(self.augmentation, generator) for _ in range(self.count))

    @property
    def digest(self) -> str:
        """Equal for equal copies."""
        return fingerprint(self.count, self.augmentation.model_dump(mode="json"), self.seed) if self.count else ""


def detect_in_copy(detector: InferenceDetector, volume: Volume, copy: ScanCopy) -> Proposals:
    """Return the fused boxes that a detector finds in a copy, in the frame and on the grid of the scan.

    They come without embeddings (m, 0): nothing compares them.
    """
    augmentation = copy.augmentation(volume)
    found = detect_with(detector, copy.voxels(volume), augmentation=augmentation).proposals.of(FUSED)
    return copy.in_scan(found, volume, detector.config).without_embeddings()


def _drawn(augmentation: AugmentationRecipe, generator: np.random.Generator) -> ScanCopy:
    flips = generator.random(3) < 0.5
    scale = float(generator.uniform(*augmentation.scale))
    top, left = generator.integers(-augmentation.shift, augmentation.shift + 1, size=2)
    z, y, x = (bool(is_flipped and augmentation.flips) for is_flipped in flips)
    return ScanCopy((z, y, x), scale, (int(top), int(left)))


def _mirrored(boxes: NDArray[np.float32], length: int, axis: int) -> NDArray[np.float32]:
    mirrored = boxes.copy()
    mirrored[:, axis], mirrored[:, axis + 2] = length - boxes[:, axis + 2], length - boxes[:, axis]
    return mirrored
