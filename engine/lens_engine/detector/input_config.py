"""What a network sees of a volume: window, pixel size and slice grid; every network of one pipeline shares it."""

from enum import StrEnum
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PUBLISHED_INTENSITY = ((-1024.0, 0.0), (3071.0, 255.0))
"""The one window of LENS, MELD and MULAN (algorithms 2, step 2)."""


class CropScope(StrEnum):
    """Whose body decides which part of a slice the detector sees (algorithms 2, step 4)."""

    VOLUME = "volume"
    """The bodies of all slices together: neighbours lie alike and share their features."""
    SLICE = "slice"
    """That of the central slice of a sample, as in the published code; every slice is then computed alone."""


class InputConfig(BaseModel):
    """Everything that `preprocess` reads of a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixel_mm: float = Field(default=0.8, gt=0)
    grid_mm: float = Field(default=2.0, gt=0)
    """Distance of the slices that the network sees."""
    max_side: int = Field(default=512, ge=32)
    """Longest side of a slice in training, in network pixels: a larger slice is scaled down to it."""
    inference_side: int | None = None
    """Longest side at inference, so that a wide patient keeps the size of a pixel; None is `max_side`."""
    crop: CropScope = CropScope.VOLUME
    """Read by the detector only; what looks at its findings again sees all slices in one crop."""
    intensity: tuple[tuple[float, float], ...] = PUBLISHED_INTENSITY
    """Points (HU, value in 0..255) between which the network input is linear; constant beyond."""
    mean: float = 50.0
    """Subtracted from every value."""
    antialias: bool = False
    """Average over the source pixels when scaling down; the published code interpolates bilinearly."""

    @model_validator(mode="after")
    def _intensity_rises(self) -> Self:
        points = self.intensity
        if len(points) < 2 or any(low[0] >= high[0] or low[1] > high[1] for low, high in pairwise(points)):
            raise ValueError(f"intensity is {points}; at least two points with rising HU and value are needed")
        return self

    @model_validator(mode="after")
    def _inference_shows_no_less(self) -> Self:
        if self.longest_side < self.max_side:
            raise ValueError(f"inference_side is {self.inference_side}; at least max_side, {self.max_side}, is needed")
        return self

    @property
    def longest_side(self) -> int:
        """Longest side of a slice at inference, in network pixels."""
        return self.max_side if self.inference_side is None else self.inference_side
