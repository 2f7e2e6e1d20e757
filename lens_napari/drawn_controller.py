"""Lesions that readers drew in one viewer: read with their series, written behind the reader's back."""

from collections.abc import Iterator
from functools import partial
from typing import Protocol

from qtpy.QtCore import QObject, Signal

from lens_engine.findings import Decision
from lens_engine.store.decisions import DecisionRecord
from lens_napari.editing.drawn import DrawnLesions, DrawnWrite
from lens_napari.editing.wording import drawn_line
from lens_napari.review.acts import SaveState
from lens_napari.review.project_store import message_of
from lens_napari.review.saying.kept import KeptDecision
from lens_napari.review.session import now
from lens_napari.review.settings import ViewerSettings
from lens_napari.viewer.background import CommitLane


class DrawnStore(Protocol):
    """Where drawn lesions are kept: those of the review, or of a reading of the test set."""

    def drawn_lesions(self, series_id: int) -> tuple[DecisionRecord, ...]:
        """Return the lesions that were drawn in a series."""

    def commit_drawn(self, said: Decision, row_id: int | None, *, is_there: bool) -> int:
        """Write what is said now of a drawn lesion, and return its row; see `ProjectStore.commit_drawn`."""


def write_kept(store: DrawnStore, kept: KeptDecision) -> None:
    """Write what was said of a drawn lesion and could not be saved before, unless it was.

    Raises
    ------
    LensError
        If it is not on disk then.
    """
    said = kept.said
    known = store.drawn_lesions(said.series_id)
    if not any((one.decision.reader, one.decision.decided_at) == (said.reader, said.decided_at) for one in known):
        store.commit_drawn(said, kept.row_id, is_there=kept.was_there)


class DrawnController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The drawn lesions of the series that were shown, and their way to the disk.

    Parameters
    ----------
    store, commits
        Where the lesions are kept, and the lane in which decisions are committed: what is read there knows all that
        was said before.
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
    confirmed = Signal(object)
    """The `SaidLine` of what was drawn, changed or deleted, when that was said and when it is on disk."""
    refused = Signal(object)
    """The `Step` that was not saved; what held before it holds again."""

    def __init__(self, store: DrawnStore, commits: CommitLane, settings: ViewerSettings, acts: Iterator[int]) -> None:
        super().__init__()
        self._store = store
        self._commits = commits
        self.lesions = DrawnLesions(settings.reader, now, acts)
        self.lesions.scores_hidden = settings.scores_hidden

    def send(self, write: DrawnWrite) -> None:
        """Write what was said of a lesion."""
        self._commits.commit(
            write,
            partial(self._commit, write),
            lambda _: self._on_saved(write),
            partial(self._on_not_saved, write),
        )
        self.confirmed.emit(drawn_line(write, SaveState.PENDING))
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

    def _on_saved(self, write: DrawnWrite) -> None:
        self.lesions.mark_saved(write.ticket)
        self.confirmed.emit(drawn_line(write, SaveState.SAVED))
        self.changed.emit()
        self.saved.emit()

    def _on_not_saved(self, write: DrawnWrite, error: Exception) -> None:
        self.confirmed.emit(drawn_line(write, SaveState.FAILED))
        self.refused.emit(self.lesions.mark_failed(write.ticket))
        self.failed.emit(message_of(error))
        self.changed.emit()

    def _on_read(self, series_id: int, records: tuple[DecisionRecord, ...]) -> None:
        if self.lesions.is_pending(series_id):
            self.read(series_id)
        elif records or self.lesions.of_series(series_id):
            self.lesions.show(series_id, records)
            self.changed.emit()
