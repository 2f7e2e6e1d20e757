"""The pictures of the user guide: each panel as a reader sees it, by real keys in the real window."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from lens_engine.errors import JobError
from lens_engine.findings import FUSED
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until

ALT, SHIFT, NONE = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.NoModifier,
)
PATIENCE_SECONDS = 60.0
REST_SECONDS = 0.5
"""What Qt needs to lay out what a key has opened."""

Press = tuple[Any, Any]

OPENED_BY: Mapping[str, tuple[Press, Press]] = MappingProxyType(
    {
        "one-expert": ((Qt.Key.Key_1, ALT), (Qt.Key.Key_1, ALT)),
        "box": ((Qt.Key.Key_E, SHIFT), (Qt.Key.Key_Escape, NONE)),
        "overview": ((Qt.Key.Key_O, SHIFT), (Qt.Key.Key_O, SHIFT)),
        "keys": ((Qt.Key.Key_Question, SHIFT), (Qt.Key.Key_Question, SHIFT)),
        "tour": ((Qt.Key.Key_N, ALT), (Qt.Key.Key_X, ALT)),
    }
)
"""The pictures by name, each with the key that opens what it shows and the one that closes it."""
TRUTH = "truth"
"""The picture of a completely annotated series; there is none of a project without one."""
NAMES = (*OPENED_BY, TRUTH)


class PanelPictures:
    """Takes them in an open review and leaves it as it was.

    Parameters
    ----------
    review
        With a lesion to ask about.
    canvas
        What takes the reader's keys.
    picture
        Saves the whole window under a name.
    """

    def __init__(self, review: ReviewController, canvas: QWidget, picture: Callable[[str], None]) -> None:
        self._review, self._canvas, self._picture = review, canvas, picture

    def take(self) -> tuple[str, ...]:
        """Take every picture that the project has something for, and return their names.

        Raises
        ------
        JobError
            If no lesion comes on screen.
        """
        self._wait_for_lesion()
        for name, (opened_by, closed_by) in OPENED_BY.items():
            self._press(*opened_by)
            self._picture(name)
            self._press(*closed_by)
            self._review.view.note("")
        complete = next((one for one in self._review.series.values() if one.is_complete), None)
        if complete is None:
            return tuple(OPENED_BY)
        self._take_truth(complete.id)
        return NAMES

    def _take_truth(self, series_id: int) -> None:
        review = self._review
        review.show_series(series_id)
        if not wait_until(lambda: self._is_shown(series_id), PATIENCE_SECONDS):
            raise JobError("A series did not appear within a minute", "", "See the messages above")
        row = review.worklist.legend.boxes[FUSED]
        was_shown = row.isChecked()
        review.worklist.legend.show_group(FUSED, True)
        self._press(Qt.Key.Key_T, ALT)
        wait_until(
            lambda: review.view.drawing is not None and review.view.drawing.compared is not None, PATIENCE_SECONDS
        )
        self._go_to_fullest_slice()
        self._picture(TRUTH)
        self._press(Qt.Key.Key_T, ALT)
        review.worklist.legend.show_group(FUSED, was_shown)
        self._press(Qt.Key.Key_G, NONE)
        self._wait_for_lesion()

    def _go_to_fullest_slice(self) -> None:
        """Bring the slice with most boxes on screen."""
        drawing, loaded = self._review.view.drawing, self._review.view.loaded
        if drawing is None or loaded is None or drawing.compared is None:
            return
        missed = drawing.compared.missed
        rows = drawing.table.slice_index
        best = max(range(loaded.volume.voxels.shape[0]), key=lambda z: (z in missed, int((rows == z).sum())))
        self._review.view.go_to_slice(best)
        wait_until(lambda: False, REST_SECONDS)

    def _is_compared(self) -> bool:
        drawing = self._review.view.drawing
        return drawing is not None and drawing.compared is not None

    def _is_shown(self, series_id: int) -> bool:
        shown = self._review.shown_series
        return shown is not None and shown.id == series_id and not self._review.view.is_loading

    def _wait_for_lesion(self) -> None:
        if not wait_ready(self._review, PATIENCE_SECONDS):
            raise JobError("A lesion did not appear within a minute", "", "See the messages above")

    def _press(self, key: Any, modifier: Any) -> None:
        QTest.keyClick(self._canvas, key, modifier)
        wait_until(lambda: False, REST_SECONDS)
