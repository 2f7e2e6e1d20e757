"""From a chosen slice to an input of the network: what varies is drawn first, then applied without further chance.

Spec 2, steps 3, 5 and 6. Pixels here are those of `Planes` (before the scale factor) unless said otherwise.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lens_engine.detector.input_config import InputConfig
from lens_training.datasets.labels import BoxArray
from lens_training.datasets.planes import Planes
from lens_training.recipes.recipe import AugmentationRecipe


@dataclass(frozen=True, slots=True)
class Variation:
    """How one sample looks at its slice.

    Attributes
    ----------
    scale
        Factor on the in-plane scale.
    window
        (top, left, bottom, right) in pixels; may reach beyond the image, where the input is 0.
    depth_offset
        By how much the centre lies below the chosen slice, in slices of the series.
    """

    scale: float
    window: tuple[int, int, int, int]
    depth_offset: float

    def to_input(self, boxes: BoxArray) -> BoxArray:
        """Map boxes (n, 4) from pixels of the planes to pixels of the network's input."""
        top, left, *_ = self.window
        return (boxes - np.array([left, top, left, top], dtype=np.float64)) * self.scale


def draw_variation(
    recipe: AugmentationRecipe,
    size: tuple[int, int],
    focus: NDArray[np.float64] | None,
    generator: np.random.Generator,
) -> Variation:
    """Draw how a slice is looked at.

    Parameters
    ----------
    size
        Height and width of the image.
    focus
        (4,) box that the window shows, but for the recipe's share of free ones; None leaves the window free.
    """
    scale = float(generator.uniform(*recipe.scale))
    if recipe.crop_side is None:
        top, left = (int(value) for value in generator.integers(-recipe.shift, recipe.shift + 1, size=2))
        window = (top, left, size[0], size[1])
    else:
        side = max(round(recipe.crop_side / scale), 1)
        is_free = focus is None or generator.random() < recipe.free_window_share
        edges = [None, None] if focus is None or is_free else [(focus[1], focus[3]), (focus[0], focus[2])]
        top, left = (
            _window_start(length, side, edge, recipe.shift, generator) for length, edge in zip(size, edges, strict=True)
        )
        window = (top, left, top + side, left + side)
    depth_offset = float(generator.uniform(-0.5, 0.5)) if recipe.varies_depth else 0.0
    return Variation(scale, window, depth_offset)


def apply_variation(planes: Planes, slice_index: int, variation: Variation, config: InputConfig) -> torch.Tensor:
    """Return the nine slices of a sample, float32 (9, h, w), scaled and cut."""
    spacing_mm = planes.grid.geometry.spacing_mm[0]
    reach = min(1.0, config.grid_mm / spacing_mm)  # labels belong to grid slices at most half a step away
    depth = np.clip(slice_index + variation.depth_offset * reach, 0, planes.grid.count - 1)
    top, left, bottom, right = variation.window
    height, width = planes.grid.size
    inside = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    nine = torch.from_numpy(planes.nine_slices(float(depth) * spacing_mm, config.grid_mm, inside))
    margins = (inside[1].start - left, right - inside[1].stop, inside[0].start - top, bottom - inside[0].stop)
    padded = functional.pad(nine, margins)
    target = [max(round(length * variation.scale), 1) for length in padded.shape[1:]]
    if target == list(padded.shape[1:]):
        return padded
    scaled: torch.Tensor = functional.interpolate(padded[None], size=target, mode="bilinear", align_corners=False)[0]
    return scaled


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
