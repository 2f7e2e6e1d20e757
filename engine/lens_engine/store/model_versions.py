"""Model versions of a project: their folders, their lineage, which one is in use, and how well they were measured.

A version's folder is complete before its row exists, and is never changed afterwards. Promoting and rolling back append
a row; the latest one counts.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lens_engine.checkpoint_card import CARD_NAME, WEIGHTS_NAME, demo_checkpoint_folder
from lens_engine.errors import CheckpointError, StoreError
from lens_engine.io.atomic_files import flush_folder, name_folder, unnamed_folder
from lens_engine.model_folder import REDUCTION_NAME, Checkpoint, ModelFolder, check_parts, read_model
from lens_engine.store.database import Database
from lens_engine.store.schema import EvaluationRow, ModelRow, PromotionRow, SnapshotRow


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
        The version that the training started from.
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
    ) -> ModelRecord:
        """Copy a model into the project as its next version; the same model again gives the version it has.

        Parameters
        ----------
        reduction
            Folder of a false-positive reduction to take instead of the one in `folder_with_card`, if any.

        Raises
        ------
        CheckpointError
            If a folder holds no checkpoint, its weights do not fit the card, or the networks do not fit each other.
        StoreError
            If the copy cannot be written, or the parent or the snapshot is unknown; the project is as it was.
        """
        model = read_model(folder_with_card, reduction)
        check_parts(model)
        for checkpoint in model.checkpoints:
            _check_weights(checkpoint)
        models_folder = self.database.project.models_folder
        try:
            with _copied(model, models_folder) as copied, self.database.session() as session:
                if parent is not None:
                    _row(session, parent)
                if snapshot_id is not None and session.get(SnapshotRow, snapshot_id) is None:
                    raise StoreError(
                        f"There is no snapshot {snapshot_id!r}", "A snapshot of this project", "Freeze one"
                    )
                known = self._same(session, model, parent, snapshot_id)
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
            If none was promoted yet.
        """
        with self.database.reading() as session:
            version = _promoted(session)
            if version is None:
                raise StoreError("No model is in use", "A promoted version", "Run: lens models --promote VERSION")
            return self._record(_row(session, version), version)

    def get(self, version: str) -> ModelRecord:
        """Return one version.

        Raises
        ------
        StoreError
            If there is no such version.
        """
        with self.database.reading() as session:
            return self._record(_row(session, version), _promoted(session))

    def all(self) -> tuple[ModelRecord, ...]:
        """Return all versions, oldest first."""
        with self.database.reading() as session:
            promoted = _promoted(session)
            return tuple(self._record(row, promoted) for row in session.scalars(select(ModelRow).order_by(ModelRow.id)))

    def add_evaluation(self, version: str, result: Mapping[str, Any]) -> EvaluationRecord:
        """Store one measurement of a version.

        Raises
        ------
        StoreError
            If there is no such version.
        """
        with self.database.session() as session:
            _row(session, version)
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
        self, session: Session, model: ModelFolder, parent: str | None, snapshot_id: str | None
    ) -> ModelRow | None:
        """Return the version that an interrupted caller has registered already."""
        for row in session.scalars(select(ModelRow).order_by(ModelRow.id)):
            is_kin = (row.parent, row.snapshot_id) == (parent, snapshot_id)
            if is_kin and read_model(self._folder(row)).cards == model.cards:
                return row
        return None

    def _folder(self, row: ModelRow) -> Path:
        return self.database.project.folder / row.path

    def _record(self, row: ModelRow, promoted: str | None) -> ModelRecord:
        model = read_model(self._folder(row))
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
    if not any(other.is_promoted for other in models.all()):
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


def _check_weights(checkpoint: Checkpoint) -> None:
    folder, card = checkpoint.folder, checkpoint.card
    try:
        digest = hashlib.sha256((folder / WEIGHTS_NAME).read_bytes()).hexdigest()
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
    for name in (WEIGHTS_NAME, CARD_NAME):
        shutil.copyfile(checkpoint.folder / name, target / name)
