"""What background jobs cost: `lens jobs`, the list behind a long history, a series in a job beside its computing."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from sqlalchemy import MetaData, create_engine, insert, select

from benchmarks.measure import Comparison, compare
from lens_engine.findings import FUSED, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series_source import SeriesFormat, SeriesSource
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.inputs import DetectInputs, MineInputs
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.status import JobState, wait_for
from lens_engine.project import Project
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.catalog import Catalog, NewSeries
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.new_project import create_project

HISTORY = 10_000
LISTED = 20
LIST_SECONDS = 1.0
LIBRARY = "import sqlalchemy"
PROGRAM = "from lens_napari.cli import main; main()"
STEP_SECONDS = 0.05
PAGE_SECONDS = 0.2
ARCHIVE = 2_000
"""Series of the archive that `--full` simulates; very small ones, for the computing is no part of this."""
SHAPE = (40, 64, 64)
PATIENCE_SECONDS = 300.0


def run(*, full: bool) -> list[Comparison]:
    """Return the rows; the baseline is what each may take, of the whole program what it loads first."""
    return [_program(), _listing(), *_archive(ARCHIVE if full else 120)]


def _program() -> Comparison:
    """Return how long `lens jobs` takes from the shell, beside the start of the library that it reads with."""
    with _project() as database:
        _remember_jobs(database.project, LISTED)
        listing = partial(_run, PROGRAM, "--project", str(database.project.folder), "jobs")
        loading = partial(_run, LIBRARY)
        row = compare("lens jobs from the shell", LIBRARY, loading, listing)
        cores = [loading(), listing()]
    note = f"at most {LIST_SECONDS:g} s are wanted; of all cores {cores[1]:.2f} s, the baseline {cores[0]:.2f} s"
    return row.wanted(row.baseline_seconds / LIST_SECONDS, note)


def _run(code: str, *arguments: str) -> float:
    """Run a line of Python in a process of its own and return the seconds of all cores that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _listing() -> Comparison:
    """Return how long the list of `lens jobs` takes behind many jobs and behind few, without the program's start."""
    with _project() as young, _project() as old:
        for database, count in ((young, LISTED), (old, HISTORY)):
            _remember_jobs(database.project, count)
        queues = [open_queue(database.project) for database in (young, old)]
        few, many = (partial(queue.jobs, LISTED) for queue in queues)
        row = compare(f"{LISTED} of {HISTORY} jobs listed", f"{LISTED} of {LISTED}", few, many)
        for queue in queues:
            queue.close()
    return row.wanted(row.baseline_seconds / LIST_SECONDS, f"at most {LIST_SECONDS:g} s are wanted")


def _archive(series: int) -> list[Comparison]:
    """Return what a series of an archive costs beside its computing, and what looking at its job and its list costs.

    Nothing is computed: all was detected before. A few series are measured alone and taken off, with the process and
    the way through the queue.
    """
    few = series // 6
    with _project() as database:
        ids = [_add_seen_series(database, number) for number in range(series)]
        queue = open_queue(database.project)
        command = [sys.executable, "-m", "lens_engine.worker", "--project", str(database.project.folder)]
        command += ["--idle-minutes", "1"]
        worker = subprocess.Popen(command, env=process_environment(), stderr=subprocess.DEVNULL)
        try:
            few_seconds, many_seconds = (_job_seconds(queue, ids[:count]) for count in (few, series))
        finally:
            worker.terminate()
            worker.wait()
        pages = [
            _page(f"the page of the jobs of an archive of {series}", partial(queue.jobs, LISTED)),
            _page(f"the list of its {series} series", partial(Catalog(database).all_series, with_images=True)),
        ]
        queue.close()
    each = (many_seconds - few_seconds) / (series - few)
    note = f"{series} series that were detected before"
    name = "a series of an archive beside its computing"
    return [Comparison(name, "the most", STEP_SECONDS, each, goal=1.0, note=note), *pages]


def _page(name: str, look: Callable[[], object]) -> Comparison:
    row = compare(name, "the most", partial(time.sleep, PAGE_SECONDS), look)
    return replace(row, baseline_seconds=PAGE_SECONDS, baseline_cpu_seconds=PAGE_SECONDS).wanted(1.0)


@contextmanager
def _project() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        database, _ = create_project(Path(folder) / "project")
        try:
            yield database
        finally:
            database.close()


def _remember_jobs(project: Project, count: int) -> None:
    """Let one job end, and copy it in the jobs database as often as is wanted."""
    queue = open_queue(project)
    job_id = queue.submit(MineInputs(model_version="v1"))
    queue.cancel(job_id)
    queue.close()
    engine, tables = create_engine(project.jobs_database_url), MetaData()
    tables.reflect(engine)
    jobs = tables.tables["workflow_status"]
    with engine.begin() as connection:
        row = connection.execute(select(jobs)).one()._asdict()
        copies = [{**row, "workflow_uuid": f"{job_id}-{number}"} for number in range(1, count)]
        if copies:
            connection.execute(insert(jobs), copies)
    engine.dispose()


def _add_seen_series(database: Database, number: int) -> int:
    """Add a series whose scan nobody opens, for it has detections already."""
    new = NewSeries(
        patient_key=str(number),
        study_key=str(number),
        series_key=str(number),
        first_slice_number=1,
        last_slice_number=SHAPE[0],
        geometry=VolumeGeometry(SHAPE, (2.0, 1.0, 1.0)),
        source=SeriesSource(SeriesFormat.NIFTI, (database.project.folder / f"{number}.nii.gz",), None),
    )
    record, _ = Catalog(database).add_series(new, "universal", Split.TRAIN)
    empty = Proposals(
        experts=("universal", FUSED),
        grid_spacing_mm=2.0,
        slice_spacing_mm=2.0,
        expert_index=np.zeros(0, np.int16),
        grid_index=np.zeros(0, np.int32),
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        embeddings=np.zeros((0, 0), np.float32),
    )
    Detections(database).write(record.id, "v1", SeriesDetections(empty, ()))
    return record.id


def _job_seconds(queue: DbosJobQueue, series_ids: Sequence[int]) -> float:
    """Return how long a job over series takes, its process and the way through the queue included."""
    job_id = queue.submit(DetectInputs(series_ids=tuple(series_ids), model_version="v1"))
    status = wait_for(queue, job_id, timeout_seconds=PATIENCE_SECONDS)
    if status.state is not JobState.DONE or status.duration_seconds is None:
        raise RuntimeError(f"The job ended as {status.state}: {status.error}")
    return status.duration_seconds
