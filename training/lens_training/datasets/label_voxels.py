"""Whether labels lie on voxels that can be such lesions, and whether they would rather do so if they were mirrored.

Two signs, both our own choice. A mask in a wrong place may lie on air, fat or bone: each type of lesion has a range of
HU, wide enough for cysts, fat, calcification and contrast medium (air has -1000 HU, lung about -900 to -700, fat -120
to -60, water 0, soft tissue 20 to 80 and more with contrast medium, bone above 200). And a lesion is evenly dense and
differs from what is around it, as most places of a body do not: `LabelValue.contrast`, compared with that of the same
box in the mirrored places of the scan, tells a flipped mask also where most tissue is as dense as a lesion.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import Box2D, Box3D
from lens_engine.snapshot import SnapshotSlice
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

RING_VOXELS = 5
"""What is around a label is compared with it so far away from its box."""
NOISE_HU = 20.0
"""Contrasts below the noise of a scan say little."""
FEWEST_COMPARED = 10
"""So many labels are needed to say that they look mirrored."""
MIRRORED_SHARE = 2 / 3
"""So many of them have to look more like lesions where a mirrored mask would have them."""

Mirroring = tuple[int, ...]
"""The axes (0 to 2: z, y, x) along which a mask is turned around the middle of its scan."""
MIRRORINGS: tuple[Mirroring, ...] = tuple(axes for count in (1, 2, 3) for axes in combinations(range(3), count))
AXES = ("from head to feet", "from front to back", "from right to left")

ReadSlice = Callable[[int], NDArray[np.int16]]
"""Returns the HU of a whole slice, (h, w)."""


@dataclass(frozen=True, slots=True)
class LabelValue:
    """What lies inside a box, where a label is or would be.

    Attributes
    ----------
    lesion_type
        None where the data set does not say it.
    median_hu
        Of the inner half of its cross-sections along both axes; NaN where nothing of them lies in the image.
    contrast
        How far `median_hu` lies from the median of a ring around the box, as a multiple of `NOISE_HU` and the
        interquartile ranges inside and in the ring together; NaN where one of them is not in the image.
    """

    lesion_type: str | None
    median_hu: float
    contrast: float

    @property
    def plausible_hu(self) -> tuple[float, float]:
        """The range for its type."""
        return PLAUSIBLE_HU.get(self.lesion_type, ANY_HU)

    @property
    def is_plausible(self) -> bool:
        """Whether a lesion of that type can have this value."""
        lowest, highest = self.plausible_hu
        return bool(lowest <= self.median_hu <= highest)

    def is_clearer_than(self, other: "LabelValue") -> bool:
        """Whether it looks more like a lesion: it alone is plausible, or both are and it has more contrast."""
        if self.is_plausible != other.is_plausible:
            return self.is_plausible
        return self.is_plausible and self.contrast > other.contrast


@dataclass(frozen=True, slots=True)
class LabelLook:
    """A label beside the places where mirrored masks would have it.

    Attributes
    ----------
    value
        Where it lies.
    mirrored
        There, without the mirrorings that leave it so near the middle of the scan that it, or what is around it, is
        seen twice.
    """

    value: LabelValue
    mirrored: Mapping[Mirroring, LabelValue]


@dataclass(frozen=True, slots=True)
class MirroringVotes:
    """How many labels look more like lesions where a mirrored mask would have them, of those that can be compared."""

    axes: Mirroring
    mirrored: int
    compared: int

    @property
    def share(self) -> float:
        """The part of them; 0 where there are none."""
        return self.mirrored / self.compared if self.compared else 0.0

    @property
    def is_suspicious(self) -> bool:
        """Whether the masks are probably flipped."""
        return self.compared >= FEWEST_COMPARED and self.share >= MIRRORED_SHARE

    def __str__(self) -> str:
        where = f"mirrored {axes_in_words(self.axes)}"
        return f"{where}, {self.mirrored} of {self.compared} labels would look more like lesions"


def axes_in_words(axes: Mirroring) -> str:
    """Return along which axes something is mirrored."""
    return " and ".join(AXES[axis] for axis in axes)


def label_looks(case: Case, volume: Volume) -> tuple[LabelLook, ...]:
    """Look at each label of a case whose types are known, on all of its slices."""
    everywhere = ((number, lesion.slices) for number, lesion in enumerate(case.lesions))
    return tuple(_look(case, number, slices, volume.voxels.__getitem__) for number, slices in everywhere)


def look_on_middle_slice(case: Case, number: int, read: ReadSlice) -> LabelLook:
    """Look at the middle cross-section of one label, reading its slice and the one that mirrors it."""
    slices = case.lesions[number].slices
    return _look(case, number, [slices[len(slices) // 2]], read)


def votes_for(looks: Iterable[LabelLook]) -> tuple[MirroringVotes, ...]:
    """Count for each of `MIRRORINGS` where labels look more like lesions; ties are left out."""
    looks = tuple(looks)
    return tuple(_votes_for(axes, looks) for axes in MIRRORINGS)


def suspicion(votes: Iterable[MirroringVotes]) -> MirroringVotes | None:
    """Return the mirroring that most labels speak for; None where there is nothing to suspect."""
    return max((vote for vote in votes if vote.is_suspicious), key=lambda vote: vote.share, default=None)


def _votes_for(axes: Mirroring, looks: Sequence[LabelLook]) -> MirroringVotes:
    pairs = [(look.value, look.mirrored[axes]) for look in looks if axes in look.mirrored]
    mirrored = sum(there.is_clearer_than(here) for here, there in pairs)
    return MirroringVotes(axes, mirrored, mirrored + sum(here.is_clearer_than(there) for here, there in pairs))


def _look(case: Case, number: int, slices: Sequence[SnapshotSlice], read: ReadSlice) -> LabelLook:
    kind, shape = case.facts[number].lesion_type, case.geometry.shape
    clear = [axes for axes in MIRRORINGS if _is_clear(case.lesions[number].box, axes, shape)]
    mirrored = {axes: _value(kind, [_mirrored(row, axes, shape) for row in slices], read) for axes in clear}
    return LabelLook(_value(kind, slices, read), mirrored)


def _is_clear(box: Box3D, axes: Mirroring, shape: tuple[int, int, int]) -> bool:
    """Whether a box and its mirror image, each with a ring around it, have nothing in common."""
    for axis in axes:
        low, high = box[2 - axis], box[5 - axis]
        if abs(low + high - shape[axis]) >= high - low + 2 * RING_VOXELS:
            return True
    return False


def _mirrored(row: SnapshotSlice, axes: Mirroring, shape: tuple[int, int, int]) -> SnapshotSlice:
    index, x1, y1, x2, y2 = row
    slices, height, width = shape
    if 0 in axes:
        index = slices - 1 - index
    if 1 in axes:
        y1, y2 = height - y2, height - y1
    if 2 in axes:
        x1, x2 = width - x2, width - x1
    return index, x1, y1, x2, y2


def _value(kind: str | None, slices: Sequence[SnapshotSlice], read: ReadSlice) -> LabelValue:
    parts = [_inside_and_around(read(index), (x1, y1, x2, y2)) for index, x1, y1, x2, y2 in slices]
    inside, around = (np.concatenate(values) for values in zip(*parts, strict=True))
    low, median, high = _quartiles(inside)
    low_around, median_around, high_around = _quartiles(around)
    spread = NOISE_HU + (high - low) + (high_around - low_around)
    return LabelValue(kind, median, abs(median - median_around) / spread)


def _inside_and_around(plane: NDArray[np.int16], box: Box2D) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return the voxels of the inner half of a box along both axes, at least one, and those of the ring around it.

    Margins and rims of a box show what lies beside a lesion, so that they belong to neither.
    """
    x1, y1, x2, y2 = box
    inner = (_within(y1 + (y2 - y1) / 4, y2 - (y2 - y1) / 4), _within(x1 + (x2 - x1) / 4, x2 - (x2 - x1) / 4))
    rows, columns = _within(y1 - RING_VOXELS, y2 + RING_VOXELS), _within(x1 - RING_VOXELS, x2 + RING_VOXELS)
    whole = (_within(y1, y2, rows.start), _within(x1, x2, columns.start))
    is_around = np.ones(plane[rows, columns].shape, dtype=np.bool_)
    is_around[whole] = False
    return plane[inner].ravel(), plane[rows, columns][is_around]


def _within(low: float, high: float, start: int = 0) -> slice:
    """Return the voxels from one edge to another, at least one, counted from a first voxel; none lies before that."""
    first = int(np.floor(low))
    last = max(int(np.ceil(high)), first + 1)
    return slice(max(first - start, 0), max(last - start, 0))


def _quartiles(values: NDArray[np.int16]) -> Iterator[float]:
    found = np.quantile(values, (0.25, 0.5, 0.75)) if values.size else np.full(3, np.nan)
    return map(float, found)
