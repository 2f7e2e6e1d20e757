"""What workers do and have done: jobs, and the worker itself."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from lens_engine.errors import JobError
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.launcher import WORKER_MODULE, resume_job, worker_alive
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.status import JobStatus
from lens_engine.jobs.watching import WorkerWatch
from lens_engine.project import Project
from lens_napari.cli.context import console, open_database, open_project
from lens_napari.cli.handover import become
from lens_napari.cli.job_results import print_result
from lens_napari.review.job_wording import remaining


def jobs(
    context: typer.Context,
    cancel: Annotated[str | None, typer.Option(metavar="JOB", help="Ask a job to end.")] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="JOB", help="Go on with a cancelled, failed or interrupted job.")
    ] = None,
    log: Annotated[str | None, typer.Option(metavar="JOB", help="Show the log of a job.")] = None,
    result: Annotated[str | None, typer.Option(metavar="JOB", help="Show what a finished job found.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest jobs.")] = 20,
) -> None:
    """List the jobs of the project, cancel or resume one, or show its log or its result."""
    project = open_database(context).project
    queue = open_queue(project)
    try:
        if cancel is not None:
            queue.cancel(cancel)
        if resume is not None:
            followed = resume_job(project, queue, resume)
            place = "" if followed == resume else f" in place of {resume}"
            console.print(f"Job {followed} goes on{place}.", highlight=False)
        if log is not None:
            file = queue.log_file(log)
            if not file.is_file():
                queue.status(log)  # says if there is no such job
                raise JobError(
                    f"Job {log} has no log yet", "A log appears when a worker starts the job", "See: lens jobs"
                )
            console.out(file.read_text(encoding="utf-8"), end="")
            return
        if result is not None:
            print_result(queue.status(result))
            return
        _print_jobs(project, queue.jobs(limit))
    finally:
        queue.close()


def worker(
    context: typer.Context,
    idle_minutes: Annotated[
        float | None, typer.Option(min=0, help="End after so long without a job; without it, only when interrupted.")
    ] = None,
    executor_id: Annotated[
        str | None, typer.Option(help="Stable name of this worker; host and device by default.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="PORT", help="Offer counts and times for Prometheus, on this computer alone; or HOST:PORT."
        ),
    ] = None,
) -> None:
    """Run jobs in the foreground until interrupted (needs the extra 'engine')."""
    arguments = ["--project", str(open_project(context).folder)]
    if idle_minutes is not None:
        arguments += ["--idle-minutes", str(idle_minutes)]
    if executor_id is not None:
        arguments += ["--executor-id", executor_id]
    if metrics is not None:
        arguments += ["--metrics", metrics]
    become(WORKER_MODULE, arguments, process_environment())


def _print_jobs(project: Project, latest: Sequence[JobStatus]) -> None:
    watch = WorkerWatch(project)
    try:
        table = Table(Column("job", no_wrap=True), "kind", "state", "progress", "left", "what", "worker")
        for status in watch.look(latest):
            progress = f"{status.done}/{status.total}" if status.total else ""
            table.add_row(
                status.id,
                status.kind,
                status.state,
                progress,
                remaining(status),
                escape(status.error or status.stage),
                status.worker or "",
            )
        console.print(table)
        waiting = sum(not status.state.is_final for status in latest)
        if waiting and not worker_alive(project):
            console.print(f"{waiting} of them {'wait' if waiting > 1 else 'waits'} for a worker: lens worker")
    finally:
        watch.close()


VERBS = {"jobs": jobs, "worker": worker}
