"""Ground truth of the project: labels for training, and complete references for evaluation and export."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from lens_engine.findings import Box3D, SliceBox, Split
from lens_engine.io.plain_words import plain_file_name
from lens_engine.store.database import Database, in_portions, wait_for_other_writers
from lens_engine.store.schema import (
    AnnotationOrigin,
    AnnotationRole,
    AnnotationRow,
    DatasetRow,
    PatientRow,
    SeriesRow,
    StudyRow,
    box_values,
)

__all__ = ["AnnotationOrigin", "AnnotationRecord", "AnnotationRole", "Annotations", "NewAnnotation"]


@dataclass(frozen=True, slots=True)
class NewAnnotation:
    """An annotation to be added.

    Attributes
    ----------
    slices
        Cross-sections of `box`, ascending.
    key_slice
        The only slice that is annotated, where it is only one; `box` then spans `[key_slice, key_slice + 1)`.
    lesion_key
        The same for the same lesion at several times, where that is known.
    is_noisy
        The source says that the annotation is doubtful.
    source_file
        Name of the file it was imported from, without folders; of it, only words that are no names are stored.
    """

    series_id: int
    box: Box3D
    slices: tuple[SliceBox, ...]
    role: AnnotationRole
    origin: AnnotationOrigin
    key_slice: int | None = None
    lesion_type: str | None = None
    lesion_key: str | None = None
    is_noisy: bool = False
    source_file: str = ""


@dataclass(frozen=True, slots=True)
class AnnotationRecord:
    """A stored annotation; see `NewAnnotation` for the meaning of its fields."""

    id: int
    series_id: int
    box: Box3D
    slices: tuple[SliceBox, ...]
    role: AnnotationRole
    origin: AnnotationOrigin
    key_slice: int | None
    lesion_type: str | None
    lesion_key: str | None
    is_noisy: bool
    source_file: str


@dataclass(frozen=True, slots=True)
class Annotations:
    """The annotations of one database, always in the order in which they were added."""

    database: Database

    def add(self, news: Sequence[NewAnnotation]) -> int:
        """Add annotations in one transaction and return how many were new.

        An annotation equal to a stored one of the same series and file changes nothing. Equal rows within one call are
        duplicates that the file really holds: all of them are kept, so hand over a whole file at once.
        """
        now = datetime.now(UTC)
        digests = _digests(news)
        with self.database.session() as session:
            wait_for_other_writers(session, AnnotationRow)
            known: set[tuple[int, str]] = set()
            for some in in_portions(sorted({new.series_id for new in news})):
                query = select(AnnotationRow.series_id, AnnotationRow.digest).where(AnnotationRow.series_id.in_(some))
                known.update((series_id, digest) for series_id, digest in session.execute(query))
            rows = [
                _values(new, digest, now)
                for new, digest in zip(news, digests, strict=True)
                if (new.series_id, digest) not in known
            ]
            if rows:
                session.execute(insert(AnnotationRow), rows)
            return len(rows)

    def of_series(self, series_id: int, role: AnnotationRole | None = None) -> tuple[AnnotationRecord, ...]:
        """Return the annotations of one series, optionally of one role."""
        query = select(AnnotationRow).where(AnnotationRow.series_id == series_id)
        if role is not None:
            query = query.where(AnnotationRow.role == role)
        return self._read(query)

    def find(self, annotation_id: int) -> AnnotationRecord | None:
        """Return one annotation, or None where there is none of this id."""
        return next(iter(self._read(select(AnnotationRow).where(AnnotationRow.id == annotation_id))), None)

    def all(
        self, role: AnnotationRole | None = None, split: Split | None = None, dataset: str | None = None
    ) -> tuple[AnnotationRecord, ...]:
        """Return the annotations of all series, optionally of one role, split or data set."""
        query = (
            select(AnnotationRow)
            .join(SeriesRow, SeriesRow.id == AnnotationRow.series_id)
            .join(StudyRow, StudyRow.id == SeriesRow.study_id)
            .join(PatientRow, PatientRow.id == StudyRow.patient_id)
            .join(DatasetRow, DatasetRow.id == SeriesRow.dataset_id)
        )
        if role is not None:
            query = query.where(AnnotationRow.role == role)
        if split is not None:
            query = query.where(PatientRow.split == split)
        if dataset is not None:
            query = query.where(DatasetRow.name == dataset)
        return self._read(query)

    def _read(self, query: Any) -> tuple[AnnotationRecord, ...]:
        with self.database.reading() as session:
            return tuple(_record(row) for row in session.scalars(query.order_by(AnnotationRow.id)))


def _digests(news: Sequence[NewAnnotation]) -> list[str]:
    """Return what tells annotations of one series apart: content, file, and the how-manieth equal row it is."""
    seen: Counter[str] = Counter()
    digests = []
    for new in news:
        content = [
            new.series_id,
            [float(edge) for edge in new.box],
            box_values(new.box, new.slices)["slices"],
            new.role.value,
            new.origin.value,
            new.key_slice,
            new.lesion_type,
            new.lesion_key,
            new.source_file,
        ]
        text = json.dumps(content)
        seen[text] += 1
        digests.append(hashlib.sha256(f"{text}#{seen[text]}".encode()).hexdigest())
    return digests


def _values(new: NewAnnotation, digest: str, now: datetime) -> dict[str, Any]:
    return {
        "series_id": new.series_id,
        "digest": digest,
        "role": new.role,
        "origin": new.origin,
        "key_slice": new.key_slice,
        "lesion_type": new.lesion_type,
        "lesion_key": new.lesion_key,
        "is_noisy": new.is_noisy,
        "source_file": plain_file_name(new.source_file),
        "revision": 1,
        "created_at": now,
        **box_values(new.box, new.slices),
    }


def _record(row: AnnotationRow) -> AnnotationRecord:
    return AnnotationRecord(
        id=row.id,
        series_id=row.series_id,
        box=row.box,
        slices=row.slice_boxes,
        role=row.role,
        origin=row.origin,
        key_slice=row.key_slice,
        lesion_type=row.lesion_type,
        lesion_key=row.lesion_key,
        is_noisy=row.is_noisy,
        source_file=row.source_file,
    )
