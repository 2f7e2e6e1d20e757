"""Marks the series on screen as completely annotated, or takes the mark back."""

from functools import partial

from qtpy.QtCore import QObject, Signal

from lens_engine.store.catalog import SeriesRecord
from lens_napari.panels.series import SeriesBox
from lens_napari.review.project_store import MarkedSeries, ProjectStore, message_of
from lens_napari.review.wording import completeness_words
from lens_napari.viewer.background import Lane


class CompletenessController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The mark of one series at a time.

    Parameters
    ----------
    store
        The opened project.
    commits
        The lane in which decisions are committed: a mark is set behind all of them.
    box
        Where the reader sees and sets the mark.
    """

    changed = Signal(object)
    """The `SeriesRecord` of a series whose mark was changed."""

    def __init__(self, store: ProjectStore, commits: Lane, box: SeriesBox) -> None:
        super().__init__()
        self._store = store
        self._commits = commits
        self._box = box
        self._shown: SeriesRecord | None = None
        self._waiting = 0
        """Marks that are not on disk yet; the box shows the last one."""
        box.completeness_chosen.connect(self.mark)

    def show(self, record: SeriesRecord) -> None:
        """Show the mark of the series that is on screen."""
        self._shown = record
        self._box.show_shown(record)

    def toggle(self) -> None:
        """Mark the series on screen, or take its mark back."""
        self.mark(not self._box.is_complete)

    def mark(self, is_complete: bool) -> None:  # a Qt signal's argument
        """Say whether the series on screen is annotated completely."""
        if self._shown is not None:
            self._waiting += 1
            self._box.show_saving(is_complete)
            change = self._store.mark_complete if is_complete else self._store.unmark_complete
            self._commits.submit(partial(change, self._shown.id), self._on_marked, self._on_refused)

    def _on_marked(self, marked: MarkedSeries) -> None:
        self._waiting -= 1
        self._box.show_line(marked.record)
        if self._shown is not None and self._shown.id == marked.record.id:
            self._shown = marked.record
            if self._waiting == 0:
                self.show(marked.record)
                self._box.show_note(completeness_words(marked.record, marked.lesions))
        self.changed.emit(marked.record)

    def _on_refused(self, error: Exception) -> None:
        self._waiting -= 1
        if self._shown is not None and self._waiting == 0:
            self.show(self._shown)
        self._box.show_problem(message_of(error))
