"""What reading a data set gives: its cases, what was counted in it, and every file and row that is odd."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from lens_engine.findings import Scope, Split
from lens_training.datasets.case import Case
from lens_training.datasets.labels import TIGHT_BOX_MARGIN_VOXELS
from lens_training.errors import DatasetError


class DatasetName(StrEnum):
    """The published data sets; each trains the expert of its name."""

    DEEPLESION = "deeplesion"
    LUNA16 = "luna16"
    LITS = "lits"
    NIH_LN = "nih-ln"

    @property
    def scope(self) -> Scope:
        """What the data set labels."""
        return Scope.UNIVERSAL if self is DatasetName.DEEPLESION else Scope.SINGLE_TYPE


class Effect(StrEnum):
    """What became of something odd."""

    SKIPPED = "skipped"
    KEPT = "kept"


class Oddity(StrEnum):
    """Kinds of what can be odd about a file or a row."""

    BROKEN_FILE = "file that cannot be read"
    BROKEN_ROW = "row that contradicts itself"
    MISSING_IMAGE = "image missing"
    MISSING_MASK = "mask missing"
    MISSING_SCAN = "scan missing"
    UNLISTED = "not in the table"
    DUPLICATE = "there twice"
    OUTSIDE = "lesion outside the image"
    UNKNOWN_SPACING = "unknown spacing"
    OTHER_SIZE = "another size than announced"
    OTHER_SHAPE = "mask of another shape than its scan"
    OTHER_GRID = "mask with another header than its scan"
    OTHER_SPLIT = "patient in two splits"
    ODD_ORIENTATION = "orientation that looks wrong"
    ODD_VALUES = "voxels that do not look like a patient"
    ODD_LABELS = "labels on voxels that can hardly be such lesions"
    MIRRORED_LABELS = "labels that look mirrored"


@dataclass(frozen=True, slots=True)
class OddFile:
    """One file or row that is odd.

    Attributes
    ----------
    place
        File, relative to the folder of the data set where it lies below; with the line if it is a row of a table.
    detail
        What is odd, with the value.
    """

    place: str
    oddity: Oddity
    detail: str
    effect: Effect


class ReadingOptions(BaseModel):
    """What can be chosen when a data set is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    """Decides which scans of a single-type data set are held out."""
    held_out_share: float = Field(default=0.2, ge=0, lt=1)
    """Of the scans of a single-type data set, for testing (LENS VI-A)."""
    test_fold: int | None = Field(default=None, ge=0, le=9)
    """LUNA16 only: test on this subset and train on the others, as in its ten-fold protocol."""
    tight_margin_voxels: float = Field(default=TIGHT_BOX_MARGIN_VOXELS, ge=0)
    """In-plane margin of boxes that come from masks and diameters (algorithms 1.9)."""
    min_lesion_voxels: int = Field(default=1, ge=1)
    """LiTS only: smaller connected parts of the tumour mask are no lesions."""
    cache: Path | None = None
    """Folder that keeps what was derived from masks and DICOM headers until a file changes; None keeps nothing."""

    def split_of(self, name: str) -> Split:
        """Return whether a scan is trained on or held out: a stable hash of its name and the seed."""
        digest = hashlib.sha256(f"{self.seed}:{name}".encode()).digest()
        return Split.TEST if int.from_bytes(digest[:8], "big") < self.held_out_share * 2**64 else Split.TRAIN


DEFAULT_OPTIONS = ReadingOptions()


@dataclass(frozen=True, slots=True)
class Reading:
    """A data set as found.

    Attributes
    ----------
    counts
        What was found, under the names that `PUBLISHED_COUNTS` uses.
    odd
        Every odd file and row, in the order in which they were met.
    skipped
        How much was left out, by reason; what is left out on purpose (noisy rows) is here without being odd.
    """

    dataset: DatasetName
    cases: tuple[Case, ...]
    counts: Mapping[str, float]
    odd: tuple[OddFile, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)


class Ledger:
    """Writes down what is odd while a data set is read.

    Parameters
    ----------
    folder
        The folder of the data set; places below it are noted relative to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._odd: list[OddFile] = []
        self._left_out: Counter[str] = Counter()

    @property
    def odd(self) -> tuple[OddFile, ...]:
        """All that was noted."""
        return tuple(self._odd)

    @property
    def skipped(self) -> Mapping[str, int]:
        """How much was left out, by reason."""
        odd = Counter(item.oddity.value for item in self._odd if item.effect is Effect.SKIPPED)
        return dict(odd + self._left_out)

    def skip(self, place: Path | str, oddity: Oddity, detail: str) -> None:
        """Note something odd that is left out."""
        self._odd.append(OddFile(self._relative(place), oddity, detail, Effect.SKIPPED))

    def keep(self, place: Path | str, oddity: Oddity, detail: str) -> None:
        """Note something odd that is used all the same."""
        self._odd.append(OddFile(self._relative(place), oddity, detail, Effect.KEPT))

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count what is left out on purpose."""
        if count:
            self._left_out[reason] += count

    def _relative(self, place: Path | str) -> str:
        if isinstance(place, str):
            return place
        return str(place.relative_to(self._folder)) if place.is_relative_to(self._folder) else str(place)


def line_of(file: str, line: int) -> str:
    """Return how a row of a table is named."""
    return f"{file} line {line}"


def refuse_empty(folder: Path, name: str, layout: str) -> DatasetError:
    """Return the error for a folder that does not hold a data set."""
    happened = f"There is no {name} in {folder}" if folder.is_dir() else f"{folder} is not a folder"
    return DatasetError(happened, f"The published layout is needed: {layout}", "Give the folder that holds all of this")
