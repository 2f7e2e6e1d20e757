"""Whether a project is intact: its database, and every file that a row of it names."""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select, text

from lens_engine.errors import LensError, StoreError
from lens_engine.io.atomic_files import is_part
from lens_engine.model_folder import read_model
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models, weights_digest
from lens_engine.store.schema import DetectionRow

OLD_SECONDS = 3600.0
"""An unfinished file that nobody has touched for so long was left by a process that is gone."""
_MOST_NAMED = 3
_RESTORE = "Restore the project from a backup: lens restore FILE DIR"


def damages(database: Database) -> Iterator[LensError]:
    """Yield everything that is damaged, each with what to do about it; whole files of weights are read."""
    try:
        if database.engine.dialect.name == "sqlite":
            yield from _damages_of_sqlite(database)
    except StoreError as error:  # so damaged that the question itself is refused
        yield error
        return
    yield from _damages_of_detections(database)
    yield from _damages_of_models(database)
    yield from _damages_of_snapshots(database)


def left_overs(project: Project, older_than_seconds: float = OLD_SECONDS) -> tuple[Path, ...]:
    """Return the unfinished files and folders that killed processes left in a project; they may be deleted."""
    limit = time.time() - older_than_seconds
    found = [path for path in project.folder.rglob(".*.part") if path.stat().st_mtime <= limit]
    return tuple(path for path in sorted(found) if not is_part(path.parent.relative_to(project.folder)))


def _damages_of_sqlite(database: Database) -> Iterator[StoreError]:
    file = database.engine.url.database
    with database.reading() as session:
        said = list(session.scalars(text("PRAGMA integrity_check")))
        dangling = sorted({row[0] for row in session.execute(text("PRAGMA foreign_key_check"))})
    if said != ["ok"]:
        yield StoreError(f"The database {file} is damaged ({said[0]})", "An intact SQLite file", _RESTORE)
    if dangling:
        yield StoreError(
            f"Rows of the database {file} refer to rows that are gone, in {', '.join(dangling)}",
            "Rows are only removed by LENS-napari, which keeps them whole",
            _RESTORE,
        )


def _damages_of_detections(database: Database) -> Iterator[StoreError]:
    folder = database.project.folder
    query = select(DetectionRow.model_version, DetectionRow.path).order_by(DetectionRow.id)
    with database.reading() as session:
        rows = session.execute(query).all()
    lost: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if not _can_be_opened(folder / row.path):
            lost[row.model_version].append(row.path)
    for version, paths in lost.items():
        yield StoreError(
            f"{len(paths)} of the detections of {version} are missing or damaged ({_some(paths)})",
            f"The folder {database.project.detections_folder} with the files as 'lens detect' writes them",
            f"If it lies on a share, mount that; if the files are lost: lens detect --model {version}",
        )


def _can_be_opened(path: Path) -> bool:
    try:
        pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _damages_of_models(database: Database) -> Iterator[LensError]:
    models = Models(database)
    yield from models.damaged()
    for record in models.all():
        try:
            for checkpoint in read_model(record.folder).checkpoints:
                weights_digest(checkpoint)
        except LensError as error:
            yield StoreError(
                f"Model version {record.version} is damaged: {error.happened}",
                error.expected,
                "Put its folder back from a backup, or use another version: lens models --promote VERSION",
            )


def _damages_of_snapshots(database: Database) -> Iterator[LensError]:
    snapshots = Snapshots(database)
    for record in snapshots.all():
        try:
            snapshots.read(record.id)
        except LensError as error:
            yield error


def _some(paths: list[str]) -> str:
    named = ", ".join(paths[:_MOST_NAMED])
    return named if len(paths) <= _MOST_NAMED else f"{named}, …"
