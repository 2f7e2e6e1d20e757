"""Complete 3D annotations out of the project, in the form of the published manual test set.

Exported are the series of an imported test set and the series of val and test patients that are marked complete;
nothing that a detector learns from, none with a lesion that is annotated on one slice only, and none about which two
readers differ. A series gives what `completeness.true_boxes` says. It belongs to the part it was imported or marked
with; otherwise to its patient's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import clip
from lens_engine.errors import ExportError
from lens_engine.findings import POSITIVE_VERDICTS, Split
from lens_engine.io.annotations.imported import TestSetPart
from lens_engine.io.annotations.manual_test_set import (
    ExportFormat,
    ManualSubVolume,
    SubVolumeReading,
    rows_from_boxes,
    sub_volume_name,
    write_json,
    write_pickle,
    write_readings,
)
from lens_engine.io.series_source import SeriesFormat, SeriesSource
from lens_engine.io.tables import write_text_table
from lens_engine.store.annotations import AnnotationRecord, Annotations
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.exchange.remarks import remarks_of
from lens_engine.store.labels.completeness import (
    Said,
    lesions_on_one_slice,
    said_of_all,
    true_boxes,
)
from lens_engine.store.labels.left_out import why_left_out
from lens_engine.store.readings.places import box_array
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord

_FOR_THE_OWNER = 0o600
MAPPING_COLUMNS = ("name", "patient", "study_date", "dataset", "split", "series_uid")
FOLDER_COLUMNS = ("folder", "description")
"""Names of patients may stand in them."""
_PARTS = {Split.VAL: TestSetPart.VAL, Split.TEST: TestSetPart.TEST}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written.

    Attributes
    ----------
    mapping_file
        Which pseudonymous name is which scan, for scans that are not DeepLesion's; it stays in the project. None where
        there is no such scan.
    readings_file
        Who read which sub-volume, blind or not, and for how long, beside a file in a form that has no room for it;
        None where it has, or nobody read any.
    left_out
        Names of series that are marked complete and have a lesion that is annotated on one slice only.
    disputed
        Names of series that two readers have read and differ about.
    """

    series: int
    lesions: int
    mapping_file: Path | None
    readings_file: Path | None
    left_out: tuple[str, ...]
    disputed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _TestSet:
    """The sub-volumes that are exported, and the names of those that are left out."""

    sub_volumes: tuple[tuple[SeriesRecord, ManualSubVolume], ...]
    left_out: tuple[str, ...]
    disputed: tuple[str, ...]


def export_test_set(
    database: Database,
    file_format: ExportFormat | str,
    file: Path,
    part: TestSetPart | None = None,
    *,
    with_folders: bool = False,
) -> ExportReport:
    """Write the complete annotations of the project, or of one part of its test set.

    The command line calls this in its own process: it can wait, a reading station may have no worker, and its file may
    lie anywhere. The viewer must never wait and asks for a job, which calls this too and writes into the project.

    Parameters
    ----------
    with_folders
        Let the mapping name the files and folders of the scans, in which names of patients may stand.

    Raises
    ------
    ExportError
        If nothing is complete yet, the format is unknown, or the file cannot be written; an older one is unchanged.
    """
    if file_format not in set(ExportFormat):
        raise ExportError(
            f"{file_format!r} is no export format", f"One of {', '.join(ExportFormat)}", "Name it with --format"
        )
    test_set = _test_set(database, part)
    sub_volumes = test_set.sub_volumes
    if not sub_volumes:
        raise ExportError(
            "No series of the project is completely annotated",
            "A series of an imported test set is needed, or one of a val or test patient that is marked complete",
            why_left_out(test_set.left_out, test_set.disputed)
            or "Bring a test set with 'lens import FILE', or mark a series with 'lens complete SERIES'",
        )
    readings = _readings(database, [record for record, _ in sub_volumes])
    readings_file = None
    if file_format == ExportFormat.JSON:
        write_json(file, [item for _, item in sub_volumes], readings)
    else:
        write_pickle(file, [item for _, item in sub_volumes])
        readings_file = file.with_name(f"{file.stem}_readings.csv") if readings else None
    if readings_file is not None:
        write_readings(readings_file, readings)
    mapping_file = database.project.exports_folder / f"{file.stem}_mapping.csv"
    foreign = [record for record, _ in sub_volumes if _is_foreign(record)]
    if foreign:
        _write_mapping(mapping_file, foreign, with_folders=with_folders)
    return ExportReport(
        series=len(sub_volumes),
        lesions=sum(len(item.rows) for _, item in sub_volumes),
        mapping_file=mapping_file if foreign else None,
        readings_file=readings_file,
        left_out=test_set.left_out,
        disputed=test_set.disputed,
    )


