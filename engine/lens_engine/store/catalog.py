"""The catalog: data sets, patients, studies and series of a project.

A series is known by a hash of its source identifier, so adding the same data twice changes nothing. Patients are stored
as a salted hash and a pseudonymous number; the split of a patient is drawn once, from the same hash, and never changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lens_engine.errors import ProjectError, StoreError
from lens_engine.findings import Scope, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series_source import SeriesFormat, SeriesSource
from lens_engine.store.database import Database, in_portions, wait_for_other_writers
from lens_engine.store.exchange.series_adder import NewSeries, SeriesAdder, draw_split, hashed_key
from lens_engine.store.reading_at_once import collector_at_rest
from lens_engine.store.roots import Roots, machine_roots
from lens_engine.store.schema import DatasetRow, PatientRow, RootRow, SeriesRow, StudyRow

__all__ = [
    "Catalog",
    "CompleteSeries",
    "DatasetRecord",
    "NewSeries",
    "PatientRecord",
    "SeriesRecord",
    "draw_split",
    "hashed_key",
    "known_lesion_types",
]


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A data set and what it labels; its expert has the same name."""

    name: str
    scope: Scope
    lesion_type: str | None


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """A patient under a pseudonymous number."""

    id: int
    number: int
    split: Split

    @property
    def code(self) -> str:
        """The number with leading zeros."""
        return f"{self.number:06d}"


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series of the project.

    Attributes
    ----------
    geometry, source
        Grid and files of the series; None where only an annotation file speaks of it.
    test_set_part
        `val` or `test` where it belongs to a manual test set.
    is_complete
        Whether it is marked: every lesion of it is said to be annotated in 3D.
    is_named_by_source
        Whether `name` comes from the source, so that annotation files may speak of it; a pseudonym otherwise.
    root, paths_in_root
        The named folder that its files lie in, and where in it: the same on every machine.
    """

    id: int
    name: str
    patient_id: int
    patient_code: str
    study_id: int
    study_number: int
    study_date: date | None
    series_number: int
    dataset: str
    split: Split
    geometry: VolumeGeometry | None
    source: SeriesSource | None
    description: str
    test_set_part: str | None
    is_complete: bool
    is_named_by_source: bool = False
    root: str | None = None
    paths_in_root: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompleteSeries:
    """A series that is marked complete, and whose it is."""

    id: int
    patient_id: int


@dataclass(frozen=True, slots=True)
class Catalog:
    """Data sets, patients and series of one database."""

    database: Database

    def add_dataset(self, name: str, scope: Scope, lesion_type: str | None = None) -> DatasetRecord:
        """Add a data set; adding the same one again changes nothing.

        Raises
        ------
        ProjectError
            If it exists with another scope or lesion type, or a single-type one names no type.
        """
        if scope is Scope.SINGLE_TYPE and lesion_type is None:
            raise ProjectError(
                f"The data set {name!r} names no lesion type", "One type is needed", "Give --lesion-type"
            )
        with self.database.session() as session:
            wait_for_other_writers(session, DatasetRow)
            row = session.scalar(select(DatasetRow).where(DatasetRow.name == name))
            if row is None:
                row = DatasetRow(name=name, scope=scope, lesion_type=lesion_type)
                session.add(row)
            elif (row.scope, row.lesion_type) != (scope, lesion_type):
                raise ProjectError(
                    f"The data set {name!r} exists as {_scope_words(row.scope, row.lesion_type)}",
                    f"The same scope is needed, not {_scope_words(scope, lesion_type)}",
                    "Choose another name for the new data set",
                )
            return DatasetRecord(row.name, row.scope, row.lesion_type)

    def datasets(self) -> tuple[DatasetRecord, ...]:
        """Return all data sets in the order in which they were added."""
        with self.database.reading() as session:
            rows = session.scalars(select(DatasetRow).order_by(DatasetRow.id))
            return tuple(DatasetRecord(row.name, row.scope, row.lesion_type) for row in rows)

    def dataset(self, name: str) -> DatasetRecord:
        """Return one data set.

        Raises
        ------
        ProjectError
            If there is none of this name.
        """
        with self.database.reading() as session:
            row = _dataset_row(session, name)
            return DatasetRecord(row.name, row.scope, row.lesion_type)

    def lesion_types(self) -> tuple[str, ...]:
        """Return the types that single-type data sets label, each once, in the order in which they came."""
        with self.database.reading() as session:
            return known_lesion_types(session)

    def add_root(self, folder: Path, name: str | None = None) -> str:
        """Name a folder that the paths of series below it will be relative to; return its name."""
        with self.database.session() as session:
            wait_for_other_writers(session, RootRow)
            return self._roots().add(session, folder, name).name

    def add_series(self, new: NewSeries, dataset: str, split: Split | None = None) -> tuple[SeriesRecord, bool]:
        """Add one series; return it and whether anything new was learned.

        A series that was known only from an annotation file gets its images, found by its given name.

        Parameters
        ----------
        split
            None: drawn from the salted hash of the patient, or the one the patient has already.

        Raises
        ------
        ProjectError
            If the data set is unknown, the patient has another split, or the series belongs to another data set.
        """
        return self.add_many([new], dataset, split)[0]

    def add_many(
        self, news: Iterable[NewSeries], dataset: str, split: Split | None = None, *, keep_dataset: bool = False
    ) -> tuple[tuple[SeriesRecord, bool], ...]:
        """Add several series in one transaction, as `add_series` does: all of them or none.

        Parameters
        ----------
        keep_dataset
            Leave known series in the data set they belong to, instead of refusing another one.
        """
        with self.database.session() as session:
            wait_for_other_writers(session, PatientRow)
            wait_for_other_writers(session, RootRow)
            settings = self.database.project.settings
            adder = SeriesAdder(session, settings, self._roots(), _dataset_row(session, dataset), keep_dataset)
            added = [adder.add(new, split) for new in news]
            records = self._records(session, [row.id for row, _ in added])
            return tuple((records[row.id], is_new) for row, is_new in added)

    def series(self, series_id: int) -> SeriesRecord:
        """Return one series.

        Raises
        ------
        StoreError
            If there is none with this id.
        """
        with self.database.reading() as session:
            return self._one(session, _series_query().where(SeriesRow.id == series_id), f"id {series_id}")

    def some_series(self, series_ids: Sequence[int]) -> tuple[SeriesRecord, ...]:
        """Return the series of these ids, in their order.

        Raises
        ------
        StoreError
            If there is none with one of them.
        """
        with self.database.reading() as session:
            records = self._records(session, series_ids)
        for series_id in series_ids:
            if series_id not in records:
                raise _no_series(f"id {series_id}")
        return tuple(records[series_id] for series_id in series_ids)

    def by_name(self, name: str) -> SeriesRecord:
        """Return the series of this name.

        Raises
        ------
        StoreError
            If there is none.
        """
        with self.database.reading() as session:
            return self._one(session, _series_query().where(SeriesRow.name == name), f"name {name!r}")

    def all_series(
        self, *, dataset: str | None = None, split: Split | None = None, with_images: bool = False
    ) -> tuple[SeriesRecord, ...]:
        """Return the series in the order in which they were added, optionally of one data set or split."""
        query = _series_query().order_by(SeriesRow.id)
        if dataset is not None:
            query = query.where(DatasetRow.name == dataset)
        if split is not None:
            query = query.where(PatientRow.split == split)
        if with_images:
            query = query.where(SeriesRow.source_format.is_not(None))
        with collector_at_rest(), self.database.reading() as session:
            roots = self._roots()
            return tuple(_record(row, roots) for row in session.execute(query))

    def of_patient(self, patient_id: int) -> tuple[SeriesRecord, ...]:
        """Return the series of a patient with images, in the order in which they were added."""
        query = _series_query().where(PatientRow.id == patient_id, SeriesRow.source_format.is_not(None))
        with self.database.reading() as session:
            roots = self._roots()
            return tuple(_record(row, roots) for row in session.execute(query.order_by(SeriesRow.id)))

    def splits_with_images(self) -> dict[int, Split]:
        """Return the split of every series with images, by its id, in the order in which they were added."""
        query = (
            select(SeriesRow.id, PatientRow.split)
            .join(StudyRow, StudyRow.id == SeriesRow.study_id)
            .join(PatientRow, PatientRow.id == StudyRow.patient_id)
            .where(SeriesRow.source_format.is_not(None))
            .order_by(SeriesRow.id)
        )
        with self.database.reading() as session:
            return {row.id: row.split for row in session.execute(query)}

    def complete_series(self, split: Split) -> tuple[CompleteSeries, ...]:
        """Return the series of a split that are marked complete and have images."""
        query = (
            select(SeriesRow.id, StudyRow.patient_id)
            .join(StudyRow, StudyRow.id == SeriesRow.study_id)
            .join(PatientRow, PatientRow.id == StudyRow.patient_id)
            .where(PatientRow.split == split, SeriesRow.is_complete, SeriesRow.source_format.is_not(None))
            .order_by(SeriesRow.id)
        )
        with self.database.reading() as session:
            return tuple(CompleteSeries(row.id, row.patient_id) for row in session.execute(query))

    def patients(self) -> tuple[PatientRecord, ...]:
        """Return all patients by number."""
        with self.database.reading() as session:
            rows = session.scalars(select(PatientRow).order_by(PatientRow.number))
            return tuple(PatientRecord(row.id, row.number, row.split) for row in rows)

    def mark_complete(self, series_id: int, part: str | None, complete: bool = True) -> None:
        """Say that every lesion of a series is annotated in 3D, or not any more, and in which part of a test set it is.

        Raises
        ------
        StoreError
            If there is no such series.
        """
        with self.database.session() as session:
            _mark(session.get(SeriesRow, series_id), series_id, part, complete)

    def mark_many_complete(self, parts: Mapping[int, str | None]) -> None:
        """Say in one transaction that series (id -> part) are completely annotated.

        Raises
        ------
        StoreError
            If there is no such series.
        """
        ids = list(parts)
        with self.database.session() as session:
            rows = [
                row
                for some in in_portions(ids)
                for row in session.scalars(select(SeriesRow).where(SeriesRow.id.in_(some)))
            ]
            known = {row.id: row for row in rows}
            for series_id, part in parts.items():
                _mark(known.get(series_id), series_id, part, True)

    def root_folders(self) -> dict[str, Path]:
        """Return where each named folder of the project's series lies on this machine."""
        with self.database.reading() as session:
            return self._roots().folders(session)

    def _roots(self) -> Roots:
        return Roots(self.database.project, machine_roots())

    def _one(self, session: Session, query: Any, what: str) -> SeriesRecord:
        row = session.execute(query).one_or_none()
        if row is None:
            raise _no_series(what)
        return _record(row, self._roots())

    def _records(self, session: Session, ids: Sequence[int]) -> dict[int, SeriesRecord]:
        session.flush()
        roots = self._roots()
        rows = (
            row for some in in_portions(ids) for row in session.execute(_series_query().where(SeriesRow.id.in_(some)))
        )
        return {record.id: record for record in (_record(row, roots) for row in rows)}


