"""Bring the content of an annotation file into the project.

A manual test set brings its own series, with or without images, because all of it is kept and given back on export.
Every other file speaks of series that the project holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lens_engine.boxes import touch
from lens_engine.findings import Split
from lens_engine.io.annotations.imported import (
    AnnotationFormat,
    ImportedAnnotations,
    ImportedLesion,
    ImportedSubVolume,
    KnownSeries,
    TestSetPart,
)
from lens_engine.io.annotations.manual_test_set import sub_volume_name
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.catalog import Catalog, NewSeries, SeriesRecord
from lens_engine.store.database import Database

UNIVERSAL_DATASET = "universal"

_ORIGINS = {
    AnnotationFormat.DEEPLESION_CSV: AnnotationOrigin.DL_INFO,
    AnnotationFormat.MANUAL_TEST_SET: AnnotationOrigin.MANUAL_TEST_SET,
    AnnotationFormat.INSTANCE_MASK: AnnotationOrigin.INSTANCE_MASK,
    AnnotationFormat.RTSTRUCT: AnnotationOrigin.RTSTRUCT,
}
_SPLITS = {TestSetPart.VAL: Split.VAL, TestSetPart.TEST: Split.TEST}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    series_added
        Series that only the file speaks of so far; their scans may be added later.
    series_matched
        Series of the project that the file speaks of.
    annotations_known
        Lesions that an earlier import of the same file has brought.
    unmatched
        Names in the file that could not be used: no such series, or a scan with another number of slices, or on which
        a lesion of a complete set lies outside.
    """

    series_added: int
    series_matched: int
    annotations_added: int
    annotations_known: int
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The report in one line."""
        parts = [f"{self.annotations_added} lesions added to {self.series_added + self.series_matched} series"]
        if self.series_added:
            parts.append(f"{self.series_added} of them without images yet")
        if self.annotations_known:
            parts.append(f"{self.annotations_known} known already")
        if self.unmatched:
            parts.append(f"{len(self.unmatched)} series do not fit ({', '.join(self.unmatched[:3])}, ...)")
        return "; ".join([*parts, *self.notes])


def known_series(database: Database, *, named_by_source: bool) -> tuple[KnownSeries, ...]:
    """Return the series of the project as the readers of annotation files want to know them.

    Parameters
    ----------
    named_by_source
        Only series whose names come from the source, for files that speak of series by name (DL_info.csv): a pseudonym
        may look like the name of another patient.
    """
    return tuple(
        KnownSeries(
            name=record.name,
            series_uid=None if record.source is None else record.source.series_uid,
            geometry=record.geometry,
            folder=None if record.source is None else record.source.paths[0].parent,
        )
        for record in Catalog(database).all_series()
        if record.is_named_by_source or not named_by_source
    )


def import_lesions(
    database: Database,
    imported: ImportedAnnotations,
    dataset: str = UNIVERSAL_DATASET,
    lesion_type: str | None = None,
) -> ImportReport:
    """Store the lesions of an annotation file; importing it again changes nothing.

    Parameters
    ----------
    dataset
        Data set of the series that only a manual test set speaks of.
    lesion_type
        Type of the lesions for which the file names none.

    Raises
    ------
    ProjectError
        If the data set is unknown.
    StoreError
        If the database refuses; nothing of the lesions is stored then.
    """
    is_reference = imported.format is AnnotationFormat.MANUAL_TEST_SET
    notes = imported.notes
    if is_reference:
        series, added, unmatched = _series_of_test_set(database, imported, dataset)
    else:
        series, unmatched = _series_by_name(database, imported.sub_volumes)
        added = 0
    of_series = [lesion for lesion in imported.lesions if lesion.series_name in series]
    lesions = [lesion for lesion in of_series if _is_in_image(lesion, series[lesion.series_name])]
    if len(lesions) < len(of_series):
        first = next(lesion for lesion in of_series if not _is_in_image(lesion, series[lesion.series_name]))
        notes = (
            *notes,
            f"{len(of_series) - len(lesions)} boxes outside their image were left out, the first one in"
            f" {first.series_name} at x {first.box[0]:g} to {first.box[3]:g}, y {first.box[1]:g} to {first.box[4]:g}",
        )
    news = [_annotation(series[lesion.series_name], lesion, imported, lesion_type) for lesion in lesions]
    new_count = Annotations(database).add(news)
    return ImportReport(
        series_added=added,
        series_matched=len(series) - added,
        annotations_added=new_count,
        annotations_known=len(news) - new_count,
        unmatched=unmatched,
        notes=notes,
    )


def _is_in_image(lesion: ImportedLesion, record: SeriesRecord) -> bool:
    return record.geometry is None or bool(touch(np.asarray([lesion.box]), record.geometry.shape)[0])


def _series_of_test_set(
    database: Database, imported: ImportedAnnotations, dataset: str
) -> tuple[dict[str, SeriesRecord], int, tuple[str, ...]]:
    """Find or add the series of every sub-volume, and note that they are completely annotated.

    A scan on which one of its lesions lies outside is another one: without that lesion it would not be complete.
    """
    catalog, sub_volumes = Catalog(database), imported.sub_volumes
    lesions: dict[str, list[ImportedLesion]] = {}
    for lesion in imported.lesions:
        lesions.setdefault(lesion.series_name, []).append(lesion)
    news = [_new_series(item) for item in sub_volumes]
    added = catalog.add_many(news, dataset, keep_dataset=True)
    fitting: dict[str, SeriesRecord] = {}
    unmatched: list[str] = []
    complete: dict[int, str | None] = {}
    for item, new, (record, _) in zip(sub_volumes, news, added, strict=True):
        depth = new.last_slice_number - new.first_slice_number + 1
        is_as_deep = record.geometry is None or record.geometry.shape[0] == depth
        if not is_as_deep or not all(_is_in_image(lesion, record) for lesion in lesions.get(item.name, ())):
            unmatched.append(item.name)
            continue
        fitting[item.name] = record
        complete[record.id] = None if item.part is None else item.part.value
    catalog.mark_many_complete(complete)
    return fitting, sum(is_new for _, is_new in added), tuple(unmatched)


def _series_by_name(
    database: Database, sub_volumes: Sequence[ImportedSubVolume]
) -> tuple[dict[str, SeriesRecord], tuple[str, ...]]:
    records = {record.name: record for record in Catalog(database).all_series()}
    found = {item.name: records[item.name] for item in sub_volumes if item.name in records}
    return found, tuple(item.name for item in sub_volumes if item.name not in records)


def _new_series(item: ImportedSubVolume) -> NewSeries:
    given = sub_volume_name(item.name)
    return NewSeries(
        patient_key=given.patient_key,
        study_key=given.study_key,
        series_key=f"name:{item.name}",
        first_slice_number=given.first_slice or 0,
        last_slice_number=given.last_slice or 0,
        name=item.name,
        official_split=item.split or (None if item.part is None else _SPLITS[item.part]),
    )


def _annotation(
    record: SeriesRecord, lesion: ImportedLesion, imported: ImportedAnnotations, lesion_type: str | None
) -> NewAnnotation:
    # Slice index 0 is the first slice of the sub-volume, whatever number its scan gives to it: no shift is needed.
    is_reference = imported.format is AnnotationFormat.MANUAL_TEST_SET
    return NewAnnotation(
        series_id=record.id,
        box=lesion.box,
        slices=lesion.slices,
        role=AnnotationRole.REFERENCE if is_reference else AnnotationRole.LABEL,
        origin=_ORIGINS[imported.format],
        key_slice=lesion.key_slice,
        lesion_type=lesion.lesion_type or lesion_type,
        is_noisy=lesion.is_noisy,
        source_file=imported.source_file,
    )
