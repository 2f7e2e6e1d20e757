"""All tables of a project, as typed SQLAlchemy models; `migrations/` creates and upgrades them.

Boxes are six columns, half-open voxel edges of the series in the canonical frame; cross-sections and other nested
values are JSON. Times are UTC. Patients appear as a salted hash and a pseudonymous number, never with a name.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Date,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from lens_engine.findings import Box3D, CandidateKind, ReasonCode, Scope, SliceBox, Split, Verdict
from lens_engine.snapshot import LabelSet


class AnnotationOrigin(StrEnum):
    """Where an annotation comes from."""

    DL_INFO = "DL_info.csv"
    MANUAL_TEST_SET = "manual test set"
    INSTANCE_MASK = "instance mask"
    RTSTRUCT = "RTSTRUCT"
    DRAWN = "drawn"
    """A reader drew it."""


class AnnotationRole(StrEnum):
    """What an annotation may be used for."""

    LABEL = "label"
    """Training."""
    REFERENCE = "reference"
    """Complete truth: evaluation and test-set export only."""


class ReadingEventKind(StrEnum):
    """What happened to a reading after it was begun."""

    WORKED = "worked"
    """The reader was at it; the row says for how long."""
    COMPLETED = "completed"
    """The reader said that every lesion is marked."""
    REOPENED = "reopened"
    """The reader took that back."""
    AIDS_SHOWN = "aids shown"
    """The reader asked for what the model found: the reading is not blind any more."""


class UtcDateTime(TypeDecorator[datetime]):
    """A time with time zone, stored as UTC also where the database knows none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: D102
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: D102
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _stored(kind: type[StrEnum]) -> Enum:
    """Store the value of an enum as text, so that a new member needs no migration."""
    return Enum(kind, native_enum=False, create_constraint=False, length=40, values_callable=_values)


def _values(kind: type[StrEnum]) -> list[str]:
    return [member.value for member in kind]


class Base(DeclarativeBase):
    """Base of all tables; constraint names follow one rule so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  read by SQLAlchemy as a class attribute
        datetime: UtcDateTime(),
        date: Date(),
        float: Double(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
        Split: _stored(Split),
        Scope: _stored(Scope),
        AnnotationOrigin: _stored(AnnotationOrigin),
        AnnotationRole: _stored(AnnotationRole),
        CandidateKind: _stored(CandidateKind),
        Verdict: _stored(Verdict),
        ReasonCode: _stored(ReasonCode),
        LabelSet: _stored(LabelSet),
        ReadingEventKind: _stored(ReadingEventKind),
    }


class BoxColumns:
    """Columns of one 3D box with its cross-sections."""

    x1: Mapped[float]
    y1: Mapped[float]
    z1: Mapped[float]
    x2: Mapped[float]
    y2: Mapped[float]
    z2: Mapped[float]
    slices: Mapped[list[Any]]

    @property
    def box(self) -> Box3D:
        """The six edges."""
        return (self.x1, self.y1, self.z1, self.x2, self.y2, self.z2)

    @property
    def slice_boxes(self) -> tuple[SliceBox, ...]:
        """The cross-sections."""
        return tuple(SliceBox(int(index), (x1, y1, x2, y2), score) for index, x1, y1, x2, y2, score in self.slices)


def box_values(box: Box3D, slices: Sequence[SliceBox]) -> dict[str, Any]:
    """Return the values of `BoxColumns`."""
    names = ("x1", "y1", "z1", "x2", "y2", "z2")
    rows = [[int(item.slice_index), *(float(edge) for edge in item.box), float(item.score)] for item in slices]
    return {**{name: float(edge) for name, edge in zip(names, box, strict=True)}, "slices": rows}


class ProjectIdentityRow(Base):
    """Which project the database belongs to: one row, never changed."""

    __tablename__ = "project_identity"

    id: Mapped[int] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(String(36))


class ProjectPlaceRow(Base):
    """In which folder the project lies, where the database is not in it: at most one row.

    Attributes
    ----------
    host, folder
        A computer, and the name of the folder there.
    file_number
        Of a small file in the folder, on its disk.
    """

    __tablename__ = "project_place"

    id: Mapped[int] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    folder: Mapped[str] = mapped_column(Text)
    file_number: Mapped[str] = mapped_column(String(40))


class RootRow(Base):
    """A folder that series paths are relative to; every machine may map it elsewhere."""

    __tablename__ = "roots"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    path: Mapped[str] = mapped_column(Text)


class DatasetRow(Base):
    """A data set with its label scope; it has one expert of the same name."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    scope: Mapped[Scope]
    lesion_type: Mapped[str | None] = mapped_column(String(200))


class PatientRow(Base):
    """A patient: salted hash of the identifier, pseudonymous number, and the split for ever."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    number: Mapped[int] = mapped_column(unique=True)
    split: Mapped[Split]
    created_at: Mapped[datetime]


class StudyRow(Base):
    """One examination."""

    __tablename__ = "studies"
    __table_args__ = (UniqueConstraint("patient_id", "key_hash"), UniqueConstraint("patient_id", "number"))

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    key_hash: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]
    study_date: Mapped[date | None]


class SeriesRow(Base):
    """One CT series or sub-volume; geometry and source are empty while only an annotation file speaks of it."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), index=True)
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    number: Mapped[int]
    name: Mapped[str] = mapped_column(String(200), unique=True)
    is_named_by_source: Mapped[bool]
    description: Mapped[str] = mapped_column(Text, default="")
    geometry: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    source_format: Mapped[str | None] = mapped_column(String(40))
    root_id: Mapped[int | None] = mapped_column(ForeignKey("roots.id"))
    paths: Mapped[list[Any]] = mapped_column(default=list)
    series_uid: Mapped[str | None] = mapped_column(String(128), index=True)
    frame_hash: Mapped[str | None] = mapped_column(String(64))
    """Equal for series in the same coordinates."""
    test_set_part: Mapped[str | None] = mapped_column(String(40))
    is_complete: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class ReaderRow(Base):
    """A person who decides, under the name they chose."""

    __tablename__ = "readers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)


