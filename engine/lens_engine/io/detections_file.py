"""What a detector says about one series as a Parquet file: 2D boxes as columns, 3D findings in its metadata.

Columns of a file: `expert` (int16 index), `grid_index` (int32), `x1 y1 x2 y2 score` (float32) and `embedding`
(list of float32, null but for fused boxes), one row per 2D box in the order of `Proposals`. The file's metadata holds
the experts, the spacings and the 3D findings as JSON, and what the detections were made from where that was said.
Files are written aside and renamed. Whoever keeps them says what a failure means: it is passed on as one of `FAILURES`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lens_engine.errors import StoreError
from lens_engine.findings import Finding, SliceBox
from lens_engine.io.atomic_files import replacement_of
from lens_engine.proposals import Proposals, SeriesDetections

FORMAT_VERSION = 2
_READABLE_FORMATS = (1, FORMAT_VERSION)
"""Format 1 has an embedding in every row, all zero but for fused boxes."""

FAILURES = (OSError, pa.ArrowException)
"""What a disk that refuses, or a file that is damaged or not there, raises."""

_METADATA = b"lens"
_MADE_FROM = b"lens made from"
_BOX_COLUMNS = ("x1", "y1", "x2", "y2")


def write_detections(path: Path, detections: SeriesDetections, made_from: str = "") -> None:
    """Write a file completely or not at all.

    Parameters
    ----------
    made_from
        Fingerprint of whatever decided the detections, for `made_from`.
    """
    table = _table(detections)
    known = {**table.schema.metadata, _MADE_FROM: made_from.encode()}
    with replacement_of(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table.replace_schema_metadata(known), file, compression="zstd")


def read_detections(path: Path) -> SeriesDetections:
    """Return what `write_detections` wrote, equal to the bit.

    Raises
    ------
    StoreError
        If another version of the program has written it.
    """
    table = pq.read_table(path)
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


def read_findings(path: Path) -> tuple[Finding, ...]:
    """Return the 3D findings alone, without reading any 2D box; raises as `read_detections`."""
    return _findings(_header(pq.read_schema(path)))


def made_from(path: Path) -> str:
    """Return what the writer of a file said that it was made from; empty where nothing was said."""
    stored: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    return stored.get(_MADE_FROM, b"").decode()


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
