"""Settles the places where two readings differ: both boxes in the picture, one key for each place."""

from functools import partial
from typing import Any

from lens_engine.findings import Decision, Verdict
from lens_engine.store.decisions import DecisionRecord
from lens_engine.store.readings.places import Comparison
from lens_engine.store.readings.places import Place as DisputedPlace
from lens_engine.store.readings.records import ReadingRecord
from lens_napari.review.acts import Acts, Step
from lens_napari.review.box_table import (
    ANNOTATIONS,
    CANDIDATES,
    NO_LESION,
    NOTHING_CHANGED,
    BoxRow,
    BoxState,
    BoxTable,
    Shown,
)
from lens_napari.review.project_store import LoadedSeries, message_of
from lens_napari.review.readings import wording
from lens_napari.review.readings.adjudication_store import AdjudicationStore, DisputedSeries, slices_of
from lens_napari.review.settings import KeySettings, TestSetKeys, spoken
from lens_napari.review.wording import NOTHING_TO_REDO, NOTHING_TO_UNDO, brought_back
from lens_napari.test_set.adjudication_panels import DisputedPanel, PlacesPanel
from lens_napari.test_set.workplace import Place, Workplace
from lens_napari.viewer.keys import Action
from lens_napari.viewer.palette import READER_COLOURS
from lens_napari.viewer.series_view import Drawing

READERS = ("reader A", "reader B")
"""Groups of boxes."""
SHOWN = Shown(rest_is_dimmed=False, in_sections=frozenset({ANNOTATIONS, *READERS, CANDIDATES}))


