"""What reading the test set and adjudicating it share: one series on screen, boxes in work, time, the way to the disk.

The GUI thread only draws. Everything that is said is committed in order in one lane.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from lens_engine.findings import box_from_slices, middle_section
from lens_napari.boxes_controller import BoxesController
from lens_napari.drawn_controller import DrawnStore, write_kept
from lens_napari.editing.draft import Slices
from lens_napari.review.project_store import LoadedSeries, ProjectStore, message_of
from lens_napari.review.readings.active_time import ActiveTime
from lens_napari.review.readings.wording import box_again
from lens_napari.review.saying.kept import CLOSING_SECONDS, KeptFile, SaidAgain, said_again_words
from lens_napari.review.settings import KeySettings, ViewerSettings, save_settings
from lens_napari.sections.linked_planes import LinkedPlanes
from lens_napari.test_set.parts import NoticePanel
from lens_napari.viewer.background import CommitLane, Lane
from lens_napari.viewer.keys import Action
from lens_napari.viewer.series_view import Drawing, SeriesView

LESIONS_SEEN = 12
"""Lines of the list of marked lesions."""
KEEP_TIME_MS = 60_000
"""How often the time at work is written."""


@dataclass(frozen=True, slots=True)
class Place:
    """The project and its reader.

    Attributes
    ----------
    store
        The opened project.
    settings, settings_path
        What this reader has chosen, and the file where changes are kept; None keeps nothing.
    """

    store: ProjectStore
    settings: ViewerSettings
    settings_path: Path | None


class Workplace(QObject):  # type: ignore[misc]  # qtpy carries no types
    """One series at a time in one napari viewer, with the boxes that a reader works on.

    Parameters
    ----------
    viewer
        The napari viewer.
    place
        The project and its reader.
    drawn
        Where lesions that are drawn are kept.
    colours
        Groups of boxes with their colours, besides annotations and what is in work.
    """

    closing_seconds = CLOSING_SECONDS
    closed = Signal()

    title = ""
    """What the window is for."""
    list_panel: Any
    """The dock on the left: series."""
    work_panel: NoticePanel
    """The dock on the right: the series on screen."""
    rules = ""
    """What a complete work is, in a reader's words."""

    def __init__(self, viewer: Any, place: Place, drawn: DrawnStore, colours: Mapping[str, str]) -> None:
        super().__init__()
        self.viewer = viewer
        self.settings = place.settings.in_test_set
        self._kept_settings, self._settings_path = place.settings, place.settings_path
        self._store = place.store
        self._commits = CommitLane()
        self._ahead = Lane("ahead")
        self._drawn_store = drawn
        self._kept = KeptFile(place.store.project.folder, place.settings.reader, self.title)
        self._is_closed = False
        self._time = ActiveTime(monotonic)
        self.view = SeriesView(viewer, colours, self._read_series, self._ahead)
        self.planes = LinkedPlanes(self.view)
        self._acts = count(1)
        self.boxes = BoxesController(viewer, self.view, drawn, self._commits, self.settings, self._acts)
        self._keep_time = QTimer(self)
        self._keep_time.setInterval(KEEP_TIME_MS)
        self._keep_time.timeout.connect(self._write_time)
        self.boxes.panel.rows_shown = LESIONS_SEEN
        self.boxes.failed.connect(self._on_unsaved)
        self.boxes.saved.connect(lambda: self.work_panel.forget_unsaved())
        self.boxes.wanted.connect(self._go_to)
        self.boxes.changed.connect(self._refresh)
        self.boxes.moved.connect(self._draw)
        self.boxes.told.connect(self._tell)
        self.boxes.out_of_sight.connect(self._show_place)
        self.view.arrived.connect(self._on_series)
        self.view.failed.connect(self._on_error)

    @property
    def is_saved(self) -> bool:
        """Whether everything that was said is on disk."""
        return self._commits.waiting == 0

    @property
    def review_keys(self) -> KeySettings:
        """The keys of the review; those for the same things act here, too."""
        return self._kept_settings.keys

    @abstractmethod
    def open(self) -> None:
        """Read the list in the background and show the first series that is left."""

    @abstractmethod
    def key_actions(self) -> dict[str, Action]:
        """Return what each key does besides those that every such window has."""

    @abstractmethod
    def _go_to(self, series_id: int) -> None:
        """Show a series, whatever is in work."""

    @abstractmethod
    def _read_series(self, series_id: int, version: str | None) -> LoadedSeries:
        """Read a series; runs in a lane."""

    @abstractmethod
    def _on_series(self, loaded: LoadedSeries) -> None:
        """Go on in the series that has come on screen."""

    @abstractmethod
    def _drawing(self, series_id: int) -> Drawing:
        """Return the boxes to draw."""

    @abstractmethod
    def _write_time(self) -> None:
        """Write how long the reader was at work on the series on screen."""

    @abstractmethod
    def _refresh(self) -> None:
        """Show in the panels what there is."""

    def close(self) -> None:
        """Write everything that waits, keep what no database takes within a time, and end all threads."""
        if not self._is_closed:
            self._write_time()
            self._is_closed = True
            self._keep_time.stop()
            self.boxes.close()
            self.planes.close()
            self.view.close()
            self._ahead.close(finish=False)
            self._commits.close_within(self.closing_seconds)
            self._kept.keep(self._commits.unsaved)
            self._store.close()
            self.closed.emit()

    def act(self) -> None:
        """Note that the reader does something."""
        self._time.act()

    def pause(self) -> None:
        """Note that the reader turns to another window."""
        self._time.pause()

    def keep_sections(self, are_shown: bool) -> None:  # a Qt signal's argument
        """Remember whether this reader wants coronal and sagittal sections."""
        self._kept_settings = self._kept_settings.model_copy(update={"sections_shown": are_shown})
        if self._settings_path is not None:
            kept, path = self._kept_settings, self._settings_path
            self._submit(lambda: save_settings(kept, path), lambda _: None)

    def _submit(self, work: Callable[[], Any], on_done: Callable[[Any], None]) -> None:
        self._commits.submit(work, on_done, self._on_error)

    def _on_error(self, error: Exception) -> None:
        self.work_panel.show_problem(message_of(error))

    def _say_kept_again(self) -> None:
        """Write what a window before this one could not save."""
        again = partial(self._kept.say_again, partial(write_kept, self._drawn_store))
        self._commits.submit(again, self._on_said_again, self._on_error)

    def _on_said_again(self, again: SaidAgain) -> None:
        if words := said_again_words(again):
            self._tell(words)

    def _on_unsaved(self, text: str) -> None:
        is_in_work = self.boxes.draft is not None
        self.work_panel.show_unsaved(f"{text} {box_again(self.settings.keys)}" if is_in_work else text)

    def _tell(self, text: str) -> None:
        self.work_panel.show_notice(text)

    def _draw(self) -> None:
        loaded = self.view.loaded
        if loaded is not None:
            self.view.draw(self._drawing(loaded.record.id))

    def _show_place(self, slices: Slices) -> None:
        loaded = self.view.loaded
        if loaded is not None:
            self.view.go_to(middle_section(slices), box_from_slices(slices), self._drawing(loaded.record.id))
