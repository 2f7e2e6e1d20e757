"""Keeps what is said while no lesion is asked about up to date: after jobs, added scans and minings."""

from qtpy.QtCore import QObject, Signal

from lens_engine.jobs.inputs import JobKind
from lens_engine.jobs.status import JobStatus
from lens_napari.jobs_controller import JobsController
from lens_napari.review.next_step import SEARCHES, NextStep, Standing, next_step
from lens_napari.review.project_store import ProjectStore
from lens_napari.review.session import Filtered, Tally
from lens_napari.viewer.background import Lane


class NextStepController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """What makes sense now, as far as it is known.

    Parameters
    ----------
    store
        The opened project.
    jobs
        What runs; it tells when that changes.
    lane
        Where the project is read.
    """

    changed = Signal()
    searched = Signal()
    """A search has ended: scans may have boxes now."""
    failed = Signal(object)
    """The error for which the project cannot be read."""

    def __init__(self, store: ProjectStore, jobs: JobsController, lane: Lane) -> None:
        super().__init__()
        self._store = store
        self._jobs = jobs
        self._lane = lane
        self._standing: Standing | None = None
        self._seen: tuple[JobStatus, ...] | None = None
        """The searches of the last answer; None before the first."""
        jobs.jobs_changed.connect(self._on_jobs)

    @property
    def is_searching(self) -> bool:
        """Whether scans are being searched, or wait for it."""
        return any(job.kind is JobKind.DETECT and not job.state.is_final for job in self._seen or ())

    def refresh(self) -> None:
        """Read again how far the project is."""
        self._lane.submit(self._store.standing, self._on_standing, self.failed.emit)

    def step(self, tally: Tally, filtered: Filtered | None) -> NextStep:
        """Return what is said while no lesion is asked about."""
        return next_step(self._standing, tally, filtered, self._jobs.jobs)

    def _on_standing(self, standing: Standing) -> None:
        self._standing = standing
        self.changed.emit()

    def _on_jobs(self) -> None:
        searches = tuple(job for job in self._jobs.jobs if job.kind in SEARCHES)
        if searches == self._seen:
            return
        before, self._seen = self._seen, searches
        self.changed.emit()
        running = {job.id for job in searches if not job.state.is_final}
        known = {job.id for job in before or () if job.state.is_final}
        if before is not None and {job.id for job in searches} - running - known:
            self.refresh()
            self.searched.emit()
