"""What is said of the course of a job, in the viewer and by `lens jobs`."""

from lens_engine.jobs.status import JobState, JobStatus

INTERRUPTED = "Interrupted: the program that did it has ended. It goes on where it was once another one runs."


def remaining(job: JobStatus) -> str:
    """Return how long a job still takes, as far as that can be told."""
    if job.state is JobState.QUEUED:
        return "waits"
    if job.state is not JobState.RUNNING or job.eta_seconds is None:
        return ""
    if job.eta_seconds < 90:
        return f"{job.eta_seconds:.0f} s left"
    if job.eta_seconds < 2 * 3600:
        return f"{job.eta_seconds / 60:.0f} min left"
    return f"{job.eta_seconds / 3600:.0f} h left"


def course(job: JobStatus) -> str:
    """Return what a job does and how long it still takes, in one line."""
    if job.state is JobState.QUEUED:
        return "Waits for its turn."
    if job.state is JobState.INTERRUPTED:
        return INTERRUPTED
    return " · ".join(filter(None, [job.stage, remaining(job)]))
