"""Model versions of a project: their folders, their lineage, which one is in use, and how well they were measured.

A version's folder is complete before its row exists, and is never changed afterwards. Promoting and rolling back append
a row; the latest one counts. One process at a time registers: both kinds of databases see to that.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lens_engine.checkpoint_card import CARD_NAME, WEIGHTS_NAME, DetectionPrecision, demo_checkpoint_folder
from lens_engine.errors import CheckpointError, StoreError
from lens_engine.io.atomic_files import flush_folder, name_folder, unnamed_folder
from lens_engine.model_folder import (
    REDUCTION_NAME,
    Checkpoint,
    ModelFolder,
    check_parts,
    in_precision,
    read_model,
    renamed,
)
from lens_engine.store.database import Database, wait_for_other_writers
from lens_engine.store.schema import EvaluationRow, ModelRow, PromotionRow, SnapshotRow

_Lineage = tuple[str | None, str | None]
"""Parent and snapshot of a version."""
_ANY_LINEAGE: _Lineage = (None, None)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One model version.

    Attributes
    ----------
    folder
        Holds `weights.safetensors` and `card.json` of the detector.
    reduction
        Folder with those of its false-positive reduction; None for a detector whose scores are final.
    parent
        The version that the training started from, or of which this one is another precision.
    precision
        What it looks with.
    is_demo
        Whether one of its networks has never seen a patient; `notice` says so wherever it speaks.
    """

    version: str
    folder: Path
    reduction: Path | None
    parent: str | None
    snapshot_id: str | None
    is_promoted: bool
    is_demo: bool
    notice: str
    created_at: datetime
    experts: tuple[str, ...]
    precision: DetectionPrecision

    @property
    def not_inherited(self) -> str:
        """What a version that is trained from this one goes without, as a sentence; empty for nothing."""
        if self.reduction is None:
            return ""
        return (
            f"The false-positive reduction of {self.version} has learned from what {self.version} finds: the new "
            "version has none"
        )


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One measurement of a version; `result` is the JSON that was stored."""

    id: int
    version: str
    result: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Models:
    """The model versions of one project."""

    database: Database

    def register(
        self,
        folder_with_card: Path,
        parent: str | None = None,
        snapshot_id: str | None = None,
        reduction: Path | None = None,
        names: Sequence[tuple[str, str]] = (),
    ) -> ModelRecord:
        """Copy a model into the project as its next version; the same model again gives the version it has.

        Parameters
        ----------
        parent, snapshot_id
            Where the model comes from. The same weights from elsewhere are another version; where neither is given, the
            version that has them is found whatever its lineage is.
        reduction
            Folder of a false-positive reduction to take instead of the one in `folder_with_card`, if any.
        names
            Experts that are called otherwise in the project, see `lens_engine.model_folder.renamed`.

        Raises
        ------
        CheckpointError
            If a folder holds no checkpoint, its weights do not fit the card, the networks do not fit each other, or an
            expert cannot be renamed.
        StoreError
            If the copy cannot be written, or the parent or the snapshot is unknown; the project is as it was.
        """
        model = read_model(folder_with_card, reduction)
        check_parts(model)
        return self._registered(renamed(model, names), (parent, snapshot_id), (parent, snapshot_id))

    def in_precision(self, version: str, precision: DetectionPrecision) -> ModelRecord:
        """Return the version that is this one in that precision: itself, one that there is, or a new one.

        What bf16 finds is not what fp32 finds. As versions of their own neither passes for the other.

        Raises
        ------
        CheckpointError
            If its weights are not those of its card.
        StoreError
            If there is no such version, or the copy cannot be written.
        """
        record = self.get(version)
        if record.precision is precision:
            return record
        model = in_precision(read_model(record.folder), precision)
        return self._registered(model, (record.version, record.snapshot_id), _ANY_LINEAGE)

    def _registered(self, model: ModelFolder, lineage: _Lineage, kin: _Lineage) -> ModelRecord:
        """Copy a model into the project, unless a version of the lineage `kin` is the same."""
        self.database.project.refuse_if_away()
        parent, snapshot_id = lineage
        digests = _digests(model)
        models_folder = self.database.project.models_folder
        try:
            with _copied(model, models_folder) as copied, self.database.session() as session:
                wait_for_other_writers(session, ModelRow)
                if parent is not None:
                    _row(session, parent)
                if snapshot_id is not None and session.get(SnapshotRow, snapshot_id) is None:
                    raise StoreError(
                        f"There is no snapshot {snapshot_id!r}", "A snapshot of this project", "Freeze one"
                    )
                known = self._same(session, model, digests, kin)
                if known is not None:
                    return self._record(known, _promoted(session))
                version = f"v{(session.scalar(select(func.max(ModelRow.id))) or 0) + 1}"
                folder = models_folder / version
                row = ModelRow(
                    version=version,
                    path=folder.relative_to(self.database.project.folder).as_posix(),
                    parent=parent,
                    snapshot_id=snapshot_id,
                    created_at=datetime.now(UTC),
                )
                session.add(row)
                session.flush()  # the version is ours from here on
                shutil.rmtree(folder, ignore_errors=True)  # left by a process that died before its row
                name_folder(copied, folder)
                return self._record(row, _promoted(session))
        except OSError as error:
            raise StoreError(
                f"The model cannot be copied into the project ({error.strerror})",
                "A disk with free space and write access",
                "Free space on the disk of the project",
            ) from error

    def promote(self, version: str) -> ModelRecord:
        """Use this version from now on; naming an older one rolls back.

        Raises
        ------
        StoreError
            If there is no such version.
        """
        with self.database.session() as session:
            row = _row(session, version)
            if _promoted(session) != version:
                session.add(PromotionRow(version=version, promoted_at=datetime.now(UTC)))
            return self._record(row, version)

    def roll_back(self) -> ModelRecord:
        """Use the version that was in use before the present one.

        Raises
        ------
        StoreError
            If there was none.
        """
        with self.database.reading() as session:
            history = list(session.scalars(select(PromotionRow.version).order_by(PromotionRow.id.desc())))
        before = next((version for version in history if version != history[0]), None)
        if before is None:
            raise StoreError("No other version was in use before", "An earlier promotion", "See: lens models")
        return self.promote(before)

    def promoted(self) -> ModelRecord:
        """Return the version in use.

        Raises
        ------
        StoreError
            If none was promoted yet, or its folder is damaged.
        """
        found = self.find_promoted()
        if found is None:
            raise StoreError("No model is in use", "A promoted version", "Run: lens models --promote VERSION")
        return found

    def find_promoted(self) -> ModelRecord | None:
        """Return the version in use; None where none was promoted yet.

        Raises
        ------
        StoreError
            If its folder is damaged.
        """
        with self.database.reading() as session:
            version = _promoted(session)
            return None if version is None else self._record(_row(session, version), version)

    def get(self, version: str) -> ModelRecord:
        """Return one version.

        Raises
        ------
        StoreError
            If there is no such version, or its folder is damaged.
        """
        with self.database.reading() as session:
            return self._record(_row(session, version), _promoted(session))

    def all(self) -> tuple[ModelRecord, ...]:
        """Return all versions with a whole folder, oldest first; `damaged` has the others."""
        return tuple(found for found in self._read_all() if isinstance(found, ModelRecord))

    def damaged(self) -> tuple[StoreError, ...]:
        """Return why each of the other versions cannot be used, oldest first."""
        return tuple(found for found in self._read_all() if isinstance(found, StoreError))

    def add_evaluation(self, version: str, result: Mapping[str, Any]) -> EvaluationRecord:
        """Store one measurement of a version; the same one again is the one that is stored.

        A step that was killed behind its last write may so be done again.

        Raises
        ------
        StoreError
            If there is no such version.
        """
        with self.database.session() as session:
            _row(session, version)
            of_version = select(EvaluationRow).where(EvaluationRow.version == version)
            row = session.scalar(of_version.order_by(EvaluationRow.id.desc()).limit(1))
            if row is None or row.result != dict(result):
                row = EvaluationRow(version=version, result=dict(result), created_at=datetime.now(UTC))
                session.add(row)
                session.flush()
            return EvaluationRecord(row.id, version, dict(result), row.created_at)

    def evaluations(self, version: str) -> tuple[EvaluationRecord, ...]:
        """Return the measurements of a version, oldest first."""
        with self.database.reading() as session:
            query = select(EvaluationRow).where(EvaluationRow.version == version).order_by(EvaluationRow.id)
            return tuple(
                EvaluationRecord(row.id, row.version, dict(row.result), row.created_at)
                for row in session.scalars(query)
            )

    def _same(
        self, session: Session, model: ModelFolder, digests: tuple[str, ...], lineage: _Lineage
    ) -> ModelRow | None:
        """Return the version that an interrupted caller, or one that knows no lineage, has registered already."""
        for row in session.scalars(select(ModelRow).order_by(ModelRow.id)):
            is_kin = lineage in {_ANY_LINEAGE, (row.parent, row.snapshot_id)}
            if is_kin and _holds(self._folder(row), model, digests):
                return row
        return None

    def _read_all(self) -> Iterator[ModelRecord | StoreError]:
        with self.database.reading() as session:
            promoted = _promoted(session)
            for row in session.scalars(select(ModelRow).order_by(ModelRow.id)):
                try:
                    yield self._record(row, promoted)
                except StoreError as error:
                    yield error

    def _folder(self, row: ModelRow) -> Path:
        return self.database.project.folder / row.path

    def _record(self, row: ModelRow, promoted: str | None) -> ModelRecord:
        try:
            model = read_model(self._folder(row))
        except CheckpointError as error:
            raise StoreError(
                f"Model version {row.version} cannot be used: {error.happened}",
                error.expected,
                "Put its folder back from a backup, or use another version: lens models --promote VERSION",
            ) from error
        return ModelRecord(
            version=row.version,
            folder=model.detector.folder,
            reduction=None if model.reduction is None else model.reduction.folder,
            parent=row.parent,
            snapshot_id=row.snapshot_id,
            is_promoted=row.version == promoted,
            is_demo=model.is_demo,
            notice=model.notice,
            created_at=row.created_at,
            experts=model.detector.card.experts,
            precision=model.detector.card.inference_precision,
        )


def register_demo_model(database: Database) -> ModelRecord:
    """Make the model that ships with the package the first version of a project; twice is as good as once.

    Raises
    ------
    CheckpointError
        If the installation lacks it.
    """
    models = Models(database)
    record = models.register(demo_checkpoint_folder())
    if models.find_promoted() is None:
        record = models.promote(record.version)
    return record


def _row(session: Session, version: str) -> ModelRow:
    row = session.scalar(select(ModelRow).where(ModelRow.version == version))
    if row is None:
        known = ", ".join(session.scalars(select(ModelRow.version).order_by(ModelRow.id))) or "none yet"
        raise StoreError(f"There is no model version {version!r}", f"One of: {known}", "List them with: lens models")
    return row


def _promoted(session: Session) -> str | None:
    return session.scalar(select(PromotionRow.version).order_by(PromotionRow.id.desc()).limit(1))


def _holds(folder: Path, model: ModelFolder, digests: tuple[str, ...]) -> bool:
    """Return whether a version's folder is whole, and has these cards and weights."""
    try:
        stored = read_model(folder)
        return stored.cards == model.cards and _digests(stored) == digests
    except CheckpointError:
        return False


