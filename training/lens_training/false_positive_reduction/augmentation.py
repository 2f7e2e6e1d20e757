"""What varies between two looks at one patch, so that few lesions are not learnt by heart; LENS varies nothing."""

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.false_positive_reduction.patches import Patch
from lens_training.recipes.false_positive_reduction import FprRecipe


def varied(patch: Patch, recipe: FprRecipe, generator: np.random.Generator) -> Patch:
    """Return the patch mirrored and moved as the recipe allows, its box with it; a view where nothing changed.

    What a move uncovers repeats the outermost voxels, as at the borders of a volume.
    """
    voxels, box = patch.voxels, patch.box.copy()
    for axis in range(3):  # z, y, x
        if recipe.flips and generator.random() < 0.5:
            voxels = np.flip(voxels, axis)
            low, high = box[2 - axis], box[5 - axis]
            box[2 - axis], box[5 - axis] = voxels.shape[axis] - high, voxels.shape[axis] - low
    if recipe.shift:
        for axis in (1, 2):
            step = int(generator.integers(-recipe.shift, recipe.shift + 1))
            voxels, box = _moved(voxels, axis, step), box + _step_of_box(axis, step)
        sides = np.array(voxels.shape[::-1] * 2, dtype=np.float32)
        box = np.clip(box, 0, sides)
    return Patch(voxels, box)


def _moved(voxels: NDArray[np.floating], axis: int, step: int) -> NDArray[np.floating]:
    places = np.clip(np.arange(voxels.shape[axis]) - step, 0, voxels.shape[axis] - 1)
    return np.take(voxels, places, axis=axis)


def _step_of_box(axis: int, step: int) -> NDArray[np.float32]:
    moved = np.zeros(6, dtype=np.float32)
    moved[[2 - axis, 5 - axis]] = step
    return moved
