"""Small made-up series and boxes for the tests of the store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lens_engine.findings import FUSED, Box3D, Candidate, Decision, Finding, SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series_source import SeriesFormat, SeriesSource
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.catalog import NewSeries, SeriesRecord

BOX: Box3D = (10.0, 10.0, 2.0, 20.0, 20.0, 6.0)

AddSeries = Callable[..., SeriesRecord]
MakeCandidate = Callable[..., Candidate]
MakeDecision = Callable[..., Decision]


def new_series(key: str, **values: Any) -> NewSeries:
    source = SeriesSource(SeriesFormat.NIFTI, (Path("/data") / key / "scan.nii.gz",))
    defaults = {
        "patient_key": key,
        "study_key": key,
        "series_key": key,
        "first_slice_number": 1,
        "last_slice_number": 30,
        "geometry": VolumeGeometry((30, 64, 64), (2.0, 1.0, 1.0)),
        "source": source,
    }
    return NewSeries(**{**defaults, **values})


def sections(box: Box3D) -> tuple[SliceBox, ...]:
    x1, y1, z1, x2, y2, z2 = box
    return tuple(SliceBox(index, (x1, y1, x2, y2), 0.5) for index in range(int(z1), int(z2)))


def detections_of(count: int, width: int = 8, seed: int = 0) -> SeriesDetections:
    random = np.random.default_rng(seed)
    expert_index = np.sort(random.integers(0, 3, count)).astype(np.int16)
    proposals = Proposals(
        experts=("universal", "lung", FUSED),
        grid_spacing_mm=2.0,
        slice_spacing_mm=1.25,
        expert_index=expert_index,
        grid_index=random.integers(0, 90, count).astype(np.int32),
        boxes=random.random((count, 4)).astype(np.float32),
        scores=random.random(count).astype(np.float32),
        embeddings=random.random((np.count_nonzero(expert_index == 2), width)).astype(np.float32),
    )
    finding = Finding(FUSED, BOX, sections(BOX), 0.1 + 0.2, {"lung": 0.7})
    return SeriesDetections(proposals, (finding,) * min(count, 3))