def complete_rows(database: Database, part: TestSetPart | None = None) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the complete annotations: part -> name of the sub-volume -> rows (n, 6) of the published form.

    Rows are `x1, y1, z1, x2, y2, z2`, whole numbers with inclusive ends; z counts slices as the name does.
    """
    parts: dict[str, dict[str, NDArray[np.float64]]] = {item.value: {} for item in TestSetPart if part in (None, item)}
    for _, item in _test_set(database, part).sub_volumes:
        parts[item.part.value][item.name] = item.rows
    return parts


def _test_set(database: Database, part: TestSetPart | None) -> _TestSet:
    annotations: dict[int, list[AnnotationRecord]] = {}
    for annotation in Annotations(database).all():
        annotations.setdefault(annotation.series_id, []).append(annotation)
    said = said_of_all(database, Decisions(database).current_by_series())
    found, left_out, disputed = [], [], []
    for record in Catalog(database).all_series():
        own_part = _part(record)
        if own_part is not None and part in (None, own_part):
            labels, own = annotations.get(record.id, []), said.get(record.id, Said())
            accepted = own.decisions
            if own.is_disputed:
                disputed.append(record.name)
                continue
            if lesions_on_one_slice(labels, accepted):
                left_out.append(record.name)
                continue
            boxes = _boxes(record, labels, accepted)
            first = sub_volume_name(record.name).first_slice or 0
            lesions = [item for item in accepted if item.verdict in POSITIVE_VERDICTS]
            rows, remarks = rows_from_boxes(boxes, first), remarks_of(record, lesions, first)
            found.append((record, ManualSubVolume(own_part, record.name, rows, remarks)))
    return _TestSet(tuple(found), tuple(left_out), tuple(disputed))


def _readings(database: Database, records: Sequence[SeriesRecord]) -> dict[str, tuple[SubVolumeReading, ...]]:
    """Return who read which of the exported sub-volumes, in the order in which the readings were begun."""
    readings = Readings(database)
    known: dict[int, list[ReadingRecord]] = {}
    for reading in readings.all():
        known.setdefault(reading.series_id, []).append(reading)
    return {
        record.name: tuple(
            _reading(record, reading, readings.lesions(reading.id), Decisions(database).history(record.id))
            for reading in known[record.id]
        )
        for record in records
        if record.id in known
    }


def _reading(
    record: SeriesRecord,
    reading: ReadingRecord,
    lesions: Sequence[DecisionRecord],
    reviewed: Iterable[DecisionRecord],
) -> SubVolumeReading:
    first = sub_volume_name(record.name).first_slice or 0
    rows = rows_from_boxes(_cut(record, box_array(lesions)), first)
    return SubVolumeReading(
        reader=reading.reader,
        round=reading.round,
        is_blind=reading.is_blind,
        has_reviewed=any(_is_known_from_the_review(item, reading) for item in reviewed),
        aids_shown_at=reading.aids_shown_at,
        started_at=reading.started_at,
        completed_at=reading.completed_at,
        seconds=reading.seconds,
        boxes=rows.astype(int).tolist(),
    )


def _is_known_from_the_review(said: DecisionRecord, reading: ReadingRecord) -> bool:
    """Return whether a reader had been shown a finding of a model in the series before the reading was complete."""
    is_before = reading.completed_at is None or said.decision.decided_at < reading.completed_at
    has_seen = said.candidate_id is not None and said.decision.along_id is None
    return has_seen and said.decision.reader == reading.reader and is_before


def _part(record: SeriesRecord) -> TestSetPart | None:
    """Return the part of the test set that a series belongs to, None for a series that is not exported."""
    if record.test_set_part is not None:
        return TestSetPart(record.test_set_part)
    return _PARTS.get(record.split) if record.is_complete else None


def _boxes(
    record: SeriesRecord, annotations: Sequence[AnnotationRecord], lesions: Iterable[DecisionRecord]
) -> NDArray[np.float64]:
    """Return canonical boxes (n, 6); those of readers and detectors may reach beyond the volume and are cut."""
    annotated = len(true_boxes(annotations, ()))
    boxes = np.asarray(true_boxes(annotations, lesions), dtype=np.float64).reshape(-1, 6)
    boxes[annotated:] = _cut(record, boxes[annotated:])
    return boxes


def _cut(record: SeriesRecord, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return boxes if record.geometry is None else clip(boxes, record.geometry.shape)


def _is_foreign(record: SeriesRecord) -> bool:
    return record.source is not None and record.source.format is not SeriesFormat.DEEPLESION_PNG


def _write_mapping(path: Path, records: Iterable[SeriesRecord], *, with_folders: bool) -> None:
    rows = [
        [
            record.name,
            record.patient_code,
            str(record.study_date or ""),
            record.dataset,
            record.split.value,
            record.source.series_uid or "",
            *(_folder_cells(record, record.source) if with_folders else ()),
        ]
        for record in records
        if record.source is not None
    ]
    write_text_table(path, (*MAPPING_COLUMNS, *(FOLDER_COLUMNS if with_folders else ())), rows)
    path.chmod(_FOR_THE_OWNER)


def _folder_cells(record: SeriesRecord, source: SeriesSource) -> tuple[str, str]:
    return str(source.paths[0].parent if len(source.paths) > 1 else source.paths[0]), record.description