class AdjudicationController(Workplace):
    """One adjudicator's work on the disputed series of one project, in one napari viewer."""

    title = "adjudication"
    rules = (
        "Two readers have read these scans independently and differ at the places in the list. Say of each whether it "
        "is a lesion, with whose box, or none; draw a lesion that both have missed. White boxes came with the data, or "
        "both readers have marked them. "
        "Nothing that a model found is shown."
    )

    def __init__(self, viewer: Any, place: Place) -> None:
        self._adjudication = AdjudicationStore(place.store, place.settings.reader)
        super().__init__(viewer, place, self._adjudication, dict(zip(READERS, READER_COLOURS, strict=True)))
        self._own_keys: TestSetKeys = place.settings.test_set_keys
        self._items: tuple[DisputedSeries, ...] = ()
        self._reading: ReadingRecord | None = None
        self._comparison: Comparison | None = None
        self._wanted: int | None = None
        self._number: int | None = None
        self._whose = 0
        self._settled = Acts(self._acts)
        """What was said of places of this series, by their numbers."""
        self._is_saving = False
        self.list_panel = DisputedPanel()
        self.work_panel: PlacesPanel = PlacesPanel(self.settings.keys, self._own_keys, self.boxes.panel)
        self.boxes.acted.connect(lambda: self._settled.forget_taken_back())
        self.boxes.panel.change_requested.connect(self.change_box)
        self.boxes.panel.keep_requested.connect(partial(self.settle, True))
        self.list_panel.chosen.connect(self.show_series)
        self.work_panel.place_chosen.connect(self.show_number)
        self.work_panel.box_chosen.connect(self.take_box)
        self.work_panel.settled.connect(self.settle)
        self.work_panel.complete_requested.connect(self.complete)

    @property
    def reading(self) -> ReadingRecord | None:
        """The adjudication of the series on screen; None until its places are there."""
        loaded = self.view.loaded
        is_here = self._reading is not None and loaded is not None and loaded.record.id == self._reading.series_id
        return self._reading if is_here and self._comparison is not None and not self.view.is_loading else None

    @property
    def items(self) -> tuple[DisputedSeries, ...]:
        """The series to adjudicate."""
        return self._items

    @property
    def place(self) -> DisputedPlace | None:
        """The place that keys are about."""
        if self.reading is None or self._comparison is None or self._number is None:
            return None
        return self._comparison.places[self._number]

    def open(self) -> None:
        """Read the list in the background and show the first series that is left."""
        self._keep_time.start()
        self._say_kept_again()
        self._submit(self._adjudication.disputed, self._on_first_list)

    def key_actions(self) -> dict[str, Action]:
        """Return what each key does."""
        keys = self.settings.keys
        return {
            **self._of_boxes(self.review_keys),
            **self._of_boxes(keys),
            self._own_keys.box_of_a: partial(self.take_box, 0),
            self._own_keys.box_of_b: partial(self.take_box, 1),
            keys.accept: partial(self.settle, True),
            keys.keep_box: partial(self.settle, True),
            keys.reject: partial(self.settle, False),
            keys.change_box: self.change_box,
            keys.cancel: self.boxes.cancel,
            keys.undo: self.undo,
            keys.redo: self.redo,
            keys.redo_also: self.redo,
            keys.delete_drawn: self.delete,
            keys.next_lesion: partial(self.go_by, 1),
            keys.previous_lesion: partial(self.go_by, -1),
            keys.go_to: self.reveal,
        }

    def show_series(self, series_id: int) -> None:
        """Begin the adjudication of a series, or go on with it."""
        if self.boxes.holds():
            self._refresh()
        else:
            self._go_to(series_id)

    def show_number(self, number: int) -> None:
        """Show a place by its number, from 0."""
        if self.reading is not None and self._comparison is not None and not self.boxes.holds():
            self._number = number
            self._whose = 0 if self._comparison.places[number].first is not None else 1
            self._tell("")
            self.reveal()
        self._refresh()

    def go_by(self, step: int) -> None:
        """Show the next place, or the one before."""
        if self._comparison is not None and self._number is not None:
            self.show_number(min(max(self._number + step, 0), len(self._comparison.places) - 1))

    def take_box(self, whose: int) -> None:
        """Take the box of A (0) or B (1), where that reader has marked the place."""
        place = self.place
        if place is None:
            self._tell(wording.NO_PLACE)
        elif (place.first, place.second)[whose] is None:
            self._tell(wording.NOT_MARKED)
        elif not self.boxes.holds():
            self._whose = whose
            self._tell("")
            self.reveal()
        self._refresh()

    def reveal(self) -> None:
        """Bring the place that keys are about into the picture."""
        lesion = self._lesion()
        if lesion is not None:
            self._show_place(slices_of(lesion))

    def draw_lesion(self) -> None:
        """Let the next drag draw a lesion that neither reader has marked."""
        if self._is_open():
            self.boxes.draw()

    def delete(self) -> None:
        """Delete the drawn lesion that is chosen in the list."""
        if self._is_open():
            self.boxes.delete()

    def change_box(self) -> None:
        """Take the chosen box into work: of the lesion that is chosen in the list of drawn ones, or of the place."""
        lesion = self._lesion()
        if self.boxes.chosen is not None:
            if self._is_open() and self.boxes.draft is None:
                self.boxes.change_chosen()
        elif lesion is None:
            self._tell(wording.NO_PLACE)
        elif self._is_open() and self.boxes.draft is None:
            self.boxes.change_asked(lesion.id, slices_of(lesion))

    def move_ends(self, by_first: int, by_last: int) -> None:
        """Move the first and the last slice of the chosen box."""
        if self.boxes.draft is None:
            self.change_box()
        self.boxes.move_ends(by_first, by_last)

    def settle(self, is_lesion: bool) -> None:  # a Qt signal's argument
        """Say that there is a lesion with the box that is chosen, or none, and go to the next place.

        A drawn lesion that is in work is kept.
        """
        verdict = Verdict.ACCEPTED if is_lesion else Verdict.REJECTED
        if not self._is_open() or self.boxes.takes(verdict, None):
            return
        place, lesion, reading = self.place, self._lesion(), self.reading
        if place is None or lesion is None or reading is None or self._number is None:
            self._tell(wording.NO_PLACE)
            return
        slices = self.boxes.slices_of(lesion.id, slices_of(lesion))
        unseen = self.view.why_unseen(slices, READERS[self._whose] if self.boxes.draft is None else CANDIDATES)
        if unseen is not None:
            self._tell(brought_back(unseen))
            self._show_place(slices)
            return
        self.boxes.let_go()
        self.boxes.drawn.forget_taken_back()
        said = self._adjudication.settlement(reading, place, Verdict.ADDED if is_lesion else Verdict.REJECTED, slices)
        step = self._settled.do(self._number, place.settled.decision if place.settled is not None else None, said)
        self._write(step, said)

    def undo(self) -> None:
        """Take back the last change of the box in work, or else what was settled or drawn last."""
        if self._may_replay() and not self.boxes.undo(self._settled.undo_act):
            step = self._settled.take_back()
            self._replay(step, step.before if step else None, (wording.SETTLED_BACK, NOTHING_TO_UNDO))

    def redo(self) -> None:
        """Do again what was taken back."""
        if self._may_replay() and not self.boxes.redo(self._settled.redo_act):
            step = self._settled.do_again()
            self._replay(step, step.after if step else None, (wording.SETTLED_AGAIN, NOTHING_TO_REDO))

    def complete(self) -> None:
        """Say that every place is settled and go to the next series; or take that back where it was said."""
        reading = self.reading
        if reading is None:
            self._tell(wording.STILL_LOADING if self._wanted is not None else wording.NOTHING_DISPUTED)
        elif self._is_saving or self.boxes.drawn.is_pending(reading.series_id):
            self._tell(wording.STILL_SAVING)
        elif not self.boxes.holds():
            self._is_saving = True
            self._time.act()
            change = (
                partial(self._adjudication.reopen, reading)
                if reading.is_complete
                else partial(self._adjudication.complete, reading, self._time.take())
            )
            self._commits.submit(change, self._on_ended, self._on_refused)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _on_first_list(self, items: tuple[DisputedSeries, ...]) -> None:
        self._on_list(items)
        self._go_on()

    def _on_list(self, items: tuple[DisputedSeries, ...]) -> None:
        self._items = items
        self._refresh()

    def _go_on(self) -> None:
        """Show the first series that is left."""
        left = next((item for item in self._items if not item.is_complete), None)
        if left is not None:
            self.show_series(left.series.id)
        elif self._items:
            self._tell(wording.ADJUDICATED)

    def _go_to(self, series_id: int) -> None:
        self._write_time()
        self._wanted, self._comparison, self._number = series_id, None, None
        self._settled = Acts(self._acts)
        self._submit(partial(self._adjudication.begin, series_id), self._on_begun)

    def _on_begun(self, reading: ReadingRecord) -> None:
        if reading.series_id == self._wanted:
            self._reading = reading
            self._submit(partial(self._adjudication.comparison, reading), partial(self._on_places, reading))

    def _on_places(self, reading: ReadingRecord, comparison: Comparison) -> None:
        if reading.series_id == self._wanted:
            self._comparison = comparison
            loaded = self.view.loaded
            if loaded is not None and loaded.record.id == reading.series_id and not self.view.is_loading:
                self._on_series(loaded)
            else:
                self.view.load(reading.series_id, None)

    def _read_series(self, series_id: int, _version: str | None) -> LoadedSeries:
        # Runs in a lane.
        return self._adjudication.load(series_id)

    def _on_series(self, loaded: LoadedSeries) -> None:
        self._time.act()
        self.boxes.show(loaded)
        self.view.go_to_middle(self._drawing(loaded.record.id))
        if self._comparison is not None and self._comparison.places:
            self.show_number(self._next_open(0))

    # -- saying -------------------------------------------------------------------------------------------------------

    def _may_replay(self) -> bool:
        """Return whether something can be taken back or done again now; with a box in work that is about the box."""
        return self.boxes.draft is not None or self._is_open()

    def _replay(self, step: Step | None, wanted: Decision | None, words: tuple[str, str]) -> None:
        done, nothing = words
        self._tell(nothing if step is None else done)
        if step is not None:
            self._number = step.lesion
            self._write(step, wanted, goes_on=False)

    def _write(self, step: Step, said: Decision | None, *, goes_on: bool = True) -> None:
        """Write what is said of a place, or that it is open again."""
        reading, comparison = self.reading, self._comparison
        if reading is not None and comparison is not None:
            self._is_saving = True
            ticket = self._settled.wait(step)
            self._commits.commit(
                f"what was said of place {step.lesion + 1} of series {reading.series_id}",
                partial(self._adjudication.settle, reading, comparison.places[step.lesion], said),
                partial(self._on_settled, self._settled, ticket, goes_on=goes_on),
                partial(self._on_not_settled, self._settled, ticket),
            )
            self._submit(self._adjudication.disputed, self._on_list)

    def _on_settled(self, settled: Acts, ticket: int, comparison: Comparison, *, goes_on: bool) -> None:
        self._is_saving = False
        settled.saved(ticket)
        self.work_panel.forget_unsaved()
        if settled is not self._settled:
            return
        self._comparison = comparison
        if self._number is not None and goes_on:
            self.show_number(self._next_open(self._number))
        elif self._number is not None:
            said = self.work_panel.notice_label.text()
            self.show_number(self._number)
            self._tell(said)
        if not comparison.open_places:
            self._tell(f"{wording.ALL_SETTLED} {spoken(self.settings.keys.complete)} completes the series.")

    def _on_not_settled(self, settled: Acts, ticket: int, error: Exception) -> None:
        self._is_saving = False
        settled.failed(ticket)
        self.work_panel.show_unsaved(message_of(error))

    def _on_ended(self, reading: ReadingRecord) -> None:
        self._is_saving = False
        self._reading = reading
        self._settled = Acts(self._acts)
        if reading.is_complete:
            self._submit(self._adjudication.disputed, self._on_first_list)
        else:
            self._tell(wording.REOPENED)
            self._submit(self._adjudication.disputed, self._on_list)

    def _on_refused(self, error: Exception) -> None:
        self._is_saving = False
        self._on_error(error)

    def _is_open(self) -> bool:
        """Return whether something can be settled now, and say why not."""
        reading = self.reading
        if self._is_saving:
            self._tell(wording.STILL_SAVING)
        elif reading is not None and reading.is_complete:
            self._tell(wording.ALREADY_COMPLETE)
        return reading is not None and not self._is_saving and not reading.is_complete

    def _write_time(self) -> None:
        seconds, reading = self._time.take(), self._reading
        if reading is not None and not reading.is_complete and seconds > 0:
            self._submit(partial(self._adjudication.work, reading, seconds), lambda _: None)

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _drawing(self, series_id: int) -> Drawing:
        """Return both readers' boxes in their colours: the one that is taken thick, while it is changed as it was.

        All are in the table, which the sections show.
        """
        loaded, lesion = self.view.loaded, self._lesion()
        loud = {number: one for number, one in self.boxes.states(series_id).items() if one is BoxState.ASKED}
        taken = lesion.id if lesion is not None and not loud else None
        rows = [] if loaded is None else [BoxRow(ANNOTATIONS, one.slices, 1.0) for one in loaded.annotations]
        if self._comparison is not None and self._wanted == series_id:
            rows += [BoxRow(ANNOTATIONS, slices_of(one), 1.0) for one in self._comparison.agreed]
            for place in self._comparison.places:
                for group, one in zip(READERS, (place.first, place.second), strict=True):
                    if one is not None:
                        rows.append(BoxRow(group, slices_of(one), 1.0, one.id if one.id == taken else NO_LESION))
        rows += [BoxRow(CANDIDATES, slices, 1.0, number) for number, slices in self.boxes.of_series(series_id).items()]
        table = BoxTable.from_rows(self.view.layers.groups, rows)
        return Drawing(table, SHOWN, loud if taken is None else {taken: BoxState.ASKED}, NOTHING_CHANGED)

    def _refresh(self) -> None:
        """Show in the panels what there is."""
        reading, loaded = self.reading, self.view.loaded
        self.list_panel.show_list(self._items, self._wanted)
        if reading is None or loaded is None or self._comparison is None:
            self.work_panel.show_places("", (), None, None, None)
        else:
            self.work_panel.show_places(
                loaded.record.name,
                self._comparison.places,
                loaded.volume.geometry,
                self._number,
                reading.is_complete,
            )
        self.work_panel.show_box(self.place, self._whose)
        self.boxes.show_panel()
        self._draw()

    def _lesion(self) -> DecisionRecord | None:
        """Return what the reader whose box is taken has marked at the place that keys are about."""
        place = self.place
        return None if place is None else (place.first, place.second)[self._whose]

    def _next_open(self, number: int) -> int:
        """Return the first place from a number on, or else before it, that is open; the number itself where none is."""
        places = self._comparison.places if self._comparison is not None else ()
        order = [*range(number, len(places)), *range(number)]
        return next((i for i in order if places[i].settled is None), number)

    def _of_boxes(self, keys: KeySettings) -> dict[str, Action]:
        return {
            keys.draw_lesion: self.draw_lesion,
            keys.complete: self.complete,
            keys.first_up: partial(self.move_ends, -1, 0),
            keys.first_down: partial(self.move_ends, 1, 0),
            keys.last_up: partial(self.move_ends, 0, -1),
            keys.last_down: partial(self.move_ends, 0, 1),
        }
