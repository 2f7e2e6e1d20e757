"""The main thread of a worker: it works through a project's queue and watches over the other workers.

It holds no model: each job gets a child process. It keeps its heartbeat fresh, takes over the jobs of workers that
died, and ends when nothing was to do for a while, or on SIGTERM, giving its job back to the queue.
"""

import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Mapping
from types import FrameType

from dbos import DBOS, DBOSPortableJSONSerializer
from sqlalchemy.exc import SQLAlchemyError

from lens_engine.database_url import within_reach
from lens_engine.errors import JobError, LensError
from lens_engine.jobs.heartbeat import BEAT_SECONDS, living_workers
from lens_engine.jobs.names import APPLICATION_NAME, APPLICATION_VERSION, QUEUE_NAME
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.status import JobState
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.workers import Workers
from lens_engine.worker.device import gpu_of
from lens_engine.worker.file_lock import FileLock
from lens_engine.worker.job import WorkerState
from lens_engine.worker.metrics import serve_metrics
from lens_engine.worker.workflows import register_workflows

TICK_SECONDS = 0.5
LOCK_SECONDS = 5.0
"""How long a new worker waits for a predecessor of the same id that is about to end."""
POLLING_SECONDS = 0.5
GIVE_BACK_SECONDS = 30.0
ADRIFT_SECONDS = 10.0
"""How long a job may be said to run here that does not, before it is queued again."""

logger = logging.getLogger("lens_engine.worker.worker")


def default_executor_id() -> str:
    """Return an id that is the same after every restart: one worker for each host and GPU."""
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip() or "default"
    return f"{socket.gethostname()}-{device}"


def work(project: Project, executor_id: str, idle_seconds: float | None, metrics_address: str | None = None) -> None:
    """Be the worker `executor_id` of a project; does not return while there is work.

    Parameters
    ----------
    idle_seconds
        How long without a job before it ends; None: only when it is told to.
    metrics_address
        Where it offers its metrics, see `serve_metrics`; None: nowhere.

    Raises
    ------
    JobError
        If a worker of this id is at work already, or metrics cannot be offered there.
    """
    file_name = re.sub(r"[^\w.-]", "_", executor_id)
    lock = FileLock(
        project.store_folder / f"worker-{file_name}.lock",
        f"be worker {executor_id}",
        LOCK_SECONDS,
        "It does the jobs that wait; start a second one beside it with --executor-id NAME",
    )
    with lock:
        database = Database.open(project)
        state = WorkerState(executor_id, database, open_queue(project), gpu_of(os.environ))
        if metrics_address is not None:
            port = serve_metrics(metrics_address, state.metrics, lambda: gauges_of(state))
            logger.info("metrics are at port %d", port)
        Worker(state).run(idle_seconds)


