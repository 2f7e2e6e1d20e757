"""The legend: one row per group of boxes with its colour, whether it is shown, and from which score on.

The boxes of the experts and of their fusion wait for the reader to ask for them: what they say about a lesion stands
beside it, and what they found and nobody marked is a candidate. What he asked for is shown in the next session, too;
annotations and candidates are shown whenever a review begins.
"""

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSlider, QWidget

from lens_napari.panels.parts import swatch
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, Shown
from lens_napari.review.settings import ViewerSettings

WITHOUT_SCORE = (ANNOTATIONS, CANDIDATES)
SHOWN_FROM_THE_START = (ANNOTATIONS, CANDIDATES)
PERCENT = 100
DEFAULT_THRESHOLD = 0.30


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
        self.boxes: dict[str, QCheckBox] = {}
        self.sliders: dict[str, QSlider] = {}
        self._numbers: dict[str, QLabel] = {}
        for row, (group, colour) in enumerate(colours.items()):
            box = QCheckBox(group)
            box.setIcon(swatch(colour))
            box.setChecked(group in SHOWN_FROM_THE_START or group in settings.shown_experts)
            box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            box.setToolTip(f"Show the boxes of “{group}” (H hides all boxes)")
            box.toggled.connect(self._emit)
            self.boxes[group] = box
            grid.addWidget(box, row, 0)
            if group not in WITHOUT_SCORE:
                self._add_slider(grid, row, group, settings.thresholds.get(group, DEFAULT_THRESHOLD))
        self.dim_box = QCheckBox(f"Dim all but the lesion asked about [{settings.keys.dim_boxes}]")
        self.dim_box.setChecked(settings.rest_is_dimmed)
        self.dim_box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.dim_box.setToolTip("Annotations stay bright, too")
        self.dim_box.toggled.connect(self._emit)
        grid.addWidget(self.dim_box, len(colours), 0, 1, 3)

    @property
    def shown(self) -> Shown:
        """What the rows say."""
        return Shown(
            hidden=frozenset(group for group, box in self.boxes.items() if not box.isChecked()),
            thresholds={group: slider.value() / PERCENT for group, slider in self.sliders.items()},
            rest_is_dimmed=self.dim_box.isChecked(),
        )

    def show_group(self, group: str, wanted: bool) -> None:  # a Qt signal's argument
        """Show a group of boxes or hide it, as its check box does."""
        self.boxes[group].setChecked(wanted)

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
