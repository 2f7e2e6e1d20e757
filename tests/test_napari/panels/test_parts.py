"""Small widgets, in a real window."""

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from lens_napari.panels.parts import bring_into_view, progress_bar, scrolled


class Paints(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Counts how often a widget is painted."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        self.count += event.type() == QEvent.Type.Paint
        return False


def test_a_progress_bar_is_painted_in_its_turn_and_not_while_its_value_is_set(qtbot: Any) -> None:
    bar, paints = progress_bar(), Paints()
    qtbot.addWidget(bar)
    bar.setRange(0, 10)
    with qtbot.waitExposed(bar):
        bar.show()
    bar.installEventFilter(paints)
    bar.setValue(7)
    assert paints.count == 0
    qtbot.waitUntil(lambda: paints.count > 0)
    assert bar.value() == 7


def test_what_comes_below_the_fold_of_a_panel_is_brought_into_view(qtbot: Any) -> None:
    panel, late = QWidget(), QPushButton("Keep")
    column = QVBoxLayout(panel)
    for number in range(20):
        column.addWidget(QPushButton(str(number)))
    column.addWidget(late)
    late.hide()
    area = scrolled(panel)
    qtbot.addWidget(area)
    area.resize(200, 150)
    with qtbot.waitExposed(area):
        area.show()
    late.show()
    bring_into_view(late)
    qtbot.waitUntil(lambda: late.visibleRegion().boundingRect() == late.rect())
