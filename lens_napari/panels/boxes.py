"""Below the verdict: the box in work with its slices, the lesions that were drawn in the series, and their buttons."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QSpinBox, QVBoxLayout, QWidget

from lens_napari.editing.wording import DrawnRow
from lens_napari.panels.parts import bring_into_view, button, label, line
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.viewer.palette import MUTED
from lens_napari.viewer.slice_field import ENDING_KEYS

ROWS_SHOWN = 2
FIELD_WIDTH = 44
NARROW = "padding: 4px 0px;"


class _SliceField(QSpinBox):  # type: ignore[misc]  # qtpy carries no types
    """Keeps the key that ends a number: on the picture it would keep the box."""

    def keyPressEvent(self, event: QKeyEvent) -> None:  # Qt's name
        """Take the key, and let it go no further."""
        super().keyPressEvent(event)
        if event.key() in ENDING_KEYS:
            event.accept()


class BoxesPanel(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """Shows a box in work and the drawn lesions, and emits what the reader wants of them."""

    change_requested = Signal()
    draw_requested = Signal()
    measure_requested = Signal()
    keep_requested = Signal()
    drop_requested = Signal()
    delete_requested = Signal()
    extent_chosen = Signal(int, int)
    """Carries the indices of the first and the last slice."""
    lesion_chosen = Signal(int)
    """Carries the number of a drawn lesion."""

    def __init__(self, keys: KeySettings) -> None:
        super().__init__()
        self.setObjectName("lens-boxes")
        self.rows_shown = ROWS_SHOWN
        """Drawn lesions that are seen without scrolling."""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(line())
        column.addLayout(self._make_buttons(keys))
        column.addWidget(self._make_draft_box(keys))
        column.addWidget(self._make_drawn_box(keys))

    def show_draft(self, words: str, extent: tuple[int, int] | None, depth: int) -> None:
        """Show the box in work; fields for its slices where it has any."""
        self.draft_label.setText(words)
        self.extent_box.setVisible(extent is not None)
        if extent is not None:
            for field, index in ((self.first_field, extent[0]), (self.last_field, extent[1])):
                field.blockSignals(True)
                field.setRange(1, depth)
                field.setValue(index + 1)
                field.blockSignals(False)
        self.keep_button.setVisible(extent is not None)
        self.drawn_box.hide()
        if self.draft_box.isHidden():
            self.draft_box.show()
            bring_into_view(self.draft_box)

    def hide_draft(self) -> None:
        """Show that no box is in work."""
        self.draft_box.hide()

    def show_drawn(self, rows: Sequence[DrawnRow], chosen: int | None) -> None:
        """Show the lesions that were drawn in the series on screen, unless a box is in work: room is scarce."""
        self.drawn_box.setVisible(bool(rows) and self.draft_box.isHidden())
        self.drawn_list.blockSignals(True)
        self.drawn_list.clear()
        for row in rows:
            item = QListWidgetItem(row.text)
            item.setData(Qt.ItemDataRole.UserRole, row.number)
            self.drawn_list.addItem(item)
            if row.number == chosen:
                self.drawn_list.setCurrentItem(item)
        self.drawn_list.blockSignals(False)
        height = self.drawn_list.sizeHintForRow(0) if rows else 0
        self.drawn_list.setFixedHeight(height * min(len(rows), self.rows_shown) + 2 * self.drawn_list.frameWidth())
        self.delete_button.setEnabled(chosen is not None)

    def _make_buttons(self, keys: KeySettings) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        self.change_button = button(f"Box [{spoken(keys.change_box)}]", "Change the box of the lesion")
        self.draw_button = button(f"Draw [{spoken(keys.draw_lesion)}]", "Draw a lesion that nobody asked about")
        self.measure_button = button(f"Length [{spoken(keys.measure)}]", "Measure a length in mm")
        for one, signal in (
            (self.change_button, self.change_requested),
            (self.draw_button, self.draw_requested),
            (self.measure_button, self.measure_requested),
        ):
            one.setStyleSheet(NARROW)
            one.clicked.connect(lambda _, emit=signal.emit: emit())
            row.addWidget(one)
        return row

    def _make_draft_box(self, keys: KeySettings) -> QWidget:
        self.draft_box = QWidget()
        column = QVBoxLayout(self.draft_box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self.draft_label = label(style="font-weight: bold;", wrap=False)
        column.addWidget(self.draft_label)
        row = QHBoxLayout()
        row.addWidget(self._make_extent_box(keys))
        row.addStretch(1)
        self.keep_button = button(f"Keep [{spoken(keys.accept)}]", "It is a lesion, with this box")
        self.drop_button = button("Drop [Esc]", "Leave the box as it was")
        self.keep_button.clicked.connect(lambda _: self.keep_requested.emit())
        self.drop_button.clicked.connect(lambda _: self.drop_requested.emit())
        for one in (self.keep_button, self.drop_button):
            one.setStyleSheet(NARROW)
            row.addWidget(one)
        column.addLayout(row)
        self.draft_box.hide()
        return self.draft_box

    def _make_extent_box(self, keys: KeySettings) -> QWidget:
        self.extent_box = QWidget()
        row = QHBoxLayout(self.extent_box)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        more_above, less_above = spoken(keys.first_up), spoken(keys.first_down)
        more_below, less_below = spoken(keys.last_down), spoken(keys.last_up)
        self.first_field = self._make_field(f"First slice ({more_above} one more above, {less_above} one less)")
        self.last_field = self._make_field(f"Last slice ({more_below} one more below, {less_below} one less)")
        for widget in (QLabel("slices"), self.first_field, QLabel("to"), self.last_field):
            row.addWidget(widget)
        return self.extent_box

    def _make_field(self, tip: str) -> QSpinBox:
        field = _SliceField()
        field.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        field.setFixedWidth(FIELD_WIDTH)
        field.setToolTip(tip)
        field.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        field.setKeyboardTracking(False)
        field.valueChanged.connect(self._choose_extent)
        field.editingFinished.connect(self._give_keys_back)
        return field

    def _make_drawn_box(self, keys: KeySettings) -> QWidget:
        self.drawn_box = QWidget()
        column = QVBoxLayout(self.drawn_box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        row = QHBoxLayout()
        row.addWidget(label("drawn in this series:", style=f"color: {MUTED};", wrap=False))
        self.delete_button = button(f"Delete [{spoken(keys.delete_drawn)}]", "The drawn lesion is none")
        self.delete_button.setStyleSheet(NARROW)
        self.delete_button.clicked.connect(lambda _: self.delete_requested.emit())
        row.addWidget(self.delete_button)
        column.addLayout(row)
        self.drawn_list = QListWidget()
        self.drawn_list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.drawn_list.itemClicked.connect(lambda item: self.lesion_chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        column.addWidget(self.drawn_list)
        self.drawn_box.hide()
        return self.drawn_box

    def _choose_extent(self, _value: int) -> None:
        self.extent_chosen.emit(self.first_field.value() - 1, self.last_field.value() - 1)

    def _give_keys_back(self) -> None:
        self.sender().clearFocus()
        self.window().setFocus()
