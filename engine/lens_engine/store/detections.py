"""What model versions say about series: one Parquet file each, and a row that points to it.

Columns of a file: `expert` (int16 index), `grid_index` (int32), `x1 y1 x2 y2 score` (float32) and `embedding`
(list of float32, null but for fused boxes), one row per 2D box in the order of `Proposals`. The file's metadata holds
the experts, the spacings and the 3D findings as JSON. A file is written under a temporary name, flushed, renamed, and
only then known to the database.
"""

import json
import re
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import delete, select

from lens_engine.errors import StoreError
from lens_engine.findings import Finding, SliceBox
from lens_engine.io.atomic_files import replacement_of
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.database import Database
from lens_engine.store.schema import DetectionRow

FORMAT_VERSION = 2
_READABLE_FORMATS = (1, FORMAT_VERSION)
"""Format 1 has an embedding in every row, all zero but for fused boxes."""
_METADATA = b"lens"
_BOX_COLUMNS = ("x1", "y1", "x2", "y2")
_SAFE_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of one project."""

    database: Database

    def write(self, series_id: int, model_version: str, detections: SeriesDetections) -> None:
        """Store what a model says about a series, instead of what the same model said before.

        Raises
        ------
        StoreError
            If the file cannot be written; what was stored before is still there.
        """
        path = self._path(series_id, model_version)
        _write_file(path, _table(detections))
        values = {
            "path": path.relative_to(self.database.project.folder).as_posix(),
            "box_counts": _box_counts(detections.proposals),
            "finding_count": len(detections.findings),
            "created_at": datetime.now(UTC),
        }
        with self.database.session() as session:
            row = session.scalar(_row_query(series_id, model_version))
            if row is None:
                session.add(DetectionRow(series_id=series_id, model_version=model_version, **values))
            else:
                for name, value in values.items():
                    setattr(row, name, value)

    def exists(self, series_id: int, model_version: str) -> bool:
        """Return whether this model has been run on this series and its file is there."""
        with self.database.reading() as session:
            row = session.scalar(_row_query(series_id, model_version))
            return row is not None and (self.database.project.folder / row.path).is_file()

    def series_of(self, model_version: str) -> frozenset[int]:
        """Return every series for which `exists` is true."""
        query = select(DetectionRow.series_id, DetectionRow.path).where(DetectionRow.model_version == model_version)
        with self.database.reading() as session:
            rows = session.execute(query).all()
        return frozenset(row.series_id for row in rows if (self.database.project.folder / row.path).is_file())

    def read(self, series_id: int, model_version: str) -> SeriesDetections:
        """Return what `write` stored, equal to the bit.

        Raises
        ------
        StoreError
            If there is nothing, or the file is missing or damaged.
        """
        table = _read_file(self._known_path(series_id, model_version))
        header = _header(table.schema)
        proposals = Proposals(
            experts=tuple(header["experts"]),
            grid_spacing_mm=header["grid_spacing_mm"],
            slice_spacing_mm=header["slice_spacing_mm"],
            expert_index=_column(table, "expert"),
            grid_index=_column(table, "grid_index"),
            boxes=np.stack([_column(table, name) for name in _BOX_COLUMNS], axis=1),
            scores=_column(table, "score"),
            embeddings=_embeddings(table, header),
        )
        return SeriesDetections(proposals, _findings(header))

    def read_findings(self, series_id: int, model_version: str) -> tuple[Finding, ...]:
        """Return the 3D findings alone, without reading any 2D box.

        Raises
        ------
        StoreError
            If there is nothing, or the file is missing or damaged.
        """
        path = self._known_path(series_id, model_version)
        try:
            schema = pq.read_schema(path)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path) from error
        return _findings(_header(schema))

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
        """Remove files that no row points to and rows whose file is gone; return how many.

        Younger files are left alone: a worker may be about to write their row.
        """
        project = self.database.project
        with self.database.session() as session:
            rows = {row.path: row.id for row in session.scalars(select(DetectionRow))}
            gone = [row_id for path, row_id in rows.items() if not (project.folder / path).is_file()]
            for row_id in gone:
                session.execute(delete(DetectionRow).where(DetectionRow.id == row_id))
        swept = len(gone)
        limit = time.time() - older_than_seconds
        for path in project.detections_folder.glob("*/*"):
            is_known = path.relative_to(project.folder).as_posix() in rows
            if path.is_file() and not is_known and path.stat().st_mtime <= limit:
                path.unlink(missing_ok=True)
                swept += 1
        return swept

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


def _row_query(series_id: int, model_version: str) -> Any:
    return select(DetectionRow).where(DetectionRow.series_id == series_id, DetectionRow.model_version == model_version)


def _table(detections: SeriesDetections) -> pa.Table:
    proposals = detections.proposals
    width = proposals.embeddings.shape[1]
    columns = {
        "expert": pa.array(np.asarray(proposals.expert_index, dtype=np.int16)),
        "grid_index": pa.array(np.asarray(proposals.grid_index, dtype=np.int32)),
    }
    boxes = np.asarray(proposals.boxes, dtype=np.float32).reshape(-1, 4)
    columns |= {name: pa.array(np.ascontiguousarray(boxes[:, i])) for i, name in enumerate(_BOX_COLUMNS)}
    columns["score"] = pa.array(np.asarray(proposals.scores, dtype=np.float32))
    if width:
        flat = pa.array(np.ascontiguousarray(proposals.embeddings, dtype=np.float32).reshape(-1))
        ends = np.cumsum(proposals.is_fused, dtype=np.int64) * width
        offsets = pa.array(np.concatenate([np.zeros(1, dtype=np.int64), ends]))
        columns["embedding"] = pa.LargeListArray.from_arrays(offsets, flat, mask=pa.array(~proposals.is_fused))
    header = {
        "format_version": FORMAT_VERSION,
        "experts": list(proposals.experts),
        "grid_spacing_mm": float(proposals.grid_spacing_mm),
        "slice_spacing_mm": float(proposals.slice_spacing_mm),
        "embedding_width": width,
        "findings": [_finding_values(finding) for finding in detections.findings],
    }
    return pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(header).encode()})


def _write_file(path: Path, table: pa.Table) -> None:
    try:
        with replacement_of(path) as temporary, temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{path.name} cannot be written ({error})",
            "A disk with free space and write access",
            "Free space on the disk of the project; what was stored before is unchanged",
        ) from error


def _read_file(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path) from error


def _header(schema: pa.Schema) -> dict[str, Any]:
    header: dict[str, Any] = json.loads((schema.metadata or {}).get(_METADATA, b"{}"))
    if header.get("format_version") not in _READABLE_FORMATS:
        raise StoreError(
            f"A detections file has format {header.get('format_version')}",
            f"This version of LENS-napari reads {' and '.join(map(str, _READABLE_FORMATS))}",
            "Run detect again with this version",
        )
    return header


def _values_of(table: pa.Table, name: str) -> Any:
    return table.column(name).combine_chunks()


def _column(table: pa.Table, name: str) -> Any:
    return np.array(_values_of(table, name))


def _embeddings(table: pa.Table, header: dict[str, Any]) -> NDArray[np.float32]:
    """Return the embeddings of the fused boxes, (m, width)."""
    is_fused = _column(table, "expert") == len(header["experts"]) - 1
    width = header["embedding_width"]
    if not width:
        return np.zeros((int(is_fused.sum()), 0), dtype=np.float32)
    stored: NDArray[np.float32] = np.array(_values_of(table, "embedding").flatten()).reshape(-1, width)
    return stored[is_fused] if header["format_version"] == 1 else stored


def _box_counts(proposals: Proposals) -> dict[str, int]:
    counts = np.bincount(np.asarray(proposals.expert_index, dtype=np.int64), minlength=len(proposals.experts))
    return {name: int(count) for name, count in zip(proposals.experts, counts, strict=True)}


def _finding_values(finding: Finding) -> dict[str, Any]:
    judged_again = {} if finding.detector_score is None else {"detector_score": float(finding.detector_score)}
    return judged_again | {
        "expert": finding.expert,
        "box": [float(edge) for edge in finding.box],
        "score": float(finding.score),
        "expert_scores": {name: float(score) for name, score in finding.expert_scores.items()},
        "slices": [
            [int(item.slice_index), *(float(edge) for edge in item.box), float(item.score)] for item in finding.slices
        ],
    }


def _findings(header: dict[str, Any]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            expert=values["expert"],
            box=tuple(values["box"]),
            slices=tuple(SliceBox(index, (x1, y1, x2, y2), score) for index, x1, y1, x2, y2, score in values["slices"]),
            score=values["score"],
            expert_scores=values["expert_scores"],
            detector_score=values.get("detector_score"),
        )
        for values in header["findings"]
    )


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"The detections {path.parent.name}/{path.name} are missing or damaged",
        "A Parquet file as 'lens detect' writes it",
        f"Detect again with: lens detect --model {path.parent.name}",
    )
