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
from types import FrameType

from dbos import DBOS, DBOSPortableJSONSerializer

from lens_engine.errors import LensError
from lens_engine.jobs.heartbeat import BEAT_SECONDS, living_workers
from lens_engine.jobs.names import APPLICATION_NAME, APPLICATION_VERSION, QUEUE_NAME
from lens_engine.jobs.queue import DbosJobQueue, open_queue
from lens_engine.jobs.status import JobState
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.workers import Workers
from lens_engine.worker.file_lock import FileLock
from lens_engine.worker.job import WorkerState
from lens_engine.worker.workflows import register_workflows

TICK_SECONDS = 0.5
LOCK_SECONDS = 5.0
"""How long a new worker waits for a predecessor of the same id that is about to end."""
POLLING_SECONDS = 0.5
GIVE_BACK_SECONDS = 30.0

logger = logging.getLogger("lens_engine.worker.worker")


def default_executor_id() -> str:
    """Return an id that is the same after every restart: one worker for each host and GPU."""
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip() or "default"
    return f"{socket.gethostname()}-{device}"


def work(project: Project, executor_id: str, idle_seconds: float | None) -> None:
    """Be the worker `executor_id` of a project; does not return while there is work.

    Parameters
    ----------
    idle_seconds
        How long without a job before it ends; None: only when it is told to.

    Raises
    ------
    JobError
        If a worker of this id is at work already.
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
        Worker(WorkerState(executor_id, database, open_queue(project))).run(idle_seconds)


class Worker:
    """The main thread of a worker; jobs run in DBOS's threads."""

    def __init__(self, state: WorkerState) -> None:
        self._state = state
        self._workers = Workers(state.database)
        self._told_to_end = threading.Event()
        self._is_blind = False

    def run(self, idle_seconds: float | None) -> None:
        """Launch the engine and watch over it until the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        device = os.environ.get("CUDA_VISIBLE_DEVICES") or "default"
        self._workers.start(self._state.executor_id, socket.gethostname(), os.getpid(), device)
        Detections(self._state.database).sweep_orphans()
        self._launch()
        logger.info("worker %s is ready", self._state.executor_id)
        self._watch(idle_seconds)
        self._end()

    def _launch(self) -> None:
        register_workflows(self._state)
        DBOS(
            config={
                "name": APPLICATION_NAME,
                "system_database_url": self._state.database.project.jobs_database_url,
                "executor_id": self._state.executor_id,
                "application_version": APPLICATION_VERSION,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "CRITICAL",
            }
        )
        DBOS.launch()
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
                return

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
            self._workers.beat(self._state.executor_id, job_id)
            take_over(self._state.queue, self._workers)
        except LensError as error:
            logger.warning("no heartbeat: %s", error)

    def _end(self) -> None:
        """Stop the job, give it back to the queue, and end the process with all its threads."""
        job_id = self._state.current_job
        self._state.ending.set()
        deadline = time.monotonic() + GIVE_BACK_SECONDS
        while self._state.current_job is not None and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS / 10)
        if job_id is not None:
            self._state.queue.give_back(job_id, self._state.executor_id)
            logger.info("job %s went back to the queue", job_id)
        self._workers.stop(self._state.executor_id)
        logger.info("worker %s ends", self._state.executor_id)
        logging.shutdown()
        os._exit(0)  # the threads of DBOS would wait for outcomes that other workers record

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._told_to_end.set()


def take_over(queue: DbosJobQueue, workers: Workers) -> None:
    """Give the running jobs of dead workers back to the queue: they go on at the step they were in."""
    living = {worker.worker_id for worker in living_workers(workers)}
    for status in queue.open_jobs():
        if status.state is JobState.RUNNING and status.worker is not None and status.worker not in living:
            logger.info("worker %s is dead; its job %s goes back to the queue", status.worker, status.id)
            queue.give_back(status.id, status.worker)
