"""What the steps of a mining leave to the next ones: the calibrated rules, and what was mined in batches of patients.

The file of a batch has a first line with its format, then one line of JSON for each patient. Every file is written
under a temporary name and renamed at its end: one that is there is whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lens_engine.errors import ConfigError, StoreError
from lens_engine.findings import Candidate
from lens_engine.io.atomic_files import remove_parts, replace_bytes, replacement_of
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.reports.counts import LabelCounts
from lens_engine.mining.settings import MiningSettings

FORMAT = "mined patients 1"


@dataclass(frozen=True, slots=True)
class CalibratedRules:
    """The thresholds that all patients are mined with.

    Attributes
    ----------
    threshold_note
        Where the thresholds of the single-type experts in `settings` come from, for people.
    """

    settings: MiningSettings
    limit: CalibratedLimit
    threshold_note: str


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


_RULES = TypeAdapter(CalibratedRules)
_PATIENT = TypeAdapter(MinedPatient)


class MiningFiles:
    """The files of one mining, in the folder of its job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rules = folder / "rules.json"

    def has_rules(self) -> bool:
        """Return whether the rules are calibrated."""
        return self._rules.exists()

    def write_rules(self, rules: CalibratedRules) -> None:
        """Keep the rules. Raises `StoreError` if the disk refuses."""
        try:
            replace_bytes(self._rules, _RULES.dump_json(rules))
        except OSError as error:
            raise _refused("The thresholds of the mining", error) from error

    def read_rules(self) -> CalibratedRules:
        """Return the rules. Raises `StoreError` if they are missing, damaged or of another version."""
        try:
            return _RULES.validate_json(self._rules.read_bytes())
        except (OSError, ValidationError, ConfigError) as error:
            raise _lost("The thresholds of the mining") from error

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
