"""What background jobs cost: `lens jobs`, the list behind a long history, a series in a job beside its computing."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from sqlalchemy import MetaData, create_engine, func, insert, select

from benchmarks.detector.subjects import loud_detector
from benchmarks.measure import Comparison, compare
from lens_engine.checkpoint_card import CheckpointCard, TrainedOn
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.detector.config import BackboneConfig, DetectorConfig, HeadConfig, PostConfig, ProposalConfig
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.findings import Split
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.inputs import DetectInputs, MineInputs
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.results import DetectResult
from lens_engine.jobs.status import JobState, JobStatus, wait_for
from lens_engine.phantom.patient import PhantomSettings, make_patient
from lens_engine.phantom.write_nifti import write_nifti_series
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.exchange.importing import UNIVERSAL_DATASET
from lens_engine.store.exchange.ingest import add_scans
from lens_engine.store.models.model_versions import Models
from lens_engine.store.new_project import create_project
from lens_engine.store.schema import DetectionRow
from lens_engine.volume import Volume

HISTORY = 10_000
LISTED = 20
LIST_SECONDS = 1.0
LIBRARY = "import sqlalchemy"
PROGRAM = "from lens_napari.cli import main; main()"
STEP_SECONDS = 0.05
PAGE_SECONDS = 0.2
ARCHIVE = 2_000
"""Series of the archive that `--full` simulates."""
PHANTOMS = 10
"""Patients that are drawn; the scans of an archive are copies of theirs."""
REPEATS = 3
TINY = PhantomSettings(size=64, slice_spacing_mm=4.0, coverage_mm=80.0, studies=1)
PATIENCE_SECONDS = 1800.0


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


@dataclass(frozen=True, slots=True)
class Archive:
    """A project of tiny phantom scans that no network has looked at.

    Attributes
    ----------
    volumes
        Those of the phantoms that its scans are copies of but for a voxel, each as often as every other one.
    """

    database: Database
    version: str
    ids: tuple[int, ...]
    volumes: tuple[Volume, ...]

    def computing(self) -> NDArray[np.float64]:
        """Return what the detector takes for a series in this process: seconds, and seconds of all cores."""
        model = load_checkpoint(Models(self.database).get(self.version).folder, "cpu")[0]
        detector = InferenceDetector(model)
        detect_with(detector, self.volumes[0])
        started = _clocks()
        for volume in self.volumes * REPEATS:
            detect_with(detector, volume)
        spent: NDArray[np.float64] = _clocks() - started
        return spent / (len(self.volumes) * REPEATS)

    def seconds_between_series(self) -> float:
        """Return the mean seconds from one series that was detected to the next one, what recording takes included."""
        query = select(func.min(DetectionRow.created_at), func.max(DetectionRow.created_at))
        with self.database.reading() as session:
            first, last = session.execute(query.where(DetectionRow.model_version == self.version)).one()
        seconds: float = (last - first).total_seconds()
        return seconds / (len(self.ids) - 1)


def _archive(series: int) -> list[Comparison]:
    """Return what a series of an archive costs beside its computing, and what looking at its job and its list costs.

    Each of its scans is read, looked at and remembered as any other one, all in one job.
    """
    with _project() as database, tempfile.TemporaryDirectory() as folder:
        archive = phantom_archive(database, Path(folder), series)
        queue = open_queue(database.project)
        before = archive.computing()
        with _worker(database.project) as worker:
            cores = _detect(queue, archive, worker)
        computing = (before + archive.computing()) / 2
        each = archive.seconds_between_series()
        pages = [
            _page(f"the page of the jobs of an archive of {series}", partial(queue.jobs, LISTED)),
            _page(f"the list of its {series} series", partial(Catalog(database).all_series, with_images=True)),
        ]
        queue.close()
    note = f"{each * 1e3:.1f} ms each of {series} phantom scans, {computing[0] * 1e3:.1f} ms of them computing"
    beside, beside_cores = np.array([each, cores]) - computing
    name = "a series of an archive beside its computing"
    row = Comparison(name, "the most", STEP_SECONDS, float(beside), STEP_SECONDS, float(beside_cores))
    return [row.wanted(1.0, note), *pages]


@contextmanager
def _worker(project: Project) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "lens_engine.worker", "--project", str(project.folder), "--idle-minutes", "5"]
    worker = subprocess.Popen(command, env=process_environment(), stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(worker.pid)
    finally:
        worker.terminate()
        worker.wait()


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


def phantom_archive(database: Database, folder: Path, series: int) -> Archive:
    """Write scans, add them, and register a tiny network that has as much to tell of each as its limits allow."""
    phantoms = [make_patient(number, UNIVERSAL_DATASET, TINY).series[0] for number in range(PHANTOMS)]
    for number in range(series):
        phantom = phantoms[number % PHANTOMS]
        voxels = phantom.volume.voxels.copy()
        voxels[0, 0, 0] = number  # a project takes each scan once, and this one is another scan
        volume = Volume(voxels, phantom.volume.geometry)
        write_nifti_series(folder / f"scans/patient-{number}/scan.nii.gz", replace(phantom, volume=volume))
    report = add_scans(database, [folder / "scans"], UNIVERSAL_DATASET, Split.TRAIN)
    if len(report.added) != series:
        raise RuntimeError(f"{len(report.added)} of {series} scans were added: {report.problems[:3]}")
    save_checkpoint(loud_detector(_tiny_config()), CheckpointCard(trained_on=TrainedOn.NOTHING), folder / "network")
    version = Models(database).register(folder / "network").version
    return Archive(
        database, version, tuple(record.id for record in report.added), tuple(each.volume for each in phantoms)
    )


def _tiny_config() -> DetectorConfig:
    return DetectorConfig(
        experts=("universal", "lung"),
        pixel_mm=2.0,
        grid_mm=8.0,
        max_side=64,
        backbone=BackboneConfig(stem=8, growth=4, blocks=(1, 1, 1), fpn_channels=16),
        proposal=ProposalConfig(width=8, min_side=2.0, pre_nms=60, post_nms=20, train_pre_nms=60, train_post_nms=20),
        head=HeadConfig(fc_width=16),
        post=PostConfig(score_threshold=0.05, per_slice=5),
    )


def _detect(queue: DbosJobQueue, archive: Archive, worker: psutil.Process) -> float:
    """Look at all series in one job, none of them left out, and return the seconds of all cores for each."""
    seen: list[tuple[int, float]] = []

    def look(status: JobStatus) -> None:
        if status.done:
            seen.append((status.done, _core_seconds(worker)))

    job_id = queue.submit(DetectInputs(series_ids=archive.ids, model_version=archive.version))
    status = wait_for(queue, job_id, look, PATIENCE_SECONDS)
    if status.state is not JobState.DONE:
        raise RuntimeError(f"The job ended as {status.state}: {status.error}")
    result = DetectResult.model_validate(status.result)
    if result.series != len(archive.ids) or result.skipped:
        raise RuntimeError(f"{result.series} of {len(archive.ids)} series were gone over, {result.skipped} skipped")
    (first, before), (last, after) = seen[0], seen[-1]
    return (after - before) / (last - first)


def _core_seconds(worker: psutil.Process) -> float:
    """Return what a worker and the processes of its jobs have taken so far, those that are gone included."""
    own = worker.cpu_times()
    seconds: float = own.user + own.system + own.children_user + own.children_system
    for process in worker.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def _clocks() -> NDArray[np.float64]:
    return np.array([time.perf_counter(), time.process_time()])
