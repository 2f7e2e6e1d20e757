"""What each scan contributes: a line for each, in one file to which all processes of a run append.

The lines come in the order in which the scans were done, and with them the records of their patches: a process that has
read all lines knows where every patch lies. So one process writes at a time, and reads what the others wrote before.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.errors import CheckpointError
from lens_engine.findings import Box3D
from lens_engine.io.atomic_files import replace_bytes
from lens_training.errors import TrainingInterruptedError
from lens_training.false_positive_reduction.patch_file import PatchShelf
from lens_training.false_positive_reduction.samples import Meaning, Sample
from lens_training.running.processes.claims import claimed

SAMPLES_FILE = "samples.jsonl"
CLAIMS_FOLDER = "claims"
CLAIMS_FILE = "claims.lock"
"""Its locks say which scans are looked at."""
FAILED_FILE = "failed"
"""Is there once a process has failed, so that the others stop looking."""

_TURN_FILE = "turn.lock"
_POLL_SECONDS = 0.01


class CaseLine(BaseModel):
    """What one case contributes; nothing where its scan cannot be read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: int
    samples: tuple[tuple[Meaning, Box3D], ...]
    findings: dict[Meaning, int]
    is_unreadable: bool = False

    def as_samples(self) -> tuple[Sample, ...]:
        """Return its samples, from head to feet."""
        return tuple(Sample(self.case, box, meaning) for meaning, box in self.samples)


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str


class CaseLines:
    """The lines of a run and, in step with them, its patches.

    Parameters
    ----------
    folder
        Where the file is, or will be.

    Attributes
    ----------
    claims
        Folder that is there while scans are looked at: locks, and the sign that a process has failed.
    done
        What this process has read or written, by the number of the case.
    """

    def __init__(self, folder: Path, fingerprint: str, shelf: PatchShelf) -> None:
        self.path = folder / SAMPLES_FILE
        self.claims = folder / CLAIMS_FOLDER
        self.shelf = shelf
        self.done: dict[int, CaseLine] = {}
        self._header = (json.dumps({"fingerprint": fingerprint}) + "\n").encode()
        self._end = len(self._header)
        """Of the lines that are read, in bytes."""

    def forget_unreadable(self) -> None:
        """Take away the lines of scans that could not be read, before others read them, so that these are tried again.

        They have no patches: all others stay where they are.

        Raises
        ------
        CheckpointError
            If the file belongs to another run.
        TrainingInterruptedError
            If the disk refuses.
        """
        if not self._is_begun():
            return
        self.catch_up()
        unreadable = [case for case, line in self.done.items() if line.is_unreadable]
        if unreadable:
            for case in unreadable:
                del self.done[case]
            self._make()

    def begin(self, cases: int) -> None:
        """Make the file and the folder of claims, before others look for them.

        Lines that are there count. Where some of so many cases are missing, and patches of the others as well, all
        begins anew.

        Raises
        ------
        CheckpointError
            If the file belongs to another run.
        TrainingInterruptedError
            If the disk refuses.
        """
        if not self._is_begun():
            self._make()
        self.catch_up()
        if len(self.done) < cases and not self.shelf.is_filled:  # somebody has taken the patches away
            self.done.clear()
            self.shelf.clear()
            self._make()
        with _refusals_in_words(self.claims):
            self.claims.mkdir(exist_ok=True)
            for name in (CLAIMS_FILE, _TURN_FILE):
                (self.claims / name).touch()
            (self.claims / FAILED_FILE).unlink(missing_ok=True)

    def end(self) -> None:
        """Remove the folder of claims, once nobody looks at a scan any more."""
        shutil.rmtree(self.claims, ignore_errors=True)

    def catch_up(self) -> None:
        """Read what others wrote since; half a line is being written, or the last one of a killed process."""
        with self.path.open("rb") as file:
            file.seek(self._end)
            for text in file:
                if not text.endswith(b"\n"):
                    return
                try:
                    line = CaseLine.model_validate_json(text)
                except ValidationError:
                    return
                self._end += len(text)
                self.done[line.case] = line
                self.shelf.remember(line.case, line.as_samples())

    def add(self, line: CaseLine, records: NDArray[np.void] | None = None) -> None:
        """Store the patches of a case, as `PatchShelf.cut` has made them, if it has any, and then its line.

        Raises
        ------
        TrainingInterruptedError
            If the disk refuses or locks no files.
        """
        with _our_turn(self.claims / _TURN_FILE):
            self.catch_up()
            if records is not None:
                self.shelf.put(line.case, line.as_samples(), records)
            text = _text_of(line)
            with _refusals_in_words(self.path), self.path.open("r+b") as file:
                file.truncate(self._end)
                file.seek(self._end)
                file.write(text)
            self._end += len(text)
            self.done[line.case] = line

    def _is_begun(self) -> bool:
        """Return whether there is a file with a header, which has to be ours."""
        if not self.path.exists():
            return False
        with self.path.open("rb") as file:
            first = file.readline()
        try:
            _Header.model_validate_json(first)
        except ValidationError:
            return False
        if first != self._header:
            raise CheckpointError(
                f"{self.path} belongs to another run",
                "The detector, labels, recipe and seed must be those it was started with",
                "Begin anew with --anew instead of --resume, or choose another folder with --out",
            )
        return True

    def _make(self) -> None:
        """Write the file anew, with the lines of what is done."""
        content = self._header + b"".join(map(_text_of, self.done.values()))
        with _refusals_in_words(self.path):
            replace_bytes(self.path, content)
        self._end = len(content)


def _text_of(line: CaseLine) -> bytes:
    return (line.model_dump_json() + "\n").encode()


@contextmanager
def _our_turn(path: Path) -> Iterator[None]:
    """Wait until no other process writes, and keep the others from it during the block."""
    while True:
        with claimed(path, "turn") as is_ours:
            if is_ours:
                yield
                return
        time.sleep(_POLL_SECONDS)


@contextmanager
def _refusals_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingInterruptedError(
            f"{path} cannot be written: {error.strerror or error}",
            "A folder with write permission and enough free space is needed",
            "Free space: the scans that are done stay done",
        ) from error
