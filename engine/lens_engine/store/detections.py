"""What model versions say about series: one Parquet file each (`io.detections_file`), and a row that points to it.

A file is written under a temporary name, flushed, renamed, and only then known to the database.
"""

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from lens_engine.errors import StoreError
from lens_engine.findings import Finding
from lens_engine.io import detections_file
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.database import Database, in_portions
from lens_engine.store.schema import DetectionRow

_SAFE_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LATE_ROWS = 100
"""PostgreSQL numbers a row when it is written and shows it when that is committed: so many before the newest one may
come to light after it."""


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of one project."""

    database: Database

    def write(self, series_id: int, model_version: str, detections: SeriesDetections) -> None:
        """Store what a model says about a series, instead of what the same model said before.

        Several processes may do so at the same time; the last one stays. What a killed one has left is swept later.

        Raises
        ------
        StoreError
            If the file cannot be written; what was stored before is still there.
        ProjectError
            If the folder of the project is away.
        """
        self.database.project.refuse_if_away()
        path = self._path(series_id, model_version)
        _write(path, detections)
        values = {
            "path": path.relative_to(self.database.project.folder).as_posix(),
            "box_counts": _box_counts(detections.proposals),
            "finding_count": len(detections.findings),
            "created_at": datetime.now(UTC),
        }
        with self.database.session() as session:
            insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
            row = insert(DetectionRow).values(series_id=series_id, model_version=model_version, **values)
            session.execute(row.on_conflict_do_update(index_elements=["series_id", "model_version"], set_=values))

    def exists(self, series_id: int, model_version: str) -> bool:
        """Return whether this model has been run on this series and its file is there."""
        with self.database.reading() as session:
            row = session.scalar(_row_query(series_id, model_version))
            return row is not None and (self.database.project.folder / row.path).is_file()

    def series_of(self, model_version: str) -> frozenset[int]:
        """Return every series for which `exists` is true."""
        with self.database.reading() as session:
            rows = session.execute(_paths_query(model_version)).all()
        return self._with_files(rows)

    def series_among(self, series_ids: Sequence[int], model_version: str) -> frozenset[int]:
        """Return those of some series for which `exists` is true."""
        query = _paths_query(model_version)
        with self.database.reading() as session:
            rows = [
                row
                for some in in_portions(series_ids)
                for row in session.execute(query.where(DetectionRow.series_id.in_(some)))
            ]
        return self._with_files(rows)

    def newest_row(self) -> int:
        """Return the number of the row that was added last, of any version, for `series_since`; 0 before the first."""
        with self.database.reading() as session:
            return session.scalar(select(func.max(DetectionRow.id))) or 0

    def series_since(self, row: int, model_version: str) -> Mapping[int, int]:
        """Return the series that this model was run on for the first time behind a row, by number of row.

        A few rows before it are there again. What others store is seen so at a cost that does not grow with the
        archive.
        """
        query = select(DetectionRow.id, DetectionRow.series_id).where(
            DetectionRow.id > row - _LATE_ROWS, DetectionRow.model_version == model_version
        )
        with self.database.reading() as session:
            return {found.id: found.series_id for found in session.execute(query)}

    def read(self, series_id: int, model_version: str) -> SeriesDetections:
        """Return what `write` stored, equal to the bit.

        Raises
        ------
        StoreError
            If there is nothing, or the file is missing or damaged.
        """
        path = self._known_path(series_id, model_version)
        try:
            return detections_file.read_detections(path)
        except detections_file.FAILURES as error:
            raise _damaged(path) from error

    def read_findings(self, series_id: int, model_version: str) -> tuple[Finding, ...]:
        """Return the 3D findings alone, without reading any 2D box.

        Raises
        ------
        StoreError
            If there is nothing, or the file is missing or damaged.
        """
        path = self._known_path(series_id, model_version)
        try:
            return detections_file.read_findings(path)
        except detections_file.FAILURES as error:
            raise _damaged(path) from error

    def counts(self, model_version: str) -> dict[str, int]:
        """Return the number of 2D boxes of every expert over all series."""
        total: Counter[str] = Counter()
        with self.database.reading() as session:
            for counts in session.scalars(
                select(DetectionRow.box_counts)
                .where(DetectionRow.model_version == model_version)
                .order_by(DetectionRow.series_id)
            ):
                total.update(counts)
        return dict(total)

    def series_ids(self, model_version: str) -> tuple[int, ...]:
        """Return the series that this model has been run on."""
        with self.database.reading() as session:
            query = select(DetectionRow.series_id).where(DetectionRow.model_version == model_version)
            return tuple(session.scalars(query.order_by(DetectionRow.series_id)))

    def sweep_orphans(self, older_than_seconds: float = 3600.0) -> int:
        """Remove files that no row points to, whole or half written; return how many.

        Younger files are left alone: a worker may be writing them, or be about to write their row. Rows stay in any
        case: their files may lie on a share that is not mounted now, and a series whose file is gone for good is
        detected again.
        """
        project = self.database.project
        with self.database.reading() as session:
            known = frozenset(session.scalars(select(DetectionRow.path)))
        swept = 0
        limit = time.time() - older_than_seconds
        for path in project.detections_folder.glob("*/*"):
            is_known = path.relative_to(project.folder).as_posix() in known
            if path.is_file() and not is_known and path.stat().st_mtime <= limit:
                path.unlink(missing_ok=True)
                swept += 1
        return swept

    def _with_files(self, rows: Sequence[Any]) -> frozenset[int]:
        return frozenset(row.series_id for row in rows if (self.database.project.folder / row.path).is_file())

    def _path(self, series_id: int, model_version: str) -> Path:
        if not _SAFE_VERSION.fullmatch(model_version):
            raise StoreError(
                f"{model_version!r} is no model version", "Letters, digits, '.', '_' and '-'", "Choose another name"
            )
        return self.database.project.detections_folder / model_version / f"{series_id}.parquet"

    def _known_path(self, series_id: int, model_version: str) -> Path:
        with self.database.reading() as session:
            row = session.scalar(_row_query(series_id, model_version))
            if row is None:
                raise StoreError(
                    f"Model {model_version} has not been run on series {series_id}", "Detections", "Run: lens detect"
                )
            return self.database.project.folder / str(row.path)


def _paths_query(model_version: str) -> Any:
    return select(DetectionRow.series_id, DetectionRow.path).where(DetectionRow.model_version == model_version)


def _row_query(series_id: int, model_version: str) -> Any:
    return select(DetectionRow).where(DetectionRow.series_id == series_id, DetectionRow.model_version == model_version)


def _write(path: Path, detections: SeriesDetections) -> None:
    try:
        detections_file.write_detections(path, detections)
    except detections_file.FAILURES as error:
        raise StoreError(
            f"{path.name} cannot be written ({error})",
            "A disk with free space and write access",
            "Free space on the disk of the project; what was stored before is unchanged",
        ) from error


def _box_counts(proposals: Proposals) -> dict[str, int]:
    counts = np.bincount(np.asarray(proposals.expert_index, dtype=np.int64), minlength=len(proposals.experts))
    return {name: int(count) for name, count in zip(proposals.experts, counts, strict=True)}


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"The detections {path.parent.name}/{path.name} are missing or damaged",
        "A Parquet file as 'lens detect' writes it",
        f"Detect again with: lens detect --model {path.parent.name}",
    )
