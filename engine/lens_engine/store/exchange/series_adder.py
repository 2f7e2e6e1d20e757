"""How a series enters the catalog: recognised by salted hashes, numbered, named, and put into a split."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import TypedReturnsRows

from lens_engine.boxes import touch
from lens_engine.errors import ProjectError
from lens_engine.findings import Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series_source import GivenName, SeriesSource, parse_series_name
from lens_engine.project import ProjectSettings
from lens_engine.store.roots import Roots
from lens_engine.store.schema import AnnotationRow, DatasetRow, PatientRow, SeriesRow, StudyRow


@dataclass(frozen=True, slots=True)
class NewSeries:
    """A series to be added.

    Attributes
    ----------
    patient_key, study_key, series_key
        Identifiers of the source; stored only as salted hashes.
    geometry, source
        Grid and files of the series; None while only an annotation file speaks of it.
    first_slice_number, last_slice_number
        Slices as the source numbers them, inclusive; they go into the name.
    name
        A given name such as `000410_02_02_039-099`, kept with its numbers where they are free.
    official_split
        Split that the source publishes for the patient; it counts only for a patient who is new.
    frame_key
        What names the coordinates of the source's positions; stored only as a salted hash, learnt of a known series
        too.
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
    frame_key: str | None = None


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
class SeriesAdder:
    """Adds series to one data set within one transaction.

    Attributes
    ----------
    keep_dataset
        Leave known series in the data set they belong to, instead of refusing another one.
    """

    session: Session
    settings: ProjectSettings
    roots: Roots
    dataset: DatasetRow
    keep_dataset: bool

    def add(self, new: NewSeries, split: Split | None) -> tuple[SeriesRow, bool]:
        """Return the row of a series, and whether the series or its images are new.

        Raises
        ------
        ProjectError
            If the patient has another split, or the series belongs to another data set.
        """
        given = None if new.name is None else parse_series_name(new.name)
        key_hash = self._hash("series", new.series_key)
        row = self._known(key_hash, new, given)
        if row is None:
            return self._create(key_hash, new, given, split), True
        if split is not None:
            patient = self.session.get_one(PatientRow, self.session.get_one(StudyRow, row.study_id).patient_id)
            _check_split(patient, split)
        if row.source_format is None and new.source is not None:
            self._check_boxes(row, new)
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
        self._learn_frame(row, new)
        if new.source is not None:
            row.description = new.description
        return row, False

    def _check_boxes(self, row: SeriesRow, new: NewSeries) -> None:
        """Refuse a scan on which a box lies outside that was imported before it: it is another one."""
        boxes = [
            one.box for one in self.session.scalars(select(AnnotationRow).where(AnnotationRow.series_id == row.id))
        ]
        if boxes and new.geometry is not None and not touch(np.asarray(boxes), new.geometry.shape).all():
            depth, height, width = new.geometry.shape
            raise ProjectError(
                f"A box that was imported for {row.name} lies outside the scan, which is {width} x {height} x {depth}",
                "The scan on which the boxes were drawn",
                "Add that scan; the boxes were imported before it and are kept",
            )

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
        self._learn_frame(row, new)
        if new.source is None:
            return
        root, row.paths = self.roots.locate(self.session, new.source.paths)
        row.root_id, row.source_format, row.series_uid = root.id, new.source.format.value, new.source.series_uid

    def _learn_frame(self, row: SeriesRow, new: NewSeries) -> None:
        if new.frame_key is not None:
            row.frame_hash = self._hash("frame", new.frame_key)

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
