"""Bring scans and annotation files from the disk into a project: what `lens add` and `lens import` do.

Each series is added in a transaction of its own: an interrupted run keeps what it had, and a second one adds the rest.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lens_engine.errors import LensError, ProjectError, StoppedError
from lens_engine.findings import Split
from lens_engine.io.annotations.annotation_file import read_annotations
from lens_engine.io.series import FoundSeries, ScanReport, scan
from lens_engine.progress import ProgressCallback, WorkHandle
from lens_engine.store.catalog import Catalog, NewSeries, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.exchange.importing import ImportReport, import_lesions, known_series


@dataclass(frozen=True, slots=True)
class AddReport:
    """What became of the given paths.

    Attributes
    ----------
    added
        Series that are new, or that were known from an annotation file only and now have images.
    known
        Number of series that were in the project before.
    skipped
        Number of files by reason, such as scouts and dose sheets.
    notes
        What a user should know about an added series, each starting with its name.
    problems
        What could not be added, each with what to do about it.
    left_over
        Number of series that were found and not added any more, because the work was stopped.
    """

    added: tuple[SeriesRecord, ...]
    known: int
    skipped: Counter[str]
    notes: tuple[str, ...]
    problems: tuple[LensError, ...]
    left_over: int = 0


def add_scans(
    database: Database,
    paths: Sequence[Path],
    dataset: str,
    split: Split | None = None,
    on_progress: ProgressCallback | None = None,
    handle: WorkHandle | None = None,
) -> AddReport:
    """Add every CT series below `paths` to a data set of the project.

    Parameters
    ----------
    split
        Split of new patients; None draws it from a stable hash.
    on_progress
        Called with the number of files looked at and of all files.
    handle
        Shows what is worked on, and stops it: nothing is added where files were still being read, and afterwards
        every series is there as a whole or not at all.

    Raises
    ------
    ProjectError
        If the data set is unknown; everything about single series is a problem in the report.
    StoppedError
        If the work was stopped before anything was added.
    """
    Catalog(database).dataset(dataset)
    handle = handle or WorkHandle()
    return add_found(database, scan(paths, on_progress, handle), paths, dataset, split, handle)


def add_found(
    database: Database,
    report: ScanReport,
    paths: Sequence[Path],
    dataset: str,
    split: Split | None = None,
    handle: WorkHandle | None = None,
) -> AddReport:
    """Add the series that a scan of `paths` has found, as `add_scans` does.

    Raises
    ------
    ProjectError
        If the data set is unknown; everything about single series is a problem in the report.
    """
    catalog, handle = Catalog(database), handle or WorkHandle()
    catalog.dataset(dataset)
    for path in paths if report.found else ():
        if os.path.isdir(path):
            catalog.add_root(path)
    added: list[SeriesRecord] = []
    notes: list[str] = []
    problems = list(report.problems)
    known = left_over = 0
    for number, found in enumerate(report.found):
        try:
            handle.turn_to(f"Adding series {number + 1} of {len(report.found)}")
            record, is_new = catalog.add_series(_new_series(found), dataset, split)
        except StoppedError:
            left_over = len(report.found) - number
            break
        except LensError as error:
            problems.append(error)
            continue
        if not is_new:
            known += 1
            continue
        added.append(record)
        notes.extend(f"{record.name}: {note}" for note in found.notes)
    return AddReport(tuple(added), known, report.skipped, tuple(notes), tuple(problems), left_over)


def import_annotations(
    database: Database, file: Path, series_name: str | None = None, lesion_type: str | None = None
) -> ImportReport:
    """Import one annotation file: DL_info.csv, a manual test set, an instance mask or RTSTRUCT contours.

    Parameters
    ----------
    series_name
        Series that a mask or contours belong to; None finds it by its geometry or UID.
    lesion_type
        Type of the lesions for which the file names none.

    Raises
    ------
    LensError
        If the file cannot be read or fits no series; nothing of it is stored then.
    """
    speaks_of_names = file.suffix.lower() == ".csv"
    imported = read_annotations(file, known_series(database, named_by_source=speaks_of_names), series_name)
    if speaks_of_names and not imported.lesions:
        raise ProjectError(
            f"{file.name} speaks of no slice of this project",
            "Lesions are kept for scans that the project holds",
            "Add the scans first (lens add PATH), then import the file",
        )
    return import_lesions(database, imported, lesion_type=lesion_type)


def _new_series(found: FoundSeries) -> NewSeries:
    return NewSeries(
        patient_key=found.patient_key,
        study_key=found.study_key,
        series_key=found.series_key,
        first_slice_number=found.first_slice_number,
        last_slice_number=found.last_slice_number,
        study_date=found.study_date,
        description=found.description,
        geometry=found.geometry,
        source=found.source,
        name=found.given_name,
        frame_key=found.frame_key,
    )