class Worker:
    """The main thread of a worker; jobs run in DBOS's threads."""

    def __init__(self, state: WorkerState) -> None:
        self._state = state
        self._workers = Workers(state.database)
        self._told_to_end = threading.Event()
        self._is_blind = False
        self._adrift: dict[str, float] = {}

    def run(self, idle_seconds: float | None) -> None:
        """Launch the engine and watch over it until the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._say_hello()
        Detections(self._state.database).sweep_orphans()
        self._launch()
        logger.info("worker %s is ready", self._state.executor_id)
        self._watch(idle_seconds)
        self._end()

    def _say_hello(self) -> None:
        """Make the row that says that this worker is alive."""
        device = os.environ.get("CUDA_VISIBLE_DEVICES") or "default"
        self._workers.start(self._state.executor_id, socket.gethostname(), os.getpid(), device)

    def _launch(self) -> None:
        register_workflows(self._state)
        DBOS(
            config={
                "name": APPLICATION_NAME,
                "system_database_url": within_reach(self._state.database.project.jobs_database_url),
                "executor_id": self._state.executor_id,
                "application_version": APPLICATION_VERSION,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "CRITICAL",
            }
        )
        try:
            DBOS.launch()
        except SQLAlchemyError as error:
            raise JobError(
                "The jobs database does not answer",
                "A worker needs it to begin",
                "Start the worker again once it does; its jobs wait",
            ) from error
        DBOS.register_queue(QUEUE_NAME, worker_concurrency=1, polling_interval_sec=POLLING_SECONDS)

    def _watch(self, idle_seconds: float | None) -> None:
        idle_since = time.monotonic()
        last_beat, last_job = 0.0, self._state.current_job
        while not self._told_to_end.wait(TICK_SECONDS):
            now, job = time.monotonic(), self._state.current_job
            if now - last_beat >= BEAT_SECONDS or job != last_job:
                last_beat, last_job = now, job
                self._beat(job)
            if job is not None or self._may_have_jobs():
                idle_since = time.monotonic()
            elif idle_seconds is not None and now - idle_since >= idle_seconds:
                logger.info("nothing to do for %.0f seconds", idle_seconds)
                if leave(self._state.queue, self._workers, self._state.executor_id):
                    return
                self._beat(job)
                idle_since = time.monotonic()

    def _may_have_jobs(self) -> bool:
        """Return whether anything is queued or running, or cannot be seen now: a worker does not end on a guess."""
        try:
            has_jobs = self._state.queue.has_open_jobs()
        except LensError as error:
            if not self._is_blind:
                logger.warning("the queue cannot be seen, waiting: %s", error)
            self._is_blind = True
            return True
        if self._is_blind:
            logger.info("the queue can be seen again")
        self._is_blind = False
        return has_jobs

    def _beat(self, job_id: str | None) -> None:
        """Keep the heartbeat fresh and look after the other workers; a database that is busy gets another chance."""
        try:
            if not self._workers.beat(self._state.executor_id, job_id):
                self._say_hello()
            running = self._state.queue.workers_of_running_jobs()
            self._take_over(running)
            self._take_up_again(running)
        except LensError as error:
            logger.warning("no heartbeat: %s", error)

    def _take_over(self, running: Mapping[str, str]) -> None:
        """Give the running jobs of dead workers back to the queue: they go on at the step they were in."""
        living = {worker.worker_id for worker in living_workers(self._workers)}
        for job_id, worker_id in running.items():
            if worker_id not in living:
                logger.info("worker %s is dead; its job %s goes back to the queue", worker_id, job_id)
                self._state.queue.give_back(job_id, worker_id)

    def _take_up_again(self, running: Mapping[str, str]) -> None:
        """Queue a job again that is said to run here and does not: its database was gone for a while."""
        said = {job_id for job_id, worker_id in running.items() if worker_id == self._state.executor_id}
        now = time.monotonic()
        self._adrift = {job_id: self._adrift.get(job_id, now) for job_id in said - {self._state.current_job}}
        for job_id, since in self._adrift.items():
            if now - since >= ADRIFT_SECONDS:
                logger.info("job %s stands still; it goes back to the queue", job_id)
                self._state.queue.give_back(job_id, self._state.executor_id)

    def _end(self) -> None:
        """Stop the job, give it back to the queue, and end the process with all its threads."""
        job_id = self._state.current_job
        self._state.ending.set()
        deadline = time.monotonic() + GIVE_BACK_SECONDS
        while self._state.current_job is not None and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS / 10)
        try:
            if job_id is not None:
                self._state.queue.give_back(job_id, self._state.executor_id)
                logger.info("job %s went back to the queue", job_id)
            self._workers.stop(self._state.executor_id)
        except LensError as error:
            logger.warning("another worker will notice that this one is gone: %s", error)
        logger.info("worker %s ends", self._state.executor_id)
        logging.shutdown()
        os._exit(0)  # the threads of DBOS would wait for outcomes that other workers record

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._told_to_end.set()


def gauges_of(state: WorkerState) -> Mapping[str, float]:
    """Return what a worker can tell of now; without the queue where that does not answer."""
    gauges = {"worker_up": 1.0, "worker_busy": float(state.current_job is not None)}
    try:
        counts = state.queue.open_job_counts()
        alive = len(living_workers(Workers(state.database)))
    except LensError:
        return gauges | {"database_up": 0.0}
    return gauges | {
        "database_up": 1.0,
        "jobs_waiting": float(counts[JobState.QUEUED]),
        "jobs_running": float(counts[JobState.RUNNING]),
        "workers_alive": float(alive),
    }


def leave(queue: DbosJobQueue, workers: Workers, executor_id: str) -> bool:
    """Take a worker's row away, and return whether it may go: nothing is left to do, as seen after that.

    Whoever asks for a job stores it first and looks for a living worker then: he finds none and starts one, or the job
    was stored before the row was gone, and is seen here.
    """
    try:
        workers.stop(executor_id)
        return not queue.has_open_jobs()
    except LensError as error:
        logger.warning("worker %s stays, for it cannot know whether there is work: %s", executor_id, error)
        return False
