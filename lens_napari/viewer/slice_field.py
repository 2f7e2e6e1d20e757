"""The number of the slice beside napari's slider, counted as everywhere in the review: from 1.

Numbers of napari's own are hidden meanwhile: those at the slider count from 0, and those of the status bar stay when
the slice changes below the pointer.
"""

from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QIntValidator, QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QMainWindow, QWidget

NAPARI_NUMBERS = ("slice_label", "slice_label_sep")
"""Qt names of napari's own numbers at the slider, which count from 0."""
MOST_DIGITS = 5
ENDING_KEYS = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class SliceField(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Shows the slice on screen as `83 / 201` at the slider; a number that is typed there is gone to.

    Parameters
    ----------
    viewer
        The napari viewer.
    main
        Its window.
    on_screen
        Returns the index of the slice on screen, and how many there are; None where there is no series.
    go
        Called with the index of a slice that was typed, which may lie outside.
    """

    def __init__(
        self,
        viewer: Any,
        main: QMainWindow,
        on_screen: Callable[[], tuple[int, int] | None],
        go: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._dims = viewer.dims
        self._on_screen = on_screen
        self._go_to = go
        self._main: QMainWindow | None = main
        main.statusBar().hide()
        self.box: QWidget | None = None
        """The field with its total; None before napari has a slider."""
        self._number: QLineEdit
        self._total: QLabel
        for emitter, show in self._shown_on():
            emitter.connect(show, position="last")  # napari makes its sliders anew where the number of axes changes
        self._place()

    @property
    def text(self) -> str:
        """What stands at the slider."""
        return f"{self._number.text()} {self._total.text()}" if self.box is not None else ""

    def close(self) -> None:
        """Leave slider and status bar to napari."""
        for emitter, show in self._shown_on():
            emitter.disconnect(show)
        if self._main is not None and isalive(self._main):
            self._main.statusBar().show()
        self._main = None  # napari waits for nobody to know its window when it closes
        if self.box is not None and isalive(self.box):
            for child in _napari_numbers(self.box.parentWidget()):
                child.show()
            self.box.deleteLater()
        self.box = None

    def _shown_on(self) -> tuple[tuple[Any, Any], ...]:
        events = self._dims.events
        return (events.ndim, self._place), (events.range, self._show), (events.current_step, self._show)

    def _place(self, _event: object = None) -> None:
        widgets = self._main.findChildren(QWidget) if self._main is not None and self._dims.ndim > 2 else []
        slider = next((one for one in widgets if _is_slider_of_slices(one)), None)
        if slider is None:
            self.box = None
            return
        if self.box is None or not isalive(self.box) or self.box.parentWidget() is not slider:
            for child in _napari_numbers(slider):
                child.hide()
            self._make_box(slider)
        self._show()

    def _make_box(self, slider: QWidget) -> None:
        self.box = QWidget(slider)
        row = QHBoxLayout(self.box)
        row.setContentsMargins(4, 0, 4, 0)
        row.setSpacing(2)
        self._number, self._total = _NumberField(), QLabel()
        self._number.setObjectName("lens-slice")
        self._number.setValidator(QIntValidator(1, 10**MOST_DIGITS - 1))
        self._number.setFixedWidth(self._number.fontMetrics().horizontalAdvance("8" * MOST_DIGITS))
        self._number.setToolTip("The slice on screen; type another number to go there")
        self._number.editingFinished.connect(self._go)
        row.addWidget(self._number)
        row.addWidget(self._total)
        slider.layout().addWidget(self.box)

    def _show(self, _event: object = None) -> None:
        shown = self._on_screen()
        if shown is not None and self.box is not None and isalive(self.box):
            index, count = shown
            self._number.setText(str(index + 1))
            self._total.setText(f"/ {count}")

    def _go(self) -> None:
        self._go_to(int(self._number.text()) - 1)
        self._show()
        self._number.clearFocus()
        if self._main is not None:
            self._main.setFocus()  # so that the keys act again


class _NumberField(QLineEdit):  # type: ignore[misc]  # qtpy carries no types
    """Keeps the key that ends a number: on the picture it would keep a box."""

    def keyPressEvent(self, event: QKeyEvent) -> None:  # Qt's name
        """Take the key, and let it go no further."""
        super().keyPressEvent(event)
        if event.key() in ENDING_KEYS:
            event.accept()


def _is_slider_of_slices(widget: QWidget) -> bool:
    if type(widget).__name__ != "QtDimSliderWidget" or widget.axis != 0:
        return False
    return bool(widget.parentWidget().layout().indexOf(widget) >= 0)  # else napari has thrown it away


def _napari_numbers(slider: QWidget) -> list[QWidget]:
    return [child for name in NAPARI_NUMBERS for child in slider.findChildren(QWidget, name)]
