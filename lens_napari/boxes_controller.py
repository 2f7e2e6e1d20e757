"""Boxes in work, drawn lesions and lengths in one viewer: what a drag, a key or a button makes of them.

At most one box is in work. It stays so while the reader looks at another series, and only keys that say so end it.
"""

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QObject, Signal

from lens_engine.findings import Verdict
from lens_napari.drags_controller import DragsController
from lens_napari.drawn_controller import DrawnController, DrawnStore
from lens_napari.editing import wording
from lens_napari.editing.detector_help import with_detector
from lens_napari.editing.draft import NEW_LESION, Draft, Purpose, Slices
from lens_napari.editing.drawn import DrawnLesion, DrawnWrite
from lens_napari.editing.ruler import Ruler
from lens_napari.panels.boxes import BoxesPanel
from lens_napari.review.acts import Step
from lens_napari.review.box_table import BoxState
from lens_napari.review.project_store import LoadedSeries
from lens_napari.review.settings import ViewerSettings
from lens_napari.review.wording import NOTHING_TO_REDO, NOTHING_TO_UNDO, brought_back
from lens_napari.viewer.background import CommitLane
from lens_napari.viewer.series_view import SeriesView


class BoxesController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The boxes that readers change and draw.

    Parameters
    ----------
    viewer, view
        The napari viewer, and the series in it.
    store, commits
        Where drawn lesions are kept, and the lane in which decisions are committed.
    settings
        Who reads, and with which keys.
    acts
        Numbers what the reader does, shared with the review session.
    """

    changed = Signal()
    """Something is to be drawn and said differently."""
    moved = Signal()
    """Boxes are to be drawn differently, and nothing else."""
    told = Signal(str)
    """What became of a key or a drag, where it is not plain to see."""
    failed = Signal(str)
    """Why something was not saved."""
    acted = Signal()
    """A lesion was drawn, changed or deleted: nothing that was taken back before can be said again."""
    saved = Signal()
    confirmed = Signal(object)
    """The `SaidLine` of what was drawn, changed or deleted, when that was said and when it is on disk."""
    measured = Signal(object)
    """The `Ruler` of a length that was drawn."""
    axes_dropped = Signal()
    """The axes that are not said yet are to go."""
    wanted = Signal(int)
    """A series that is to be shown."""
    out_of_sight = Signal(object)
    """Cross-sections that are to be brought into the picture."""

    def __init__(
        self,
        viewer: Any,
        view: SeriesView,
        store: DrawnStore,
        commits: CommitLane,
        settings: ViewerSettings,
        acts: Iterator[int],
    ) -> None:
        super().__init__()
        self._view = view
        self._keys = settings.keys
        self.draft: Draft | None = None
        """The box in work."""
        self.chosen: int | None = None
        """Number of the drawn lesion that keys are about; None while they are about the lesion asked about."""
        self._refused: list[Step] = []
        """Changes of drawn lesions that could not be written and are not in work again."""
        self._drawn = DrawnController(store, commits, settings, acts)
        self.drawn = self._drawn.lesions
        self._drags = DragsController(viewer, view, lambda: self.draft, self._follow)
        self.lengths = self._drags.lengths
        self.panel = BoxesPanel(settings.keys)
        self._drags.told.connect(self.told)
        self._drags.measured.connect(self.measured)
        self._drags.dropped.connect(self.axes_dropped)
        self._drawn.changed.connect(self.changed)
        self._drawn.confirmed.connect(self.confirmed)
        self._drawn.saved.connect(self.saved)
        self._drawn.refused.connect(self._on_refused)
        self._drawn.failed.connect(self.failed)
        self.panel.draw_requested.connect(self.draw)
        self.panel.measure_requested.connect(self.measure)
        self.panel.drop_requested.connect(self.cancel)
        self.panel.delete_requested.connect(self.delete)
        self.panel.extent_chosen.connect(self._choose_extent)
        self.panel.lesion_chosen.connect(self.choose)

    # -- what is in work ----------------------------------------------------------------------------------------------

    @property
    def adjusted_lesion(self) -> int | None:
        """The candidate whose box is in work."""
        return self.draft.lesion if self.draft and self.draft.purpose is Purpose.ADJUST else None

    def slices_of(self, candidate_id: int, slices: Slices) -> Slices:
        """Return the cross-sections of a candidate as they are on screen."""
        return self.draft.slices if self.draft and self.adjusted_lesion == candidate_id else slices

    def changed_box(self) -> Slices | None:
        """Return the changed box of the candidate in work; None where none is, or it is not changed."""
        if self.draft is None or self.adjusted_lesion is None or not self.draft.is_changed:
            return None
        return self.draft.slices

    def of_series(self, series_id: int) -> dict[int, Slices]:
        """Return the cross-sections of the boxes in a series that were drawn or are in work, by lesion number."""
        found = {one.number: one.decision.slices for one in self.drawn.of_series(series_id)}
        if self.draft is not None and self.draft.series_id == series_id:
            found[self.draft.lesion] = self.draft.slices
        return found

    def states(self, series_id: int) -> dict[int, BoxState]:
        """Return how the boxes of `of_series` are drawn; one at most is loud: that which keys are about."""
        states = dict.fromkeys(self.of_series(series_id), BoxState.ACCEPTED)
        loud = self.draft.lesion if self.draft is not None else self.chosen
        if loud in states:
            states[loud] = BoxState.ASKED
        return states

    def is_loud_in(self, series_id: int) -> bool:
        """Return whether keys are about a box of a series that was drawn, or is in work."""
        return BoxState.ASKED in self.states(series_id).values() and self.adjusted_lesion is None

    def holds(self) -> bool:
        """Return whether a box in work has to be kept or dropped first, and say so; an unchanged one is dropped."""
        if self.draft is None or not self.draft.is_changed:
            self.let_go()
            self._take_up_refused()
        if self.draft is not None:
            self.told.emit(wording.finish_first(self._keys))
        return self.draft is not None

    def let_go(self) -> None:
        """End the work on a box, and let keys be about the lesion asked about again."""
        if self.draft is not None or self.chosen is not None:
            self.draft = self.chosen = None
            self.changed.emit()

    def takes(self, verdict: Verdict, lesion_type: str | None) -> bool:
        """Take a verdict that is about a drawn lesion, or refuse it in words; return whether that is done."""
        draft = self.draft
        if draft is None and self.chosen is None:
            return False
        if draft is None:
            self._say_of_chosen(lesion_type)
            return True
        if verdict is not Verdict.ACCEPTED and (draft.is_changed or draft.purpose is not Purpose.ADJUST):
            self.told.emit(wording.finish_first(self._keys))
            return True
        if draft.purpose is not Purpose.ADJUST:
            self._keep(draft, lesion_type)
        return draft.purpose is not Purpose.ADJUST

    # -- keys ---------------------------------------------------------------------------------------------------------

    def change_asked(self, candidate_id: int, slices: Slices) -> None:
        """Take the box of the lesion asked about, which is on screen, into work."""
        if self._loaded is not None:
            self._begin(self._loaded, Purpose.ADJUST, candidate_id, slices)

    def change_chosen(self) -> None:
        """Take the box of the drawn lesion that is chosen into work."""
        chosen = self._chosen_on_screen()
        if chosen is not None and self._loaded is not None:
            self._begin(self._loaded, Purpose.CHANGE, chosen.number, chosen.decision.slices)

    def draw(self) -> None:
        """Let the next drag draw a box."""
        if not self.is_away() and not self.holds():
            if self._loaded is None:
                self.told.emit(self._no_scan)
            else:
                self._view.show_boxes()
                self._begin(self._loaded, Purpose.DRAW, NEW_LESION, ())

    def move_ends(self, by_first: int, by_last: int) -> None:
        """Move the first and the last slice of the box in work."""
        if self.draft is not None and not self.is_away():
            self._follow(self.draft.moved_ends(by_first, by_last))

    def follow_detector(self) -> None:
        """Put the box in work on all slices on which the detector sees it."""
        draft, loaded = self.draft, self._loaded
        if draft is None or not draft.slices:
            self.told.emit(wording.NO_BOX if draft is None else wording.NOT_DRAWN_YET)
        elif loaded is not None and not self.is_away():
            longer = with_detector(draft, loaded.findings)
            if longer is None or longer is draft:
                self.told.emit(wording.DETECTOR_SEES_NOTHING if longer is None else wording.DETECTOR_ADDS_NOTHING)
            else:
                self._follow(longer)
                self.told.emit(wording.followed_words(longer.slices))

    def measure(self) -> None:
        """Let the next drag measure a length."""
        if self._loaded is None:
            self.told.emit(self._no_scan)
        else:
            self._drags.measure()

    def cancel(self) -> None:
        """Let the lengths go; where there are none, the box in work, and then the choice of a drawn lesion."""
        self.told.emit("")
        if self._drags.let_go():
            return
        if self.draft is not None and self.draft.purpose is Purpose.CHANGE and not self.is_away():
            self.draft = None
            self.changed.emit()
        elif not self.is_away():
            self.let_go()

    def say_remark(self, number: int) -> bool:
        """Add the words and axes that wait for a drawn lesion to what is said of it; return whether there were any."""
        write = self.drawn.say_remark(number)
        if write is not None:
            self.acted.emit()
            self._drawn.send(write)
        return write is not None

    def delete(self) -> None:
        """Delete the drawn lesion that is chosen."""
        if self.chosen is None:
            self.told.emit(wording.NOT_CHOSEN)
        elif self.draft is not None:
            self.told.emit(wording.finish_first(self._keys))
        else:
            chosen = self._chosen_on_screen()
            if chosen is not None:
                self._act(self.drawn.delete(chosen.number), wording.DELETED)

    def undo(self, other_act: int) -> bool:
        """Take back the last change of the box in work, or of a drawn lesion unless the other act is the later one."""
        if self.draft is not None:
            self._step(self.draft.undone(), NOTHING_TO_UNDO)
            return True
        if self.drawn.undo_act <= other_act:
            self.let_go()
            return False
        self._replay(self.drawn.undo(), wording.TAKEN_BACK)
        return True

    def redo(self, other_act: int | None) -> bool:
        """Make a change again that was taken back, unless the other act comes first; return whether that is done."""
        if self.draft is not None:
            self._step(self.draft.redone(), NOTHING_TO_REDO)
            return True
        act = self.drawn.redo_act
        if act is None or (other_act is not None and other_act < act):
            self.let_go()
            return False
        self._replay(self.drawn.redo(), wording.DONE_AGAIN)
        return True

    def choose(self, number: int) -> None:
        """Let keys be about a drawn lesion of the series on screen, and show it."""
        found = self.drawn.find(number)
        if self._loaded is None:
            self.told.emit(self._no_scan)
        elif found is not None and not self.holds():
            self.chosen = number
            self.told.emit("")
            self.out_of_sight.emit(found.decision.slices)
        self.changed.emit()

    def is_away(self) -> bool:
        """Return whether the box in work is not on screen, and go there."""
        if self.draft is None or self._is_here:
            return False
        if self._view.is_loading:
            self.told.emit(wording.SCAN_LOADS)
        else:
            self.wanted.emit(self.draft.series_id)
            self.told.emit(wording.ANOTHER_SERIES)
        return True

    # -- the series on screen -----------------------------------------------------------------------------------------

    def show(self, loaded: LoadedSeries) -> None:
        """Go on in the series that has come on screen."""
        self._drags.begin_series()
        if self.draft is None:
            self.chosen = None
        self._take_up_refused()
        self._drawn.read(loaded.record.id)

    def show_axes(self, axes: tuple[Ruler, ...], *, do_wait: bool) -> None:
        """Draw the axes of a lesion on their slice; whether they wait to be said, and can be let go."""
        self._drags.show_axes(axes, do_wait=do_wait)

    def show_panel(self) -> None:
        """Show the box in work and the drawn lesions of the series on screen."""
        loaded = self._view.loaded
        if self.draft is None or loaded is None:
            self.panel.hide_draft()
        elif self.draft.series_id == loaded.record.id:
            words = wording.draft_words(self.draft, loaded.volume.geometry)
            self.panel.show_draft(words, self.draft.extent, self.draft.depth)
        else:
            self.panel.show_draft(wording.IN_ANOTHER_SERIES, None, self.draft.depth)
        if loaded is not None:
            lesions = self.drawn.of_series(loaded.record.id)
            self.panel.show_drawn([wording.drawn_row(one, loaded.volume.geometry) for one in lesions], self.chosen)

    def close(self) -> None:
        """Leave the mouse to napari and draw nothing any more."""
        self._drags.close()

    @property
    def _loaded(self) -> LoadedSeries | None:
        """The series on screen; None while another one is coming."""
        return None if self._view.is_loading else self._view.loaded

    @property
    def _no_scan(self) -> str:
        return wording.SCAN_LOADS if self._view.is_loading else wording.NO_SCAN

    @property
    def _is_here(self) -> bool:
        """Whether the box in work lies in the series on screen."""
        return self._drags.box_here is not None

    def _begin(self, loaded: LoadedSeries, purpose: Purpose, lesion: int, slices: Slices) -> None:
        self.draft = Draft.of(purpose, loaded.record.id, lesion, loaded.volume.voxels.shape, slices)
        self.told.emit(wording.how_to(purpose, self._keys))
        self.changed.emit()

    def _follow(self, draft: Draft) -> None:
        """Show the box in work as it is now, unless another one or another series is on screen meanwhile."""
        if self.draft is not None and self._is_here and draft.lesion == self.draft.lesion:
            self.draft = draft
            self.moved.emit()
            self.show_panel()

    def _step(self, draft: Draft, nothing: str) -> None:
        if not self.is_away():
            self.told.emit(nothing if draft is self.draft else "")
            self._follow(draft)

    def _choose_extent(self, first: int, last: int) -> None:
        if self.draft is not None and not self.is_away():
            self._follow(self.draft.between(first, last))

    # -- saying ------------------------------------------------------------------------------------------------------

    def _on_refused(self, step: Step) -> None:
        self._refused.append(step)
        self._take_up_refused()

    def _take_up_refused(self) -> None:
        """Take a box that could not be written into work again, so that it is not lost, as soon as no other one is.

        A lesion whose deletion could not be written is brought back into the picture, and chosen: a key deletes it.
        """
        loaded = self._loaded
        if self.draft is not None or loaded is None:
            return
        record, shape = loaded.record, loaded.volume.voxels.shape
        here = [step for step in self._refused if _series_of(step) == record.id]
        for step in here:
            self._refused.remove(step)
            self.draft = Draft.again(step, shape)
            if self.draft is not None:
                self.changed.emit()
                return
            if step.after is None:
                self.choose(step.lesion)

    def _keep(self, draft: Draft, lesion_type: str | None) -> None:
        if self.is_away():
            return
        if not draft.slices:
            self.told.emit(wording.NOT_DRAWN_YET)
        elif self._is_seen(draft.slices):
            self.draft = None
            if draft.purpose is Purpose.DRAW:
                write = self.drawn.add(draft.series_id, draft.slices, lesion_type)
                self._act(write, wording.added_words(draft.slices))
            elif draft.is_changed or lesion_type is not None:
                self._act(self.drawn.change(draft.lesion, draft.slices, lesion_type), wording.CHANGED)
            else:
                self.let_go()

    def _say_of_chosen(self, lesion_type: str | None) -> None:
        if lesion_type is None:
            self.told.emit(wording.drawn_is_chosen(self._keys))
            return
        chosen = self._chosen_on_screen()
        if chosen is not None:
            self._act(self.drawn.change(chosen.number, chosen.decision.slices, lesion_type), wording.CHANGED)

    def _chosen_on_screen(self) -> DrawnLesion | None:
        """Return the drawn lesion that is chosen where the reader sees it; where not, bring it back."""
        chosen = None if self.chosen is None else self.drawn.find(self.chosen)
        if chosen is None or self._loaded is None:
            self.told.emit(self._no_scan if self._loaded is None else wording.NOT_CHOSEN)
            return None
        return chosen if self._is_seen(chosen.decision.slices) else None

    def _is_seen(self, slices: Slices) -> bool:
        unseen = self._view.why_unseen(slices)
        if unseen is not None:
            self.told.emit(brought_back(unseen))
            self.out_of_sight.emit(slices)
        return unseen is None

    def _act(self, write: DrawnWrite, words: str) -> None:
        self.chosen = None
        self.acted.emit()
        self.told.emit(words)
        self._drawn.send(write)

    def _replay(self, write: DrawnWrite | None, words: str) -> None:
        self.chosen = None
        if write is None:
            return
        self._drawn.send(write)
        loaded = self._view.loaded
        if loaded is not None and loaded.record.id == write.said.series_id:
            self.out_of_sight.emit(write.said.slices)
        else:
            self.wanted.emit(write.said.series_id)
        self.told.emit(words)


def _series_of(step: Step) -> int | None:
    """Return the series in which a step drew, changed or deleted a lesion."""
    said = step.after or step.before
    return None if said is None else said.series_id
