"""The small project with real worker processes, into which what a recipe has trained is brought."""

from support.projects.worker_project import database, jobs, start_worker, tiny_checkpoint

__all__ = ["database", "jobs", "start_worker", "tiny_checkpoint"]
