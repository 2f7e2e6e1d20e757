"""Readers, workers, the processes of their jobs and a database, each killed at random moments and started again."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from support.processes.postgresql import Server

from lens_engine.errors import LensError
from lens_engine.jobs.inputs import DetectInputs, EvaluateInputs, JobInputs, TrainInputs
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.status import JobState, JobStatus
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models
from soak.reader import READY, SAVED
from soak.victims import reader, restart, worker

WORKERS = ("worker-a", "worker-b")
PAUSES_SECONDS = (0.3, 6.0)
"""Between two kills."""
DOWN_SECONDS = (0.1, 2.0)
"""How long a killed database stays away."""
TRAINING_STEPS = 30
WEIGHTS = {"viewer": 6, "worker": 3, "child": 3, "database": 1}
STARTING_SHARE = 0.02
"""How often a viewer that still starts is killed where it is chosen."""
MOST_VERDICTS = 12
"""A viewer in which somebody reads is left alone until so many verdicts at most are saved; how many is drawn."""
LOST_CAUSE_SECONDS = 300.0

Say = Callable[[str], None]


@dataclass
class Toll:
    """What a storm has done.

    Attributes
    ----------
    kills
        How many processes of each kind were killed.
    jobs
        Every job that was asked for; one that was resumed under another id is named by that.
    """

    kills: Counter[str] = field(default_factory=Counter)
    jobs: dict[str, JobState] = field(default_factory=dict)
    resumed: int = 0


class Storm:
    """A storm over one project.

    Parameters
    ----------
    folder
        Holds the notes of the reader and the logs of all processes.
    server
        The project's database server; None for SQLite, which has no process of its own.
    seed
        Of what is killed, when, and of the verdicts.
    """

    def __init__(self, project: Project, folder: Path, server: Server | None, seed: int) -> None:
        self._project = project
        self._server = server
        self._numbers = random.Random(seed)
        self.notes = folder / "notes.txt"
        self.reader = reader(project.folder, self.notes, seed, folder / "viewer.log")
        self.workers = [worker(project.folder, name, folder / f"{name}.log") for name in WORKERS]
        self.toll = Toll()
        self._read_until = 0
        self._wanted = 0
        self._database = Database.open(project)
        self._queue: DbosJobQueue = open_queue(project)
        self._version = Models(self._database).promoted().version

    def rage(self, kills: int, say: Say) -> None:
        """Kill that many processes."""
        kinds = [kind for kind in WEIGHTS if kind != "database" or self._server is not None]
        weights = [WEIGHTS[kind] for kind in kinds]
        began = time.monotonic()
        while self.toll.kills.total() < kills:
            self._revive()
            self._keep_busy()
            time.sleep(self._numbers.uniform(*PAUSES_SECONDS))
            kind = self._numbers.choices(kinds, weights)[0]
            if self._kill(kind):
                self.toll.kills[kind] += 1
                if self.toll.kills.total() % 20 == 0:
                    seconds = time.monotonic() - began
                    say(f"{self.toll.kills.total()} killed after {seconds:.0f} s: {dict(self.toll.kills)}")

    def calm(self, timeout_seconds: float = LOST_CAUSE_SECONDS) -> None:
        """Let every job come to its end, without any more kills; one that failed is resumed, as a person would."""
        self.reader.end()
        deadline = time.monotonic() + timeout_seconds
        while any(not state.is_final or state is JobState.FAILED for state in self.toll.jobs.values()):
            if time.monotonic() > deadline:
                return  # the reckoning tells what is stuck
            for victim in self.workers:
                victim.start()
            self._follow()
            time.sleep(0.5)

    def end(self) -> None:
        """End every process."""
        for victim in (self.reader, *self.workers):
            victim.end()
        self._queue.close()
        self._database.close()

    def _revive(self) -> None:
        for victim in (self.reader, *self.workers):
            victim.start()

    def _kill(self, kind: str) -> bool:
        if kind == "viewer":
            return self._kill_viewer()
        if kind == "worker":
            return self._numbers.choice(self.workers).kill()
        if kind == "child":
            return _kill_one(self._numbers, [child for victim in self.workers for child in victim.children()])
        if self._server is not None:
            restart(self._server, self._numbers.uniform(*DOWN_SECONDS))
        return True

    def _kill_viewer(self) -> bool:
        """Kill the viewer, mostly after somebody has read in it for a while: its start takes longer than a pause."""
        said = self.notes.read_text(encoding="utf-8") if self.notes.exists() else ""
        is_reading = READY in said[self._read_until :]
        if not is_reading and self._numbers.random() > STARTING_SHARE:
            return False
        if is_reading and said[self._read_until :].count(SAVED) < self._wanted:
            return False
        self._wanted = self._numbers.randint(0, MOST_VERDICTS)
        was_killed = self.reader.kill()
        self._read_until = len(self.notes.read_text(encoding="utf-8")) if self.notes.exists() else 0
        return was_killed

    def _keep_busy(self) -> None:
        """See that a job of a random kind is there for each worker; a database that is away gets another chance."""
        self._follow()
        if sum(not state.is_final for state in self.toll.jobs.values()) < len(WORKERS):
            try:
                self.toll.jobs[self._queue.submit(self._inputs())] = JobState.QUEUED
            except LensError:
                return

    def _follow(self) -> None:
        """Ask how the jobs stand; one that failed, for its process was killed, is resumed."""
        for job_id, state in list(self.toll.jobs.items()):
            if state in (JobState.DONE, JobState.CANCELLED):
                continue
            try:
                status = self._queue.status(job_id)
                if status.state is JobState.FAILED:
                    del self.toll.jobs[job_id]
                    status = self._resumed(status)
                self.toll.jobs[status.id] = status.state
            except LensError:
                self.toll.jobs.setdefault(job_id, state)

    def _resumed(self, failed: JobStatus) -> JobStatus:
        self.toll.resumed += 1
        return self._queue.status(self._queue.resume(failed.id))

    def _inputs(self) -> JobInputs:
        kind = self._numbers.choice(["detect", "detect", "train", "evaluate"])
        if kind == "train":
            snapshot = Snapshots(self._database).freeze(LabelSet.ORIGINAL)
            return TrainInputs(snapshot_id=snapshot.id, parent_version=self._version, steps=TRAINING_STEPS)
        if kind == "evaluate":
            return EvaluateInputs(model_versions=(self._version,))
        series = [item.id for item in Catalog(self._database).all_series()]
        if all(state.is_final for state in self.toll.jobs.values()):
            for file in self._project.detections_folder.glob("*/*.parquet"):
                file.unlink()  # so that there is something to be done again
        return DetectInputs(series_ids=tuple(series), model_version=self._version)


def _kill_one(numbers: random.Random, processes: list[psutil.Process]) -> bool:
    if not processes:
        return False
    try:
        numbers.choice(processes).kill()
    except psutil.NoSuchProcess:
        return False
    return True
