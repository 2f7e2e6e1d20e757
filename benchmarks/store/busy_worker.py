"""A process that writes to a project as a worker does while somebody reads: heartbeats, findings, 20 times a second."""

import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
from sqlalchemy import select

from lens_engine.findings import FUSED
from lens_engine.project import Project
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.schema import SeriesRow
from lens_engine.store.workers import Workers

WRITES_PER_SECOND = 20
NAME, VERSION = "benchmark", "benchmark"


def main() -> None:
    """Write until this process is ended; say once that it has begun."""
    database = Database.open(Project.open(Path(sys.argv[1])))
    detections, workers = Detections(database), Workers(database)
    workers.start(NAME, "here", 1, "cpu")
    with database.reading() as session:
        series_ids = session.scalars(select(SeriesRow.id).order_by(SeriesRow.id)).all()
    for number in count():
        detections.write(series_ids[number % len(series_ids)], VERSION, _nothing_found())
        workers.beat(NAME, "job")
        if number == 0:
            print("writing", flush=True)
        time.sleep(1 / WRITES_PER_SECOND)


def _nothing_found() -> SeriesDetections:
    none = np.zeros(0)
    proposals = Proposals(
        experts=(FUSED,),
        grid_spacing_mm=2.0,
        slice_spacing_mm=2.0,
        expert_index=none.astype(np.int16),
        grid_index=none.astype(np.int32),
        boxes=none.reshape(0, 4).astype(np.float32),
        scores=none.astype(np.float32),
        embeddings=none.reshape(0, 8).astype(np.float32),
    )
    return SeriesDetections(proposals, ())


if __name__ == "__main__":
    main()
