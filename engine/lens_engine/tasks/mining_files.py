"""What the steps of a mining leave to the next ones: the calibration, and what was mined in each batch of patients.

The file of a batch has a first line with its format, then one line of JSON for each patient. Every file is written
under a temporary name and renamed at its end: one that is there is whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lens_engine.errors import StoreError
from lens_engine.findings import Candidate
from lens_engine.io.atomic_files import remove_parts, replace_bytes, replacement_of
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.reports.counts import LabelCounts
from lens_engine.mining.threshold_calibration import CalibratedThresholds

FORMAT = "lens mined patients 1"


@dataclass(frozen=True, slots=True)
class MinedPatient:
    """What was mined in one patient.

    Attributes
    ----------
    candidates, priorities
        As `mining.candidates.mine` returns them.
    counts
        What annotations and each rule teach, in the form of LENS Table IV.
    has_partners
        Whether a lesion is known in one series, and another one that is mined may show it again.
    """

    candidates: tuple[Candidate, ...]
    priorities: tuple[float, ...]
    counts: tuple[LabelCounts, ...]
    has_partners: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is found before the first patient is mined."""

    limit: CalibratedLimit
    thresholds: CalibratedThresholds


_CALIBRATION = TypeAdapter(Calibration)
_PATIENT = TypeAdapter(MinedPatient)


class MiningFiles:
    """The files of one mining, in the folder of its job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calibration = folder / "calibration.json"

    def has_calibration(self) -> bool:
        """Return whether distance limit and thresholds are found."""
        return self._calibration.exists()

    def write_calibration(self, calibration: Calibration) -> None:
        """Keep distance limit and thresholds. Raises `StoreError` if the disk refuses."""
        try:
            replace_bytes(self._calibration, _CALIBRATION.dump_json(calibration))
        except OSError as error:
            raise _refused("The calibration", error) from error

    def read_calibration(self) -> Calibration:
        """Return distance limit and thresholds. Raises `StoreError` if it is missing or damaged."""
        try:
            return _CALIBRATION.validate_json(self._calibration.read_bytes())
        except (OSError, ValidationError) as error:
            raise _lost("The calibration") from error

    def has_batch(self, batch: int) -> bool:
        """Return whether every patient of a batch is mined."""
        return self._batch(batch).exists()

    def write_batch(self, batch: int, patients: Iterable[MinedPatient]) -> None:
        """Keep patients as they come, one at a time. Raises `StoreError` if the disk refuses."""
        path = self._batch(batch)
        remove_parts(path)
        try:
            with replacement_of(path) as temporary, temporary.open("wb") as file:
                file.write(f"{FORMAT}\n".encode())
                for patient in patients:
                    file.write(_PATIENT.dump_json(patient) + b"\n")
        except OSError as error:
            raise _refused(f"What was mined in batch {batch}", error) from error

    def read_batch(self, batch: int) -> Iterator[MinedPatient]:
        """Yield the patients of a batch.

        Raises
        ------
        StoreError
            If the file is missing, damaged, or of another version.
        """
        try:
            with self._batch(batch).open(encoding="utf-8") as file:
                found = file.readline().rstrip("\n")
                if found != FORMAT:
                    raise StoreError(
                        f"What was mined in batch {batch} has the format {found[:40]!r}",
                        f"This version of LENS-napari reads {FORMAT!r}",
                        "Start the mining again; candidates and decisions are as before",
                    )
                for line in file:
                    yield _PATIENT.validate_json(line)
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise _lost(f"What was mined in batch {batch}") from error

    def _batch(self, batch: int) -> Path:
        return self._folder / f"{batch}.jsonl"


def _refused(what: str, error: OSError) -> StoreError:
    return StoreError(
        f"{what} cannot be written ({error.strerror})",
        "A disk with free space and write access",
        "Free space on the disk of the project, and start the mining again",
    )


def _lost(what: str) -> StoreError:
    return StoreError(
        f"{what} cannot be read",
        "It is kept by an earlier step of the same job",
        "Start the mining again; candidates and decisions are as before",
    )
