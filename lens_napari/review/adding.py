"""What is asked before scans are added to a project, and what is said afterwards, in a reader's words."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lens_engine.findings import Scope, Split
from lens_engine.project import ProjectSettings
from lens_engine.store.catalog import DatasetRecord
from lens_engine.store.exchange.importing import UNIVERSAL_DATASET
from lens_engine.store.exchange.ingest import AddReport

NEW_KIND = "Every lesion of one other kind:"
MASKS_AND_CONTOURS = ("label mask", "RTSTRUCT contours")
SHOWN_PATHS = 4


@dataclass(frozen=True, slots=True)
class SplitChoice:
    """What patients may be for; the split is None where the project draws it."""

    name: str
    split: Split | None
    meaning: str


@dataclass(frozen=True, slots=True)
class AddRequest:
    """What is to be added, and as what.

    Attributes
    ----------
    paths
        Files and folders; one DICOM slice stands for its whole series.
    dataset
        The data set that the scans belong to; it is made where it is new.
    split
        What new patients are for; None leaves it to the project.
    """

    paths: tuple[Path, ...]
    dataset: DatasetRecord
    split: Split | None


def dataset_words(dataset: DatasetRecord) -> str:
    """Return what is marked in the scans of a data set."""
    if dataset.scope is Scope.UNIVERSAL:
        words = "Nothing, or some lesions of any kind"
        return words if dataset.name == UNIVERSAL_DATASET else f"{words} ({dataset.name})"
    words = f"Every {dataset.lesion_type} lesion, no other"
    return words if dataset.name == dataset.lesion_type else f"{words} ({dataset.name})"


def dataset_of_kind(kind: str, known: Iterable[DatasetRecord]) -> DatasetRecord:
    """Return the data set in which every lesion of one kind is marked: a known one, or a new one of this name."""
    kind = kind.strip()
    same = (record for record in known if (record.lesion_type or "").casefold() == kind.casefold())
    return next(same, DatasetRecord(kind, Scope.SINGLE_TYPE, kind))


def split_choices(settings: ProjectSettings) -> tuple[SplitChoice, ...]:
    """Return what new patients may be for, the project's own draw first."""
    train, val = settings.train_fraction, settings.val_fraction
    drawn = (
        f"Of new patients {train:.0%} are drawn to learn from, {val:.0%} to validate, {1 - train - val:.0%} to test on."
    )
    return (
        SplitChoice("The project draws", None, drawn),
        SplitChoice("To learn from", Split.TRAIN, "You are asked about their lesions; models learn from the answers."),
        SplitChoice("To validate", Split.VAL, "Models are compared on them; you are asked about them on request only."),
        SplitChoice("To test on", Split.TEST, "Models are measured on them; you are never asked about their lesions."),
    )


def paths_words(paths: Sequence[Path]) -> str:
    """Return what was chosen; a few lines whatever its number."""
    lines = [str(path) for path in paths[:SHOWN_PATHS]]
    rest = len(paths) - len(lines)
    return printable("\n".join([*lines, f"and {rest} more"] if rest else lines))


def breakable(text: str) -> str:
    """Return a text whose long names and paths may go on in the next line."""
    return re.sub(r"([/\\._-])", "\\1\u200b", text)


def added_headline(report: AddReport) -> str:
    """Return in one sentence what became of the scans."""
    count = len(report.added)
    added = f"{count} scan{'s' if count != 1 else ''} added" if count else "Nothing was added"
    known = f"{report.known} in the project already" if report.known else ""
    refused = f"{len(report.problems)} refused" if report.problems else ""
    left = f"stopped: {report.left_over} not added any more" if report.left_over else ""
    return f"{', '.join(filter(None, [added, known, refused, left]))}."


def added_lines(report: AddReport) -> list[str]:
    """Return what happened to each scan and file, what was refused first."""
    lines = [f"Refused: {problem}" for problem in report.problems]
    lines += [f"Note: {note}" for note in report.notes]
    lines += [f"Added: {record.name}, {record.split.value}" for record in report.added]
    lines += [f"Left alone: {count} × {reason}" for reason, count in sorted(report.skipped.items())]
    if any(reason in report.skipped for reason in MASKS_AND_CONTOURS):
        lines.append("Masks and contours are brought in with: lens import FILE")
    return [printable(line) for line in lines]


def printable(text: str) -> str:
    """Return a text that every window can show: file names may hold bytes that are no letters."""
    return text.encode(errors="replace").decode()
