"""From a chosen slice to where the network's pixels and slices lie: all that varies between two looks at one slice.

Algorithms 2, steps 3, 5 and 6. What is drawn here is a `NetworkGrid`; the voxels are resampled onto it once, as at
inference.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lens_engine.detector.input_config import CropScope, InputConfig
from lens_engine.detector.preprocess import Augmentation, NetworkGrid, make_grid
from lens_training.detector.planes import Planes
from lens_training.detector.sampling import SliceChoice
from lens_training.recipes.recipe import AugmentationRecipe


@dataclass(frozen=True, slots=True)
class Variation:
    """How one sample looks at its slice.

    Attributes
    ----------
    grid
        Maps boxes of the series to the pixels of the sample.
    grid_index
        Number of the central one of its nine slices on the grid.
    flips
        Whether the sample is mirrored along z, y and x.
    """

    grid: NetworkGrid
    grid_index: int
    flips: tuple[bool, bool, bool] = (False, False, False)

    def mirrored(self, image: Tensor) -> Tensor:
        """Return an image (9, h, w) of the grid as the sample shows it."""
        return image.flip([axis for axis, is_flipped in enumerate(self.flips) if is_flipped])

    def to_image(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map boxes (n, 4) from voxel edges of the series to pixels of the sample."""
        mapped = self.grid.to_network(boxes)
        height, width = self.grid.size
        if self.flips[1]:
            mapped[:, [1, 3]] = height - mapped[:, [3, 1]]
        if self.flips[2]:
            mapped[:, [0, 2]] = width - mapped[:, [2, 0]]
        return mapped


def draw_variation(
    recipe: AugmentationRecipe,
    planes: Planes,
    config: InputConfig,
    choice: SliceChoice,
    generator: np.random.Generator,
) -> Variation:
    """Draw how a slice is looked at; a window shows the choice's focus, but for the recipe's share of free ones."""
    scale = float(generator.uniform(*recipe.scale))
    shift = (0, 0)
    if recipe.crop_side is None:
        top, left = generator.integers(-recipe.shift, recipe.shift + 1, size=2)
        shift = int(top), int(left)
    spacing_mm, last = planes.geometry.spacing_mm[0], planes.geometry.shape[0] - 1
    depth_mm = choice.slice_index * spacing_mm
    if recipe.varies_depth:
        inference = make_grid(planes.geometry, planes.body, config, Augmentation())
        offset_mm = offset_mm_of(int(generator.integers(inference.count)), inference)
        depth_mm = min(max(depth_mm + offset_mm, 0.0), last * spacing_mm)
    body = planes.body if config.crop is CropScope.VOLUME else planes.body_on(choice.slice_index)
    grid = make_grid(planes.geometry, body, config, Augmentation(scale, shift, depth_mm, config.max_side))
    if recipe.crop_side is not None:
        focus = None if choice.focus is None else grid.to_network(np.asarray([choice.focus]))[0]
        top, left = _window_corner(recipe, recipe.crop_side, grid.size, focus, generator)
        grid = grid.window(top, left, recipe.crop_side, recipe.crop_side)
    grid_index = grid.nearest_grid_index(depth_mm / spacing_mm)
    if not recipe.flips:
        return Variation(grid, grid_index)
    z, y, x = (generator.random(3) < 0.5).tolist()
    return Variation(grid, grid_index, (z, y, x))


def offset_mm_of(grid_index: int, inference: NetworkGrid) -> float:
    """Return how far below the nearest slice of the series a grid slice of inference lies.

    A sample whose centre lies as far beside the chosen slice is interpolated as often and as much as those of
    inference: never where the grid meets only slices. At most half a grid step: labels reach no further.
    """
    spacing_mm, reach_mm = inference.geometry.spacing_mm[0], inference.spacing_mm / 2
    depth_mm = inference.depth_mm(grid_index)
    return min(max(depth_mm - round(depth_mm / spacing_mm) * spacing_mm, -reach_mm), reach_mm)


def _window_corner(
    recipe: AugmentationRecipe,
    side: int,
    size: tuple[int, int],
    focus: NDArray[np.float64] | None,
    generator: np.random.Generator,
) -> tuple[int, int]:
    """Draw the upper left corner of a square window in an image of `size`."""
    is_free = focus is None or generator.random() < recipe.free_window_share
    edges = [None, None] if focus is None or is_free else [(focus[1], focus[3]), (focus[0], focus[2])]
    top, left = (
        _window_start(length, side, edge, recipe.shift, generator) for length, edge in zip(size, edges, strict=True)
    )
    return top, left


def _window_start(
    length: int, side: int, edges: tuple[float, float] | None, shift: int, generator: np.random.Generator
) -> int:
    """Draw where a window of `side` pixels begins on an axis of `length` pixels."""
    lowest, highest = min(-shift, length - side + shift), max(-shift, length - side + shift)
    if edges is not None:
        first, last = int(np.ceil(edges[1])) - side, int(np.floor(edges[0]))
        if first > last:  # the lesion is larger than the window
            first = last = (first + last) // 2
        lowest, highest = max(lowest, first), min(highest, last)
        if lowest > highest:
            lowest = highest = min(lowest, last)
    return int(generator.integers(lowest, highest + 1))
