"""Lesions that readers drew in one viewer: read with their series, written behind the reader's back."""

from collections.abc import Iterator
from functools import partial

from qtpy.QtCore import QObject, Signal

from lens_engine.store.decisions import DecisionRecord
from lens_napari.editing.drawn import DrawnLesions, DrawnWrite
from lens_napari.review.project_store import ProjectStore, message_of
from lens_napari.review.session import now
from lens_napari.review.settings import ViewerSettings
from lens_napari.viewer.background import Lane


class DrawnController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The drawn lesions of the series that were shown, and their way to the disk.

    Parameters
    ----------
    store, commits
        The opened project, and the lane in which decisions are committed: what is read there knows all that was said
        before.
    settings
        Who draws.
    acts
        Numbers what the reader does, shared with the review session.
    """

    changed = Signal()
    """Other lesions are there, or what was said of one is on disk."""
    saved = Signal()
    failed = Signal(str)
    """Why something was not saved, or not read."""

    def __init__(self, store: ProjectStore, commits: Lane, settings: ViewerSettings, acts: Iterator[int]) -> None:
        super().__init__()
        self._store = store
        self._commits = commits
        self.lesions = DrawnLesions(settings.reader, now, acts)
        self.lesions.scores_hidden = settings.scores_hidden

    def send(self, write: DrawnWrite) -> None:
        """Write what was said of a lesion."""
        self._commits.submit(
            partial(self._commit, write),
            lambda _: self._on_saved(write.ticket),
            partial(self._on_not_saved, write.ticket),
        )
        self.changed.emit()

    def read(self, series_id: int) -> None:
        """Read the lesions of a series; once more where something was said of them meanwhile."""
        self._commits.submit(
            partial(self._store.drawn_lesions, series_id),
            partial(self._on_read, series_id),
            lambda error: self.failed.emit(message_of(error)),
        )

    def _commit(self, write: DrawnWrite) -> None:
        # Runs in the lane, behind the write that gave the lesion its row.
        write.row.id = self._store.commit_drawn(write.said, write.row.id, is_there=write.was_there)

    def _on_saved(self, ticket: int) -> None:
        self.lesions.mark_saved(ticket)
        self.changed.emit()
        self.saved.emit()

    def _on_not_saved(self, ticket: int, error: Exception) -> None:
        self.lesions.mark_failed(ticket)
        self.failed.emit(message_of(error))
        self.changed.emit()

    def _on_read(self, series_id: int, records: tuple[DecisionRecord, ...]) -> None:
        if self.lesions.is_pending(series_id):
            self.read(series_id)
        elif records or self.lesions.of_series(series_id):
            self.lesions.show(series_id, records)
            self.changed.emit()
