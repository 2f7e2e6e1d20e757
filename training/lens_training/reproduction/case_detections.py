"""What the first detector says about each training scan, one file per case, so that a killed run goes on behind it."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector, InferenceSettings
from lens_engine.io.atomic_files import replacement_of
from lens_engine.proposals import Proposals
from lens_training.datasets.case import Case
from lens_training.errors import TrainingError
from lens_training.reproduction.scan_copies import CopyPlan, ScanCopy, detect_in_copy

_COLUMNS = ("expert_index", "grid_index", "boxes", "scores", "embeddings")


@dataclass(frozen=True, slots=True, eq=False)
class CaseDetections:
    """What a detector says about one case; boxes come without embeddings.

    Attributes
    ----------
    augmented
        The fused boxes in changed copies of the scan; empty where none was looked at.
    """

    proposals: Proposals
    augmented: tuple[Proposals, ...] = ()


class CaseDetector:
    """A detector that looks at training cases.

    Parameters
    ----------
    model
        In evaluation mode.
    copies
        The changed copies of each case that it looks at as well; None looks at none.
    """

    def __init__(self, model: LensDetector, settings: InferenceSettings, copies: CopyPlan | None = None) -> None:
        self._detector = InferenceDetector(model, settings)
        self._copies = copies

    def look_at(self, case: Case) -> CaseDetections:
        """Detect in a case and its copies."""
        volume = case.load()
        return CaseDetections(
            detect_with(self._detector, volume).proposals.without_embeddings(),
            tuple(detect_in_copy(self._detector, volume, copy) for copy in self._copies_of(case)),
        )

    def _copies_of(self, case: Case) -> tuple[ScanCopy, ...]:
        return () if self._copies is None else self._copies.copies(case.name)


@dataclass(frozen=True, slots=True)
class DetectionFiles:
    """The files of one detector.

    Attributes
    ----------
    fingerprint
        Equal for equal detections; a file with another one counts as missing.
    """

    folder: Path
    fingerprint: str

    def has(self, case: Case) -> bool:
        """Return whether a case is done."""
        path = self._path(case)
        if not path.exists():
            return False
        try:
            with path.open("rb") as file, np.load(file) as stored:
                return str(stored["fingerprint"]) == self.fingerprint
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False  # made anew, as if it were missing

    def write(self, case: Case, found: CaseDetections) -> None:
        """Store what was found in a case.

        Raises
        ------
        TrainingError
            If the disk refuses.
        """
        path, every = self._path(case), (found.proposals, *found.augmented)
        columns = {_column(number, name): getattr(part, name) for number, part in enumerate(every) for name in _COLUMNS}
        try:
            with replacement_of(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(
                    file,
                    fingerprint=np.asarray(self.fingerprint),
                    experts=np.asarray(found.proposals.experts),
                    spacings_mm=np.asarray([found.proposals.grid_spacing_mm, found.proposals.slice_spacing_mm]),
                    copies=np.asarray(len(found.augmented)),
                    **columns,
                )
        except OSError as error:
            raise TrainingError(
                f"{path} cannot be written: {error.strerror or error}",
                "A folder with write permission and enough free space is needed",
                "Free space, and start again with --resume: the scans that are done stay done",
            ) from error

    def read(self, case: Case) -> CaseDetections:
        """Return what was found in a case, equal to the bit.

        Raises
        ------
        TrainingError
            If the file is missing or damaged.
        """
        path = self._path(case)
        try:
            with path.open("rb") as file, np.load(file) as stored:
                grid_mm, slice_mm = stored["spacings_mm"].tolist()
                experts = tuple(stored["experts"].tolist())
                own, *augmented = (
                    Proposals(experts, grid_mm, slice_mm, *(stored[_column(number, name)] for name in _COLUMNS))
                    for number in range(1 + int(stored["copies"]))
                )
                return CaseDetections(own, tuple(augmented))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"{path} cannot be read ({error})", "The file as this run wrote it", "Start again with --resume"
            ) from error

    def _path(self, case: Case) -> Path:
        return self.folder / f"{case.name}.npz"


def _column(number: int, name: str) -> str:
    """Return what a column of the scan (0) or of one of its copies is called in a file."""
    return f"copy {number} {name}" if number else name
