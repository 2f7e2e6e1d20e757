"""What a detector says about cases, one Parquet file for each, so that a killed run goes on behind the last whole one.

The files are those of `lens_engine.io.detections_file`, as a project keeps them. What was found in changed copies of a
case lies beside its file, below `copies`.
"""

from dataclasses import dataclass
from pathlib import Path

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector, InferenceSettings
from lens_engine.errors import StoreError
from lens_engine.findings import Finding
from lens_engine.io.detections_file import FAILURES, made_from, read_detections, read_findings, write_detections
from lens_engine.proposals import Proposals, SeriesDetections
from lens_training.datasets.case import Case
from lens_training.errors import TrainingError, TrainingInterruptedError
from lens_training.reproduction.scan_copies import CopyPlan, ScanCopy, detect_in_copy
from lens_training.running.fingerprint import fingerprint

COPIES_FOLDER = "copies"
LOOK_VERSION = 1
"""Part of every fingerprint of detections: counts up when the same weights would find something else in a scan."""


@dataclass(frozen=True, slots=True, eq=False)
class CaseDetections:
    """What a detector says about one case; boxes come without embeddings.

    Attributes
    ----------
    findings
        What the boxes were stacked to; empty where nobody asks for it.
    augmented
        The fused boxes in changed copies of the scan; empty where none was looked at.
    """

    proposals: Proposals
    augmented: tuple[Proposals, ...] = ()
    findings: tuple[Finding, ...] = ()


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
        Equal for equal detections; a file with another one, or of a case with another geometry, counts as missing.
    copies
        How many copies of each case are looked at.
    are_of_key_slices
        Whether only the key slices of a case are looked at; then files of a case with other ones are missing, too.
    """

    folder: Path
    fingerprint: str
    copies: int = 0
    are_of_key_slices: bool = False

    def has(self, case: Case) -> bool:
        """Return whether a case is done."""
        try:
            return all(made_from(path) == self._made_from(case) for path in (self._path(case), *self._copies_of(case)))
        except FAILURES:
            return False  # made anew, as if it were missing

    def holds_others(self, case: Case) -> bool:
        """Return whether there is a file of a case that another detector, or other settings, have left."""
        return self._path(case).exists() and not self.has(case)

    def write(self, case: Case, found: CaseDetections) -> None:
        """Store what was found in a case; its own file comes last.

        Raises
        ------
        TrainingInterruptedError
            If the disk refuses.
        """
        path, copies = self._path(case), self._copies_of(case)
        try:
            for place, boxes in zip(copies, found.augmented, strict=True):
                write_detections(place, SeriesDetections(boxes, ()), self._made_from(case))
            write_detections(path, SeriesDetections(found.proposals, found.findings), self._made_from(case))
        except FAILURES as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise TrainingInterruptedError(
                f"{path} cannot be written: {reason or error}",
                "A folder with write permission and enough free space is needed",
                "Free space: the scans that are done stay done",
            ) from error

    def read(self, case: Case) -> CaseDetections:
        """Return what was found in a case, equal to the bit.

        Raises
        ------
        TrainingError
            If the file is missing or damaged.
        """
        try:
            own = read_detections(self._path(case))
            augmented = tuple(read_detections(path).proposals for path in self._copies_of(case))
        except (*FAILURES, StoreError) as error:
            raise self._unreadable(case, error) from error
        return CaseDetections(own.proposals, augmented, own.findings)

    def read_findings(self, case: Case) -> tuple[Finding, ...]:
        """Return the findings alone, without reading any 2D box; raises as `read`."""
        try:
            return read_findings(self._path(case))
        except (*FAILURES, StoreError) as error:
            raise self._unreadable(case, error) from error

    def _made_from(self, case: Case) -> str:
        looked_at = case.key_slices if self.are_of_key_slices else "all slices"
        return fingerprint(self.fingerprint, case.geometry.shape, case.geometry.spacing_mm, looked_at)

    def _unreadable(self, case: Case, error: Exception) -> TrainingError:
        return TrainingError(
            f"{self._path(case)} cannot be read ({error})", "The file as this run wrote it", "Start again with --resume"
        )

    def _path(self, case: Case) -> Path:
        return self.folder / f"{case.name}.parquet"

    def _copies_of(self, case: Case) -> tuple[Path, ...]:
        return tuple(self.folder / COPIES_FOLDER / f"{case.name}-{n}.parquet" for n in range(1, self.copies + 1))
