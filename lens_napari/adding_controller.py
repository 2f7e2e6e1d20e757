"""Adds scans to the project in the background: chosen with a button, dropped on the window, or opened in napari."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from lens_engine.errors import StoppedError
from lens_engine.progress import WorkHandle
from lens_engine.store.catalog import DatasetRecord
from lens_engine.store.exchange.ingest import AddReport
from lens_napari.panels.add_scans import AddScansPanel
from lens_napari.review.adding import AddRequest, added_headline, added_lines, printable, split_choices
from lens_napari.review.project_store import ProjectStore, message_of
from lens_napari.viewer.background import Lane

REFRESH_MS = 100
NOTHING_ADDED = "Stopped. Nothing was added."
BUSY = "Other scans are being added. Open these again when that is done."


class AddingController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The add-scans dock of one project.

    Parameters
    ----------
    store
        The opened project.
    """

    added = Signal(object)
    """The `AddReport` of scans that are in the project now."""
    shown = Signal()
    """The dock is to come forward."""

    def __init__(self, store: ProjectStore) -> None:
        super().__init__()
        self._store = store
        self._lane = Lane("adding")
        self._handle: WorkHandle | None = None
        self._progress = (0, 0)
        self.panel = AddScansPanel(split_choices(store.project.settings))
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self._show_progress)
        self.panel.folder_chosen.connect(lambda folder: self.offer([folder]))
        self.panel.add_requested.connect(self.add)
        self.panel.stop_requested.connect(self.stop)

    @property
    def is_running(self) -> bool:
        """Whether scans are being added."""
        return self._handle is not None

    def choose(self) -> None:
        """Bring the dock forward and let the reader choose a folder."""
        self.shown.emit()
        if not self.is_running:
            self.panel.choose()

    def offer(self, paths: Sequence[Path]) -> bool:
        """Ask whether and as what files and folders are to be added; nothing is added before the answer."""
        self.shown.emit()
        if self.is_running:
            self.panel.show_notice(BUSY)
        else:
            self._lane.submit(self._store.catalog.datasets, partial(self._ask, tuple(paths)), self._refuse)
        return True

    def add(self, request: AddRequest) -> None:
        """Add scans in the background."""
        self._handle = WorkHandle()
        self._progress = (0, 0)
        self.panel.show_running()
        self._timer.start()
        self._lane.submit(
            partial(self._store.add_scans, request, self._on_progress, self._handle), self._on_added, self._on_failed
        )

    def stop(self) -> None:
        """End adding when the file in work is read."""
        if self._handle is not None:
            self._handle.stop()

    def close(self) -> None:
        """End adding; what was added whole stays."""
        self._timer.stop()
        self.stop()
        self._lane.close(finish=False)

    def _ask(self, paths: tuple[Path, ...], datasets: Sequence[DatasetRecord]) -> None:
        self.panel.ask(paths, datasets)

    def _on_progress(self, done: int, total: int) -> None:
        # Runs in the lane, for each file: the window looks at it a few times a second.
        self._progress = (done, total)

    def _show_progress(self) -> None:
        if self._handle is not None and self._handle.current and self.panel.stop_button.isEnabled():
            self.panel.show_progress(printable(self._handle.current), *self._progress)

    def _on_added(self, report: AddReport) -> None:
        self._end()
        self.panel.show_result(added_headline(report), added_lines(report), can_find=bool(report.added))
        if report.added:
            self.added.emit(report)

    def _on_failed(self, error: Exception) -> None:
        self._end()
        self.panel.show_message(NOTHING_ADDED if isinstance(error, StoppedError) else printable(message_of(error)))

    def _refuse(self, error: Exception) -> None:
        self.panel.show_message(message_of(error))

    def _end(self) -> None:
        self._handle = None
        self._timer.stop()
