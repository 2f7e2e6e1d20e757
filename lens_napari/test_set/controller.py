"""Joins the picture, the boxes and one reader's readings: the test set is read blind, one sub-volume after the other.

A reading is completed behind all its lesions.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from lens_engine.findings import FUSED, Verdict
from lens_engine.store.readings.records import ReadingRecord
from lens_napari.editing.wording import NO_BOX, NOT_CHOSEN
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, NOTHING_CHANGED, BoxRow, BoxState, BoxTable, Shown
from lens_napari.review.project_store import LoadedSeries
from lens_napari.review.readings import wording
from lens_napari.review.readings.store import ReadingState, ReadingStore, SubVolume
from lens_napari.review.settings import KeySettings
from lens_napari.review.wording import NOTHING_TO_REDO, NOTHING_TO_UNDO
from lens_napari.test_set.reading_panel import ReadingPanel
from lens_napari.test_set.sub_volumes_panel import SubVolumesPanel
from lens_napari.test_set.workplace import Place, Workplace
from lens_napari.viewer.keys import Action
from lens_napari.viewer.palette import FUSED_COLOUR
from lens_napari.viewer.series_view import Drawing

SHOWN = Shown(rest_is_dimmed=False, in_sections=frozenset({ANNOTATIONS, CANDIDATES}))


class TestSetController(Workplace):
    """One reader's readings of the test set of one project, in one napari viewer."""

    __test__ = False  # pytest must not collect it for its name

    title = "test set"
    rules = (
        "Mark every lesion of the sub-volume: draw it on one slice, then let the box reach over all its slices. White "
        "boxes came with the data and count already; one that is on a single slice has to be drawn. Without any "
        "lesion the scan is a normal one: that is said with the same key."
    )

    def __init__(self, viewer: Any, place: Place) -> None:
        self._readings = ReadingStore(place.store, place.settings.reader)
        # Of a detector there is one group, which is empty until the reader asks for what a model found.
        super().__init__(viewer, place, self._readings, {FUSED: FUSED_COLOUR})
        self._items: tuple[SubVolume, ...] = ()
        self._reading: ReadingRecord | None = None
        self._wanted: int | None = None
        self._rows: tuple[BoxRow, ...] = ()
        """Boxes of the sub-volume on screen that this reader has not marked."""
        self._is_completing = False
        self.list_panel = SubVolumesPanel(self.settings.keys)
        self.work_panel: ReadingPanel = ReadingPanel(self.settings.keys, self.boxes.panel)
        self.boxes.panel.change_requested.connect(self.change_box)
        self.boxes.panel.keep_requested.connect(self.keep_box)
        self.list_panel.chosen.connect(self.show_series)
        self.list_panel.next_requested.connect(self.go_next)
        self.work_panel.complete_requested.connect(self.complete)
        self.work_panel.aids_requested.connect(self.show_aids)

    @property
    def reading(self) -> ReadingRecord | None:
        """The reading of the sub-volume on screen; None until one is there."""
        loaded = self.view.loaded
        is_here = self._reading is not None and loaded is not None and loaded.record.id == self._reading.series_id
        return self._reading if is_here and not self.view.is_loading else None

    @property
    def items(self) -> tuple[SubVolume, ...]:
        """The sub-volumes with what this reader has done of them."""
        return self._items

    def open(self) -> None:
        """Read the list in the background and show the first sub-volume that is left."""
        self._keep_time.start()
        self._say_kept_again()
        self._submit(self._readings.sub_volumes, self._on_first_list)

    def show_series(self, series_id: int) -> None:
        """Begin the reading of a sub-volume, or go on with it; a changed box in work is kept or dropped first."""
        item = self._item(series_id)
        if item is None or item.state is ReadingState.CLOSED or self.boxes.holds():
            self._refresh()
            return
        self._write_time()
        self._tell("")
        self._go_to(series_id)

    def go_next(self) -> None:
        """Show the next sub-volume that is left; after the last one the first."""
        left = [item.series.id for item in self._items if item.state.is_left]
        if not left:
            self._tell(wording.NOTHING_LEFT)
            return
        after = [series_id for series_id in self._following() if series_id in left]
        self.show_series(after[0] if after else left[0])

    def go_previous(self) -> None:
        """Show the sub-volume before, complete or not."""
        before = [item.series.id for item in self._items if item.state is not ReadingState.CLOSED]
        following = self._following()
        earlier = [series_id for series_id in before if series_id not in following and series_id != self._wanted]
        if earlier:
            self.show_series(earlier[-1])

    def draw_lesion(self) -> None:
        """Let the next drag draw the box of a lesion."""
        self._change(self.boxes.draw)

    def change_box(self) -> None:
        """Take the box that is chosen in the list into work."""
        if self.boxes.draft is None and self.boxes.chosen is None:
            self._tell(NOT_CHOSEN)
        elif self.boxes.draft is None:
            self._change(self.boxes.change_chosen)

    def keep_box(self) -> None:
        """Say that the box in work is a lesion."""
        if not self.boxes.takes(Verdict.ACCEPTED, None):
            self._tell(NO_BOX)

    def move_ends(self, by_first: int, by_last: int) -> None:
        """Move the first and the last slice of the box in work, or of the one that is chosen."""
        if self.boxes.draft is None:
            self.change_box()
        self.boxes.move_ends(by_first, by_last)

    def delete(self) -> None:
        """Delete the lesion that is chosen in the list."""
        self._change(self.boxes.delete)

    def undo(self) -> None:
        """Take back the last change of the box in work, or else the last lesion that was marked, changed or deleted."""
        if not self.boxes.undo(0):
            self._tell(NOTHING_TO_UNDO)

    def redo(self) -> None:
        """Do again what was taken back."""
        if not self.boxes.redo(None):
            self._tell(NOTHING_TO_REDO)

    def complete(self) -> None:
        """Say that every lesion is marked and go to the next sub-volume; or take that back where it was said.

        What was marked is on disk before: a scan whose lesions cannot be written is no normal one.
        """
        reading = self.reading
        if reading is None:
            self._tell(wording.STILL_LOADING if self._wanted is not None else wording.NOTHING_OPEN)
        elif self._is_completing or self.boxes.drawn.is_pending(reading.series_id):
            self._tell(wording.STILL_SAVING)
        elif not self.boxes.holds():
            self._is_completing = True
            if reading.is_complete:
                self._commits.submit(
                    partial(self._readings.reopen, reading), partial(self._on_ended, wording.REOPENED), self._on_refused
                )
            else:
                self._time.act()
                self._commits.submit(
                    partial(self._readings.complete, reading, self._time.take()), self._on_completed, self._on_refused
                )

    def show_aids(self) -> None:
        """Show what the model in use found in this scan, which is recorded with the reading."""
        reading = self.reading
        if reading is not None and reading.is_blind and not self.boxes.holds():
            self._submit(partial(self._readings.show_aids, reading), self._on_aids)

    def key_actions(self) -> dict[str, Action]:
        """Return what each key does; those of the review for the same things do it, too."""
        own, boxes = self.settings.keys, self.boxes
        return {
            **self._marking(self.review_keys),
            **self._marking(own),
            own.accept: self.keep_box,
            own.keep_box: self.keep_box,
            own.cancel: boxes.cancel,
            own.change_box: self.change_box,
            own.delete_drawn: self.delete,
            own.undo: self.undo,
            own.redo: self.redo,
            own.redo_also: self.redo,
            own.next_lesion: self.go_next,
            own.previous_lesion: self.go_previous,
        }

    def _marking(self, keys: KeySettings) -> dict[str, Action]:
        return {
            keys.draw_lesion: self.draw_lesion,
            keys.complete: self.complete,
            keys.first_up: partial(self.move_ends, -1, 0),
            keys.first_down: partial(self.move_ends, 1, 0),
            keys.last_up: partial(self.move_ends, 0, -1),
            keys.last_down: partial(self.move_ends, 0, 1),
        }

    # -- reading ------------------------------------------------------------------------------------------------------

    def _on_first_list(self, items: tuple[SubVolume, ...]) -> None:
        self._on_list(items)
        if items:
            self.go_next()

    def _on_list(self, items: tuple[SubVolume, ...]) -> None:
        self._items = items
        self._refresh()

    def _go_to(self, series_id: int) -> None:
        self._wanted = series_id
        self.work_panel.forget_first_press()
        self._submit(partial(self._readings.begin, series_id), self._on_begun)

    def _on_begun(self, reading: ReadingRecord) -> None:
        if reading.series_id == self._wanted:
            self._reading = reading
            self.view.load(reading.series_id, None if reading.is_blind else str(reading.id))
        self._read_list()

    def _read_series(self, series_id: int, _reading_that_is_not_blind: str | None) -> LoadedSeries:
        # Runs in a lane, behind what was said of the reading.
        return self._readings.load(self._readings.begin(series_id))

    def _on_series(self, loaded: LoadedSeries) -> None:
        rows = [BoxRow(ANNOTATIONS, annotation.slices, 1.0) for annotation in loaded.annotations]
        rows += [BoxRow(FUSED, found.slices, found.score) for found in loaded.findings if found.expert == FUSED]
        self._rows = tuple(rows)
        self._time.act()
        self.boxes.show(loaded)
        self.view.go_to_middle(self._drawing(loaded.record.id))
        if self._reading is not None and not self._reading.is_blind and not loaded.is_searched:
            self._tell(wording.NOT_SEARCHED)
        self._refresh()

    def _read_list(self) -> None:
        self._submit(self._readings.sub_volumes, self._on_list)

    # -- saying -------------------------------------------------------------------------------------------------------

    def _change(self, change: Callable[[], None]) -> None:
        """Let a key change what is marked, unless the reading is complete."""
        if self.reading is not None and self.reading.is_complete:
            self._tell(wording.is_complete_words(self.settings.keys))
        else:
            change()

    def _on_completed(self, reading: ReadingRecord) -> None:
        lesions = len(self.boxes.drawn.of_series(reading.series_id))
        item = self._item(reading.series_id)
        self._on_ended(wording.completed_words(item.series.name if item else "", lesions), reading)
        self._items = tuple(
            SubVolume(one.series, reading, one.is_closed) if one.series.id == reading.series_id else one
            for one in self._items
        )
        self._refresh()
        said = self.work_panel.notice_label.text()
        self.go_next()
        left = any(one.state.is_left for one in self._items)
        self._tell(said if left else f"{said} {wording.NOTHING_LEFT}")

    def _on_ended(self, words: str, reading: ReadingRecord) -> None:
        self._is_completing = False
        self._take(reading)
        self._tell(words)
        self._read_list()

    def _on_refused(self, error: Exception) -> None:
        self._is_completing = False
        self._on_error(error)

    def _on_aids(self, reading: ReadingRecord) -> None:
        self._take(reading)
        self._tell("")
        if self._wanted == reading.series_id:
            self.view.load(reading.series_id, str(reading.id))

    def _take(self, reading: ReadingRecord) -> None:
        if self._reading is not None and self._reading.id == reading.id:
            self._reading = reading
        self._refresh()

    def _write_time(self) -> None:
        """Write how long the reader was at work on the sub-volume on screen; looking at a complete one is no work."""
        seconds, reading = self._time.take(), self._reading
        if reading is not None and not reading.is_complete and seconds > 0:
            self._submit(partial(self._readings.work, reading, seconds), self._take)

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _drawing(self, series_id: int) -> Drawing:
        """Return all boxes; those that were marked are in the table, so that the sections show the one in work."""
        marked = [BoxRow(CANDIDATES, slices, 1.0, number) for number, slices in self.boxes.of_series(series_id).items()]
        table = BoxTable.from_rows(self.view.layers.groups, [*self._rows, *marked])
        loud = {number: one for number, one in self.boxes.states(series_id).items() if one is BoxState.ASKED}
        return Drawing(table, SHOWN, loud, NOTHING_CHANGED)

    def _refresh(self) -> None:
        """Show in the panels what there is."""
        reading = self.reading
        item = None if reading is None else self._item(reading.series_id)
        lesions = 0 if reading is None else len(self.boxes.drawn.of_series(reading.series_id))
        self.list_panel.show_list(self._items, self._wanted)
        self.work_panel.show_reading(reading, item.series.name if item else "", lesions)
        self.boxes.show_panel()
        self._draw()

    def _item(self, series_id: int) -> SubVolume | None:
        return next((item for item in self._items if item.series.id == series_id), None)

    def _following(self) -> list[int]:
        """Return the sub-volumes behind the one on screen; all where none is."""
        ids = [item.series.id for item in self._items]
        return ids[ids.index(self._wanted) + 1 :] if self._wanted in ids else ids
