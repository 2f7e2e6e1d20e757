"""The small project with real worker processes that jobs, worker and tasks are tested on."""

from support.projects.worker_project import database, jobs, start_worker, tiny_checkpoint

__all__ = ["database", "jobs", "start_worker", "tiny_checkpoint"]
