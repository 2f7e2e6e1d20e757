"""RECIST axes in one viewer: a length that is drawn on the lesion that keys are about becomes one of its axes."""

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from lens_engine.findings import RecistAxes
from lens_napari.boxes_controller import BoxesController
from lens_napari.editing.axes import lies_on, rulers_of, with_length
from lens_napari.editing.draft import Slices
from lens_napari.editing.ruler import PointMm, Ruler
from lens_napari.review.saying.axes_wording import AXES_REMOVED, NO_AXES, card_words, drawn_words
from lens_napari.review.session import ReviewSession
from lens_napari.saying.comment_box import CommentBox
from lens_napari.saying.remarks_controller import RemarksController
from lens_napari.viewer.series_view import SeriesView


class AxesController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The axes of the lesion that keys are about, as long as its scan is on screen.

    Parameters
    ----------
    remarks, boxes, session
        Which lesion that is, its box in work, and the review as it is now.
    view, box
        Where axes are drawn, and where they are listed.
    """

    told = Signal(str)
    changed = Signal()

    def __init__(
        self,
        remarks: RemarksController,
        boxes: BoxesController,
        session: Callable[[], ReviewSession],
        view: SeriesView,
        box: CommentBox,
    ) -> None:
        super().__init__()
        self._remarks = remarks
        self._boxes = boxes
        self._session = session
        self._view = view
        self._box = box
        self._about: int | None = None
        self._earlier: list[RecistAxes | None] = []
        """What waited before each length that was drawn since the lesion came on screen."""
        boxes.measured.connect(self._take)
        boxes.axes_dropped.connect(self._drop)

    def show(self) -> None:
        """Draw and list the axes of the lesion that keys are about."""
        about = self._remarks.about
        if about != self._about:
            self._about = about
            self._earlier.clear()
        axes = None if about is None or not self._slices(about) else self._remarks.of(about).axes_of(about)
        if about is None or axes is None:
            self._boxes.show_axes((), do_wait=False)
            self._box.show_axes("")
            return
        remarks = self._remarks.of(about)
        do_wait = remarks.drawn_axes(about) is not None
        self._boxes.show_axes(rulers_of(axes, self._spacing), do_wait=do_wait)
        self._box.show_axes(card_words(axes, self._spacing, "" if do_wait else remarks.axes_reader(about)))

    def undo(self) -> bool:
        """Take back the last length while it waits for a verdict; return whether there was one."""
        about = self._remarks.about
        if about is None or about != self._about or not self._earlier or self._boxes.draft is not None:
            return False
        self._remarks.of(about).draw(about, self._earlier.pop())
        self.told.emit("")
        self.changed.emit()
        return True

    def remove(self) -> None:
        """Take the axes off the lesion that keys are about: those that wait, or else those that were said."""
        about = self._remarks.about
        remarks = None if about is None or not self._slices(about) else self._remarks.of(about)
        if about is None or remarks is None or remarks.axes_of(about) is None:
            self.told.emit(NO_AXES)
        elif remarks.drawn_axes(about) is not None:
            self._drop()
        else:
            remarks.take_axes_off(about)
            if self._boxes.draft is None:
                self._remarks.say(about)
            self.told.emit(AXES_REMOVED)
            self.changed.emit()

    @property
    def _spacing(self) -> PointMm:
        _, sy, sx = self._view.layers.spacing_mm
        return sy, sx

    def _slices(self, about: int) -> Slices:
        """Return the cross-sections of a lesion as they are on screen; none where another series is."""
        loaded, draft, entry = self._view.loaded, self._boxes.draft, self._session().current_entry
        if loaded is None or self._view.is_loading:
            return ()
        if draft is not None and draft.lesion == about:
            return draft.slices if draft.series_id == loaded.record.id else ()
        if about > 0:
            is_here = entry is not None and entry.record.candidate.series_id == loaded.record.id
            return entry.slices if entry is not None and is_here else ()
        drawn = self._boxes.drawn.find(about)
        return drawn.decision.slices if drawn is not None and drawn.decision.series_id == loaded.record.id else ()

    def _take(self, ruler: Ruler) -> None:
        about = self._remarks.about
        if about is None or not lies_on(ruler, self._slices(about), self._spacing):
            return
        remarks, waiting = self._remarks.of(about), self._remarks.of(about).drawn_axes(about)
        axes = with_length(remarks.axes_of(about), ruler, self._spacing)
        remarks.draw(about, axes)
        self._boxes.lengths.give_away()
        # What a box in work becomes is not known yet: its axes go with it.
        is_said = self._boxes.draft is None and self._remarks.say(about)
        if not is_said:
            self._earlier.append(waiting)
        self.told.emit(drawn_words(axes, self._spacing, is_said=is_said))
        self.changed.emit()

    def _drop(self) -> None:
        about = self._remarks.about
        if about is not None:
            self._earlier.clear()
            self._remarks.of(about).draw(about, None)
            self.changed.emit()