class AnnotationRow(BoxColumns, Base):
    """Ground truth, original or drawn; `digest` makes a second import of the same file a no-op."""

    __tablename__ = "annotations"
    __table_args__ = (UniqueConstraint("series_id", "digest"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    digest: Mapped[str] = mapped_column(String(64))
    role: Mapped[AnnotationRole]
    origin: Mapped[AnnotationOrigin]
    key_slice: Mapped[int | None]
    lesion_type: Mapped[str | None] = mapped_column(String(200))
    lesion_key: Mapped[str | None] = mapped_column(String(200))
    is_noisy: Mapped[bool]
    source_file: Mapped[str] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(default=1)
    reader_id: Mapped[int | None] = mapped_column(ForeignKey("readers.id"))
    created_at: Mapped[datetime]


class DetectionRow(Base):
    """The file that holds what one model version says about one series."""

    __tablename__ = "detections"
    __table_args__ = (UniqueConstraint("series_id", "model_version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    model_version: Mapped[str] = mapped_column(String(40))
    path: Mapped[str] = mapped_column(Text)
    box_counts: Mapped[dict[str, Any]]
    finding_count: Mapped[int]
    created_at: Mapped[datetime]


class MiningRunRow(Base):
    """One run of the mining rules; its candidates stay for the audit trail."""

    __tablename__ = "mining_runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_version: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime]
    whole_at: Mapped[datetime | None]
    """When its last candidate was stored; None until then, for nobody is asked about a part of a run."""


class CandidateRow(BoxColumns, Base):
    """A finding that a run put before the readers, with every reason."""

    __tablename__ = "candidates"

    id: Mapped[int] = mapped_column(primary_key=True)
    mining_run_id: Mapped[int] = mapped_column(ForeignKey("mining_runs.id"), index=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    kind: Mapped[CandidateKind]
    priority: Mapped[float]
    expert: Mapped[str] = mapped_column(String(200))
    score: Mapped[float]
    expert_scores: Mapped[dict[str, Any]]
    reasons: Mapped[list[Any]]


class ReadingRow(Base):
    """One reader annotates one series completely, in one round; what becomes of it are `ReadingEventRow`s."""

    __tablename__ = "readings"
    __table_args__ = (UniqueConstraint("series_id", "reader_id", "round"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    reader_id: Mapped[int] = mapped_column(ForeignKey("readers.id"))
    round: Mapped[int]
    started_at: Mapped[datetime]


class ReadingEventRow(Base):
    """What happened to a reading; triggers of the database refuse every change and deletion."""

    __tablename__ = "reading_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    reading_id: Mapped[int] = mapped_column(ForeignKey("readings.id"), index=True)
    kind: Mapped[ReadingEventKind]
    seconds: Mapped[float]
    happened_at: Mapped[datetime]


class DecisionRow(BoxColumns, Base):
    """What one reader said about one place; triggers of the database refuse every change and deletion."""

    __tablename__ = "decisions"
    __table_args__ = (
        Index("ix_decisions_series_id_id", "series_id", "id"),
        Index("ix_decisions_reader_id_id", "reader_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    candidate_id: Mapped[int | None] = mapped_column(ForeignKey("candidates.id"), index=True)
    previous_id: Mapped[int | None] = mapped_column(ForeignKey("decisions.id"))
    reader_id: Mapped[int] = mapped_column(ForeignKey("readers.id"))
    verdict: Mapped[Verdict]
    reason_code: Mapped[ReasonCode | None]
    round: Mapped[int]
    scores_hidden: Mapped[bool]
    decided_at: Mapped[datetime]
    lesion_type: Mapped[str | None] = mapped_column(String(200))
    comment: Mapped[str] = mapped_column(Text, default="", server_default="")
    axes: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    along_id: Mapped[int | None] = mapped_column(ForeignKey("decisions.id"))
    reading_id: Mapped[int | None] = mapped_column(ForeignKey("readings.id"), index=True)
    chain_hash: Mapped[str] = mapped_column(String(64), server_default="")
    """What `audit.chain` makes of the row and of the same reader's row before it."""


class SnapshotRow(Base):
    """A frozen set of labels; the file `snapshots/<id>.json` holds it."""

    __tablename__ = "snapshots"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    label_set: Mapped[LabelSet]
    path: Mapped[str] = mapped_column(Text)
    counts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class ModelRow(Base):
    """One model version; its folder holds weights and card."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(String(40), unique=True)
    path: Mapped[str] = mapped_column(Text)
    parent: Mapped[str | None] = mapped_column(ForeignKey("models.version"))
    snapshot_id: Mapped[str | None] = mapped_column(ForeignKey("snapshots.id"))
    created_at: Mapped[datetime]


class PromotionRow(Base):
    """A model version became the one in use; the latest row counts, so rolling back is a new row."""

    __tablename__ = "promotions"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("models.version"))
    promoted_at: Mapped[datetime]


class EvaluationRow(Base):
    """One measurement of one model version."""

    __tablename__ = "evaluations"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(ForeignKey("models.version"), index=True)
    result: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class WorkerRow(Base):
    """The heartbeat of one worker process."""

    __tablename__ = "workers"

    worker_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(String(200))
    started_at: Mapped[datetime]
    last_seen: Mapped[datetime]
    current_job: Mapped[str | None] = mapped_column(String(200))