def _digests(model: ModelFolder) -> tuple[str, ...]:
    """Return the digests of the weights of all networks, which must be what their cards say."""
    return tuple(weights_digest(checkpoint) for checkpoint in model.checkpoints)


def weights_digest(checkpoint: Checkpoint) -> str:
    """Return the digest of the weights of a network.

    Raises
    ------
    CheckpointError
        If they cannot be read, or are not those of the card.
    """
    folder, card = checkpoint.folder, checkpoint.card
    try:
        with (folder / WEIGHTS_NAME).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"The weights {folder / WEIGHTS_NAME} cannot be read ({error.strerror})",
            f"A checkpoint folder with {WEIGHTS_NAME} and {CARD_NAME} is needed",
            "Choose another",
        ) from error
    if card.weights_digest and digest != card.weights_digest:
        raise CheckpointError(
            f"The weights {folder / WEIGHTS_NAME} have the digest {digest[:12]}",
            f"The card says {card.weights_digest[:12]}",
            "Copy both files of the checkpoint again",
        )
    return digest


@contextmanager
def _copied(model: ModelFolder, models_folder: Path) -> Iterator[Path]:
    """Yield a copy of a model that waits for its name, already on the disk."""
    with unnamed_folder(models_folder) as copy:
        _copy_files(model.detector, copy)
        if model.reduction is not None:
            _copy_files(model.reduction, copy / REDUCTION_NAME)
        flush_folder(copy)
        yield copy


def _copy_files(checkpoint: Checkpoint, target: Path) -> None:
    target.mkdir(exist_ok=True)
    shutil.copyfile(checkpoint.folder / WEIGHTS_NAME, target / WEIGHTS_NAME)
    (target / CARD_NAME).write_text(checkpoint.card.model_dump_json(indent=1) + "\n", encoding="utf-8")
