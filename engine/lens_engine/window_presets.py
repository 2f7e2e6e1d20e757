"""Grey-value windows for CT: presets, the one that fits a region, and dragging."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import Box3D

AIR_HU = -950.0
"""Below this lies gas or the outside of the body."""
LUNG_LIMIT_HU = -400.0
BONE_LIMIT_HU = 250.0
MIN_WIDTH = 1.0


@dataclass(frozen=True, slots=True)
class Window:
    """Width and level in HU."""

    width: float
    level: float

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest HU that are told apart."""
        return self.level - self.width / 2, self.level + self.width / 2

    @classmethod
    def from_limits(cls, low: float, high: float) -> "Window":
        """Return the window between two grey-value limits."""
        return cls(width=high - low, level=(low + high) / 2)

    def greys(self, hu: NDArray[np.int16]) -> NDArray[np.uint8]:
        """Return HU of any shape as grey values: 0 at the lower limit and below, 255 at the upper one and above."""
        low, _ = self.limits
        scaled = (hu - np.float32(low)) * np.float32(255.0 / self.width)
        greys: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
        return greys

    def dragged(self, right: float, down: float) -> "Window":
        """Return the window after a drag in screen pixels: right widens, down lowers the level (brighter)."""
        return Window(width=max(MIN_WIDTH, self.width + 2 * right), level=self.level + down)

    def __str__(self) -> str:
        return f"W {self.width:.0f}  L {self.level:.0f}"


class Preset(Enum):
    """Windows with a key."""

    SOFT_TISSUE = Window(400, 40)
    LUNG = Window(1500, -600)
    LIVER = Window(160, 90)
    BONE = Window(1800, 400)

    @property
    def label(self) -> str:
        """Name on the screen."""
        return self.name.lower().replace("_", " ")


def preset_for(voxels: NDArray[np.int16], box: Box3D) -> Preset:
    """Return the window in which a lesion and its surroundings are seen.

    Parameters
    ----------
    voxels
        int16 HU, `[z, y, x]`.
    box
        The lesion; the median of a ring twice as wide around its middle slice decides.
    """
    x1, y1, z1, x2, y2, z2 = box
    z = int(np.clip((z1 + z2) / 2, 0, voxels.shape[0] - 1))
    margin_x, margin_y = max(4.0, (x2 - x1) / 2), max(4.0, (y2 - y1) / 2)
    low_y, high_y = max(0, int(y1 - margin_y)), int(np.ceil(y2 + margin_y))
    low_x, high_x = max(0, int(x1 - margin_x)), int(np.ceil(x2 + margin_x))
    surroundings = voxels[z, low_y:high_y, low_x:high_x]
    if surroundings.size == 0:
        return Preset.SOFT_TISSUE
    median = float(np.median(surroundings))
    if AIR_HU < median < LUNG_LIMIT_HU:
        return Preset.LUNG
    return Preset.BONE if median > BONE_LIMIT_HU else Preset.SOFT_TISSUE
