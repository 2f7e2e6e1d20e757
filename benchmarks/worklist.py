"""The list of lesions of a large project: read as columns against read as records, and how a verdict grows with it."""

import tempfile
from pathlib import Path

from benchmarks.measure import Comparison, compare
from benchmarks.worklist_project import CANDIDATES_OF_SERIES, make_worklist_project
from lens_engine.findings import Split
from lens_engine.project import Project
from lens_engine.store.candidates import Candidates
from lens_engine.store.database import Database


def run(*, full: bool) -> list[Comparison]:
    """Return what opening the list costs, relative to reading everything that is stored of its lesions."""
    series = 10_000 if full else 1_000
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Project.open(make_worklist_project(Path(folder), series)))
        candidates = Candidates(database)
        row = compare(
            f"the list of {series * CANDIDATES_OF_SERIES} lesions, {series} series",
            "their records",
            lambda: candidates.queue(split=Split.TRAIN, include_decided=True),
            lambda: candidates.outline(Split.TRAIN),
            repeats=1 if full else 3,
        )
        database.close()
    return [row.wanted(5.0)]
