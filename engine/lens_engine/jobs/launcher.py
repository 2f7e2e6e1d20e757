"""Start a local worker when none is alive; it outlives whoever asked, and ends by itself after 15 idle minutes."""

import importlib.util
import subprocess
import sys
import threading

from lens_engine.errors import JobError
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.heartbeat import living_workers
from lens_engine.jobs.log_files import make_room
from lens_engine.jobs.status import JobQueue, JobState
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.workers import WorkerRecord, Workers

WORKER_MODULE = "lens_engine.worker"
IDLE_MINUTES = 15.0
WORKER_LOG = "worker.log"
"""The file in the folder of the jobs where local workers say what they do."""


def ensure_worker(project: Project) -> bool:
    """Start a worker for a project unless one is alive, on this or any other computer; return whether one was started.

    Returns at once: the worker is ready some seconds later, and jobs wait for it in the queue.

    Raises
    ------
    JobError
        If none is alive and this computer cannot run one.
    """
    if worker_alive(project):
        return False
    if importlib.util.find_spec("torch") is None:
        raise JobError(
            "No worker is alive, and this computer has no engine to run one",
            "A worker is needed for jobs",
            "Start 'lens worker' where the engine is installed, or install it here: pip install 'lens-napari[engine]'",
        )
    command = [
        *(sys.executable, "-m", WORKER_MODULE, "--project", str(project.folder)),
        *("--idle-minutes", str(IDLE_MINUTES)),
    ]
    project.jobs_folder.mkdir(parents=True, exist_ok=True)
    make_room(project.jobs_folder / WORKER_LOG)
    with (project.jobs_folder / WORKER_LOG).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=process_environment(),
            start_new_session=True,
        )
    # Somebody has to ask for its exit code, or an ended worker stays in the table of processes.
    threading.Thread(target=process.wait, name="worker-exit", daemon=True).start()
    return True


def resume_job(project: Project, queue: JobQueue, job_id: str) -> str:
    """Let a job go on, see `hand_over`, with a worker to run it where none is alive; return the id to follow.

    Raises
    ------
    JobError
        If a living worker is at the job, or it is done, or this computer cannot run a worker where none is alive.
    """
    followed = hand_over(project, queue, job_id)
    ensure_worker(project)
    return followed


def hand_over(project: Project, queue: JobQueue, job_id: str) -> str:
    """Let a job go on as `JobQueue.resume` does; one that runs on a dead worker goes back to the queue.

    Raises
    ------
    JobError
        If a living worker is at the job, or it is done.
    """
    status = queue.status(job_id)
    if status.state is JobState.RUNNING and status.worker not in {worker.worker_id for worker in workers(project)}:
        queue.give_back(job_id, status.worker or "")
        return job_id
    return job_id if status.state is JobState.QUEUED else queue.resume(job_id)


def worker_alive(project: Project) -> bool:
    """Return whether any worker of the project is alive."""
    return bool(workers(project))


def workers(project: Project) -> tuple[WorkerRecord, ...]:
    """Return the living workers of a project."""
    database = Database.open(project)
    try:
        return living_workers(Workers(database))
    finally:
        database.close()
