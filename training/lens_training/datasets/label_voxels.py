"""Whether labels lie on voxels that can be such lesions: a flipped mask puts them on air, fat or bone.

The ranges are our own choice, wide enough for cysts, fat, calcification and contrast medium: air has -1000 HU, lung
about -900 to -700, fat -120 to -60, water 0, soft tissue 20 to 80 and more with contrast medium, bone above 200.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.preprocess import Crop
from lens_engine.findings import Box2D
from lens_engine.snapshot import Lesion
from lens_engine.volume import Volume
from lens_training.datasets.case import Case

_SOFT = (-150.0, 400.0)
PLAUSIBLE_HU: Mapping[str | None, tuple[float, float]] = {
    "lung": (-800.0, 400.0),
    "liver": (-50.0, 250.0),
    "kidney": (-100.0, 350.0),
    "bone": (-150.0, 2000.0),
    "mediastinum": _SOFT,
    "abdomen": _SOFT,
    "pelvis": _SOFT,
    "soft tissue": _SOFT,
    "lymph node": (-100.0, 300.0),
    "mediastinal lymph node": (-100.0, 300.0),
    "abdominal lymph node": (-100.0, 300.0),
}
"""Lowest and highest median HU of a lesion, by its type."""
ANY_HU = (-850.0, 2000.0)
"""The same for lesions of unknown types: they are no air."""
AXES = ("from head to feet", "from front to back", "from right to left")

ReadPart = Callable[[int, Crop], NDArray[np.int16]]
"""Returns the HU of a part of a slice."""


@dataclass(frozen=True, slots=True)
class LabelValue:
    """What lies inside a label.

    Attributes
    ----------
    lesion_type
        None where the data set does not say it.
    median_hu
        Of the inner half of its cross-sections along both axes; NaN where nothing of them lies in the image.
    """

    lesion_type: str | None
    median_hu: float

    @property
    def plausible_hu(self) -> tuple[float, float]:
        """The range for its type."""
        return PLAUSIBLE_HU.get(self.lesion_type, ANY_HU)

    @property
    def is_plausible(self) -> bool:
        """Whether a lesion of that type can have this value."""
        lowest, highest = self.plausible_hu
        return bool(lowest <= self.median_hu <= highest)


def label_values(case: Case, volume: Volume) -> tuple[LabelValue, ...]:
    """Return what lies inside each label of a case whose types are known."""

    def part_of(slice_index: int, part: Crop) -> NDArray[np.int16]:
        return volume.voxels[slice_index, part.top : part.bottom, part.left : part.right]

    return tuple(_values(case, part_of, case.lesions))


def value_on_middle_slice(case: Case, number: int, read: ReadPart) -> LabelValue:
    """Return what lies inside the middle cross-section of one label, reading its slice alone."""
    lesion = case.lesions[number]
    middle = lesion.slices[len(lesion.slices) // 2]
    return LabelValue(case.facts[number].lesion_type, _median([middle], read))


def looks_mirrored(case: Case, volume: Volume) -> tuple[str, ...]:
    """Return along which axes the labels would have to be mirrored to be plausible, all of them."""

    def part_of(slice_index: int, part: Crop) -> NDArray[np.int16]:
        return volume.voxels[slice_index, part.top : part.bottom, part.left : part.right]

    return tuple(
        name
        for axis, name in enumerate(AXES)
        if all(
            value.is_plausible
            for value in _values(case, part_of, [_mirrored(lesion, axis, volume) for lesion in case.lesions])
        )
    )


def _values(case: Case, read: ReadPart, lesions: Sequence[Lesion]) -> Iterator[LabelValue]:
    for lesion, facts in zip(lesions, case.facts, strict=True):
        yield LabelValue(facts.lesion_type, _median(lesion.slices, read))


def _median(slices: Sequence[tuple[int, float, float, float, float]], read: ReadPart) -> float:
    parts = [read(index, _inner((x1, y1, x2, y2))).ravel() for index, x1, y1, x2, y2 in slices]
    values = np.concatenate(parts) if parts else np.empty(0)
    return float(np.median(values)) if values.size else float("nan")


def _inner(box: Box2D) -> Crop:
    """Return the inner half of a box along both axes, at least a voxel: margins and rims show what lies beside."""
    x1, y1, x2, y2 = box
    left, top = int(x1 + (x2 - x1) / 4), int(y1 + (y2 - y1) / 4)
    right, bottom = int(np.ceil(x2 - (x2 - x1) / 4)), int(np.ceil(y2 - (y2 - y1) / 4))
    return Crop(max(top, 0), max(left, 0), max(bottom, top + 1, 0), max(right, left + 1, 0))


def _mirrored(lesion: Lesion, axis: int, volume: Volume) -> Lesion:
    slices, height, width = volume.voxels.shape

    def turned(row: tuple[int, float, float, float, float]) -> tuple[int, float, float, float, float]:
        index, x1, y1, x2, y2 = row
        if axis == 0:
            return slices - 1 - index, x1, y1, x2, y2
        if axis == 1:
            return index, x1, height - y2, x2, height - y1
        return index, width - x2, y1, width - x1, y2

    return lesion.model_copy(update={"slices": tuple(turned(row) for row in lesion.slices)})
