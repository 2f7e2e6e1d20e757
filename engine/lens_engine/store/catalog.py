"""The catalog: data sets, patients, studies and series of a project.

A series is known by a hash of its source identifier, so adding the same data twice changes nothing. Patients are stored
as a salted hash and a pseudonymous number; the split of a patient is drawn once, from the same hash, and never changes.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import TypedReturnsRows

from lens_engine.errors import ProjectError, StoreError
from lens_engine.findings import Scope, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series_source import GivenName, SeriesFormat, SeriesSource, parse_series_name
from lens_engine.project import ProjectSettings
from lens_engine.store.database import Database, in_portions
from lens_engine.store.roots import Roots, machine_roots
from lens_engine.store.schema import DatasetRow, PatientRow, RootRow, SeriesRow, StudyRow


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
class NewSeries:
    """A series to be added.

    Attributes
    ----------
    patient_key, study_key, series_key
        Identifiers of the source; stored only as salted hashes.
    geometry, source
        None while only an annotation file speaks of the series.
    first_slice_number, last_slice_number
        Of the source, inclusive; they go into the name.
    name
        A given name such as `000410_02_02_039-099`, kept with its numbers where they are free.
    official_split
        Split that the source publishes for the patient; it counts only for a patient who is new.
    """

    patient_key: str
    study_key: str
    series_key: str
    first_slice_number: int
    last_slice_number: int
    study_date: date | None = None
    description: str = ""
    geometry: VolumeGeometry | None = None
    source: SeriesSource | None = None
    name: str | None = None
    official_split: Split | None = None


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series of the project.

    Attributes
    ----------
    geometry, source
        None for a series that is known only from an annotation file.
    test_set_part
        `val` or `test` where it belongs to a manual test set.
    is_complete
        Whether every lesion of it is annotated in 3D.
    is_named_by_source
        Whether `name` comes from the source, so that annotation files may speak of it; a pseudonym otherwise.
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

    def add_root(self, folder: Path, name: str | None = None) -> str:
        """Name a folder that the paths of series below it will be relative to; return its name."""
        with self.database.session() as session:
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
            settings = self.database.project.settings
            adder = _Adder(session, settings, self._roots(), _dataset_row(session, dataset), keep_dataset)
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
        with self.database.reading() as session:
            roots = self._roots()
            return tuple(_record(row, roots) for row in session.execute(query))

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


def draw_split(patient_hash: str, settings: ProjectSettings) -> Split:
    """Return the split of a patient: the same for the same identifier and salt, on every machine.

    Parameters
    ----------
    patient_hash
        64 hexadecimal digits; the first 16 are read as a fraction of one.
    """
    position = int(patient_hash[:16], 16) / 16**16
    if position < settings.train_fraction:
        return Split.TRAIN
    return Split.VAL if position < settings.train_fraction + settings.val_fraction else Split.TEST


def hashed_key(kind: str, key: str, salt: str) -> str:
    """Return the salted SHA-256 under which an identifier of the source is stored."""
    return hmac.new(salt.encode(), f"{kind}:{key}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class _Adder:
    """Adds series within one transaction."""

    session: Session
    settings: ProjectSettings
    roots: Roots
    dataset: DatasetRow
    keep_dataset: bool

    def add(self, new: NewSeries, split: Split | None) -> tuple[SeriesRow, bool]:
        given = None if new.name is None else parse_series_name(new.name)
        key_hash = self._hash("series", new.series_key)
        row = self._known(key_hash, new, given)
        if row is None:
            return self._create(key_hash, new, given, split), True
        if split is not None:
            patient = self.session.get_one(PatientRow, self.session.get_one(StudyRow, row.study_id).patient_id)
            _check_split(patient, split)
        if row.source_format is None and new.source is not None:
            row.key_hash = key_hash
            row.dataset_id = self.dataset.id
            row.description = new.description
            self._attach(row, new)
            return row, True
        if row.dataset_id != self.dataset.id and not self.keep_dataset:
            other = self.session.get_one(DatasetRow, row.dataset_id)
            raise ProjectError(
                f"The series {row.name} belongs to the data set {other.name!r}",
                f"A series belongs to one data set; {self.dataset.name!r} was asked for",
                "Add it to its own data set",
            )
        return row, False

    def _known(self, key_hash: str, new: NewSeries, given: GivenName | None) -> SeriesRow | None:
        row = self.session.scalar(select(SeriesRow).where(SeriesRow.key_hash == key_hash))
        if row is not None or given is None:
            return row
        named = select(SeriesRow).where(SeriesRow.name == _full_name(given, new), SeriesRow.is_named_by_source)
        row = self.session.scalar(named)
        # Two sources of images are two series, whatever their files are called.
        return row if row is not None and (row.source_format is None or new.source is None) else None

    def _create(self, key_hash: str, new: NewSeries, given: GivenName | None, split: Split | None) -> SeriesRow:
        patient = self._patient(new, given, split)
        numbers = given if given is not None and patient.number == given.patient else None
        study = self._study(patient, new, numbers)
        if numbers is not None and study.number == numbers.study:
            number = numbers.series
        else:
            number = self._next_number(select(func.max(SeriesRow.number)).where(SeriesRow.study_id == study.id))
        given_name = None if given is None or self._is_taken(_full_name(given, new)) else _full_name(given, new)
        row = SeriesRow(
            study_id=study.id,
            dataset_id=self.dataset.id,
            key_hash=key_hash,
            number=number,
            name=given_name or self._free_name(patient, study, number, new),
            is_named_by_source=given_name is not None,
            description=new.description,
            paths=[],
            is_complete=False,
            created_at=datetime.now(UTC),
        )
        self._attach(row, new)
        self.session.add(row)
        self.session.flush()
        return row

    def _patient(self, new: NewSeries, given: GivenName | None, split: Split | None) -> PatientRow:
        key_hash = self._hash("patient", new.patient_key)
        row = self.session.scalar(select(PatientRow).where(PatientRow.key_hash == key_hash))
        if row is not None:
            _check_split(row, split)
            return row
        number = given.patient if given is not None else None
        if number is None or self.session.scalar(select(PatientRow.id).where(PatientRow.number == number)) is not None:
            number = self._next_number(select(func.max(PatientRow.number)))
        row = PatientRow(
            key_hash=key_hash,
            number=number,
            split=split or new.official_split or draw_split(self._hash("split", new.patient_key), self.settings),
            created_at=datetime.now(UTC),
        )
        self.session.add(row)
        self.session.flush()
        return row

    def _study(self, patient: PatientRow, new: NewSeries, given: GivenName | None) -> StudyRow:
        key_hash = self._hash("study", new.study_key)
        of_patient = select(StudyRow).where(StudyRow.patient_id == patient.id)
        row = self.session.scalar(of_patient.where(StudyRow.key_hash == key_hash))
        if row is not None:
            return row
        number = given.study if given is not None else None
        if number is None or self.session.scalar(of_patient.where(StudyRow.number == number)) is not None:
            number = self._next_number(select(func.max(StudyRow.number)).where(StudyRow.patient_id == patient.id))
        row = StudyRow(patient_id=patient.id, key_hash=key_hash, number=number, study_date=new.study_date)
        self.session.add(row)
        self.session.flush()
        return row

    def _attach(self, row: SeriesRow, new: NewSeries) -> None:
        row.geometry = None if new.geometry is None else new.geometry.as_dict()
        if new.source is None:
            return
        root, row.paths = self.roots.locate(self.session, new.source.paths)
        row.root_id, row.source_format, row.series_uid = root.id, new.source.format.value, new.source.series_uid

    def _free_name(self, patient: PatientRow, study: StudyRow, number: int, new: NewSeries) -> str:
        slices = f"{new.first_slice_number:03d}-{new.last_slice_number:03d}"
        while self._is_taken(name := f"{patient.number:06d}_{study.number:02d}_{number:02d}_{slices}"):
            number += 1
        return name

    def _is_taken(self, name: str) -> bool:
        return self.session.scalar(select(SeriesRow.id).where(SeriesRow.name == name)) is not None

    def _next_number(self, greatest: TypedReturnsRows[Any]) -> int:
        return int(self.session.scalar(greatest) or 0) + 1

    def _hash(self, kind: str, key: str) -> str:
        return hashed_key(kind, key, self.settings.split_salt)


def _full_name(given: GivenName, new: NewSeries) -> str:
    if given.first_slice is not None:
        return given.name
    return f"{given.series_name}_{new.first_slice_number:03d}-{new.last_slice_number:03d}"


def _check_split(patient: PatientRow, split: Split | None) -> None:
    if split is not None and split is not patient.split:
        raise ProjectError(
            f"Patient {patient.number:06d} is in the split {patient.split.value!r}",
            f"A patient is in one split for ever; {split.value!r} was asked for",
            "Add the series without naming a split",
        )


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
    return (
        select(SeriesRow, StudyRow, PatientRow, DatasetRow.name, RootRow)
        .join(StudyRow, StudyRow.id == SeriesRow.study_id)
        .join(PatientRow, PatientRow.id == StudyRow.patient_id)
        .join(DatasetRow, DatasetRow.id == SeriesRow.dataset_id)
        .outerjoin(RootRow, RootRow.id == SeriesRow.root_id)
    )


def _record(row: Any, roots: Roots) -> SeriesRecord:
    series, study, patient, dataset, root = row
    source = None
    if series.source_format is not None:
        paths = roots.absolute(root, series.paths)
        source = SeriesSource(SeriesFormat(series.source_format), paths, series.series_uid)
    return SeriesRecord(
        id=series.id,
        name=series.name,
        patient_id=patient.id,
        patient_code=f"{patient.number:06d}",
        study_id=study.id,
        study_number=study.number,
        study_date=study.study_date,
        series_number=series.number,
        dataset=dataset,
        split=patient.split,
        geometry=None if series.geometry is None else VolumeGeometry.from_dict(series.geometry),
        source=source,
        description=series.description,
        test_set_part=series.test_set_part,
        is_complete=series.is_complete,
        is_named_by_source=series.is_named_by_source,
    )


def _mark(row: SeriesRow | None, series_id: int, part: str | None, complete: bool) -> None:
    if row is None:
        raise _no_series(f"id {series_id}")
    row.test_set_part, row.is_complete = part, complete


def _no_series(what: str) -> StoreError:
    return StoreError(f"There is no series with {what}", "A series of this project", "List them with: lens add --list")


def _scope_words(scope: Scope, lesion_type: str | None) -> str:
    return scope.value if lesion_type is None else f"{scope.value} ({lesion_type})"