def known_lesion_types(session: Session) -> tuple[str, ...]:
    """Return `Catalog.lesion_types` within a session."""
    query = select(DatasetRow.lesion_type).where(DatasetRow.scope == Scope.SINGLE_TYPE).order_by(DatasetRow.id)
    return tuple(dict.fromkeys(name for name in session.scalars(query) if name is not None))


def _dataset_row(session: Session, name: str) -> DatasetRow:
    row = session.scalar(select(DatasetRow).where(DatasetRow.name == name))
    if row is None:
        known = ", ".join(repr(other) for other in session.scalars(select(DatasetRow.name).order_by(DatasetRow.id)))
        raise ProjectError(
            f"There is no data set {name!r}",
            f"One of {known or 'none yet'} is needed",
            "Name its lesion type to make it",
        )
    return row


def _series_query() -> Any:  # Select's type parameters differ between SQLAlchemy 2.0 and 2.1
    """Return the columns of `_record`: making mapped objects of very many rows takes longer than reading them."""
    return (
        select(
            SeriesRow.id,
            SeriesRow.name,
            SeriesRow.study_id,
            SeriesRow.number.label("series_number"),
            SeriesRow.geometry,
            SeriesRow.source_format,
            SeriesRow.paths,
            SeriesRow.series_uid,
            SeriesRow.description,
            SeriesRow.test_set_part,
            SeriesRow.is_complete,
            SeriesRow.is_named_by_source,
            StudyRow.number.label("study_number"),
            StudyRow.study_date,
            StudyRow.patient_id,
            PatientRow.number.label("patient_number"),
            PatientRow.split,
            DatasetRow.name.label("dataset"),
            RootRow.name.label("root_name"),
            RootRow.path.label("root_path"),
        )
        .join(StudyRow, StudyRow.id == SeriesRow.study_id)
        .join(PatientRow, PatientRow.id == StudyRow.patient_id)
        .join(DatasetRow, DatasetRow.id == SeriesRow.dataset_id)
        .outerjoin(RootRow, RootRow.id == SeriesRow.root_id)
    )


