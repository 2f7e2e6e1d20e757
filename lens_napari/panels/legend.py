"""The legend: one row per group of boxes with its colour, whether it is shown, and from which score on.

The boxes of the experts and of their fusion wait for the reader to ask for them: what they say about a lesion stands
beside it, and what they found and nobody marked is a candidate. What he asked for is shown in the next session, too;
annotations and candidates are shown whenever a review begins. One expert alone is a look and is not remembered.
"""

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSlider, QWidget

from lens_engine.findings import FUSED
from lens_napari.panels.parts import label, swatch
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, Shown
from lens_napari.review.settings import KeySettings, ViewerSettings, spoken
from lens_napari.viewer.palette import MUTED

WITHOUT_SCORE = (ANNOTATIONS, CANDIDATES)
SHOWN_FROM_THE_START = (ANNOTATIONS, CANDIDATES)
PERCENT = 100
DEFAULT_THRESHOLD = 0.30
ALL_AGAIN = "The boxes that were shown before are back."
NO_SUCH_EXPERT = "There is no expert with this number."


class Legend(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """Colours, visibility and score thresholds; emits what the reader wants to see."""

    changed = Signal(object)
    """Carries what is `Shown`, without the key H."""

    def __init__(self, colours: Mapping[str, str], settings: ViewerSettings) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        self.boxes: dict[str, GroupBox] = {}
        self.sliders: dict[str, QSlider] = {}
        self._numbers: dict[str, QLabel] = {}
        self._alone: str | None = None
        self._keys = _keys_alone(colours, settings.keys)
        for row, (group, colour) in enumerate(colours.items()):
            box = GroupBox(group, colour)
            box.setChecked(group in SHOWN_FROM_THE_START or group in settings.shown_experts)
            box.toggled.connect(self._emit)
            box.clicked.connect(lambda _: self._show_alone(None))
            box.setToolTip(f"Show the boxes of “{group}” (H hides all boxes)")
            self.boxes[group] = box
            grid.addWidget(box, row, 0)
            if group not in WITHOUT_SCORE:
                box.alone_wanted.connect(self._toggle)
                box.setToolTip(f"{box.toolTip()}\n{self._how_alone(group)}: these alone, or all as before")
                self._add_slider(grid, row, group, settings.thresholds.get(group, DEFAULT_THRESHOLD))
        self.dim_box = QCheckBox(f"Dim all but the lesion asked about [{settings.keys.dim_boxes}]")
        self.dim_box.setChecked(settings.rest_is_dimmed)
        self.dim_box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.dim_box.setToolTip("Annotations stay bright, too")
        self.dim_box.toggled.connect(self._emit)
        self.alone_label = label(style="color: #E6C15A;")
        self.alone_label.hide()
        grid.addWidget(self.alone_label, len(colours), 0, 1, 3)
        grid.addWidget(self.dim_box, len(colours) + 1, 0, 1, 3)
        self._grid = grid

    @property
    def shown(self) -> Shown:
        """What the rows say."""
        return Shown(
            hidden=frozenset(group for group, box in self.boxes.items() if not box.isChecked()),
            thresholds={group: slider.value() / PERCENT for group, slider in self.sliders.items()},
            rest_is_dimmed=self.dim_box.isChecked(),
            alone=self._alone,
        )

    def add_below(self, widget: QWidget) -> None:
        """Put a widget below the rows."""
        self._grid.addWidget(widget, self._grid.rowCount(), 0, 1, 3)

    def show_group(self, group: str, wanted: bool) -> None:  # a Qt signal's argument
        """Show a group of boxes or hide it, as a click on its check box does."""
        self.boxes[group].setChecked(wanted)
        self._show_alone(None)

    def toggle_alone(self, number: int | None) -> str:
        """Show an expert alone by its number, or the fusion (None), or all as before; return what is said of it."""
        experts = [group for group in self.sliders if group != FUSED]
        if number is not None and number >= len(experts):
            return NO_SUCH_EXPERT
        self._toggle(FUSED if number is None else experts[number])
        return ALL_AGAIN if self._alone is None else self.alone_label.text()

    def _toggle(self, group: str) -> None:
        self._show_alone(None if group == self._alone else group)

    def _show_alone(self, group: str | None) -> None:
        if group != self._alone:
            self._alone = group
            for name, box in self.boxes.items():
                box.show_loud(group in (None, name))
            self.alone_label.setVisible(group is not None)
            if group is not None:
                self.alone_label.setText(
                    f"Only “{group}” and the lesion asked about; {self._how_alone(group)} again: all as before"
                )
            self._emit()

    def _how_alone(self, group: str) -> str:
        return spoken(self._keys[group]) if group in self._keys else "Ctrl+click on the row"

    def _add_slider(self, grid: QGridLayout, row: int, group: str, threshold: float) -> None:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, PERCENT - 1)
        slider.setValue(round(threshold * PERCENT))
        slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        slider.setMinimumWidth(60)
        slider.setToolTip(f"Least score of the boxes of “{group}” that are drawn")
        slider.valueChanged.connect(self._emit)
        number = QLabel(f"{threshold:.2f}")
        self.sliders[group] = slider
        self._numbers[group] = number
        grid.addWidget(slider, row, 1)
        grid.addWidget(number, row, 2)

    def _emit(self) -> None:
        shown = self.shown
        for group, number in self._numbers.items():
            number.setText(f"{shown.thresholds[group]:.2f}")
        self.changed.emit(shown)


class GroupBox(QCheckBox):  # type: ignore[misc]  # qtpy carries no types
    """The check box of a group; Ctrl+click leaves it as it is, and asks for the group alone."""

    alone_wanted = Signal(str)

    def __init__(self, group: str, colour: str) -> None:
        super().__init__(group)
        self.setIcon(swatch(colour))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def show_loud(self, is_loud: bool) -> None:  # what the other rows say
        """Write the name as always, or in the colour of what does not count now."""
        self.setStyleSheet("" if is_loud else f"color: {MUTED};")

    def mousePressEvent(self, event: Any) -> None:  # Qt's name
        """Ask for the group alone with Ctrl."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            event.accept()
            self.alone_wanted.emit(self.text())
        else:
            super().mousePressEvent(event)


def _keys_alone(groups: Mapping[str, str], keys: KeySettings) -> dict[str, str]:
    experts = [group for group in groups if group not in (*WITHOUT_SCORE, FUSED)]
    return dict(zip(experts, keys.experts_alone, strict=False)) | {FUSED: keys.alone_fused}