def _record(row: Any, roots: Roots) -> SeriesRecord:
    source = None
    if row.source_format is not None:
        paths = roots.absolute(row.root_name, row.root_path, row.paths)
        source = SeriesSource(SeriesFormat(row.source_format), paths, row.series_uid)
    return SeriesRecord(
        id=row.id,
        name=row.name,
        patient_id=row.patient_id,
        patient_code=f"{row.patient_number:06d}",
        study_id=row.study_id,
        study_number=row.study_number,
        study_date=row.study_date,
        series_number=row.series_number,
        dataset=row.dataset,
        split=row.split,
        geometry=None if row.geometry is None else VolumeGeometry.from_dict(row.geometry),
        source=source,
        description=row.description,
        test_set_part=row.test_set_part,
        is_complete=row.is_complete,
        is_named_by_source=row.is_named_by_source,
        root=row.root_name,
        paths_in_root=tuple(row.paths),
    )


def _mark(row: SeriesRow | None, series_id: int, part: str | None, complete: bool) -> None:
    if row is None:
        raise _no_series(f"id {series_id}")
    row.test_set_part, row.is_complete = part, complete


def _no_series(what: str) -> StoreError:
    return StoreError(f"There is no series with {what}", "A series of this project", "See: lens complete")


def _scope_words(scope: Scope, lesion_type: str | None) -> str:
    return scope.value if lesion_type is None else f"{scope.value} ({lesion_type})"
