"""The mouse on a section, which QTest cannot turn the wheel of."""

from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_until
from lens_napari.sections.picture import SectionPicture

NO_MODIFIER = Qt.KeyboardModifier.NoModifier
PATIENCE_SECONDS = 60.0


class Mouse:
    """Clicks places of a section, and turns the wheel over it."""

    def click(self, picture: SectionPicture, place_mm: tuple[float, float]) -> None:
        down, right = picture.field.to_pixels(place_mm)
        QTest.mouseClick(picture, Qt.MouseButton.LeftButton, NO_MODIFIER, QPoint(round(right), round(down)))

    def turn(self, widget: Any, notches: int, modifier: Qt.KeyboardModifier = NO_MODIFIER) -> None:
        """Turn the wheel towards the reader where `notches` is positive."""
        middle = QPointF(widget.width() / 2, widget.height() / 2)
        for _ in range(abs(notches)):
            turned = QPoint(0, -120 if notches > 0 else 120)
            no_button, phase = Qt.MouseButton.NoButton, Qt.ScrollPhase.NoScrollPhase
            event = QWheelEvent(middle, middle, QPoint(), turned, no_button, modifier, phase, False)
            QApplication.sendEvent(widget, event)


@pytest.fixture
def mouse() -> Mouse:
    return Mouse()


@pytest.fixture
def shown_review(review: ReviewController) -> ReviewController:
    """Return a review in a window that can be seen, with its sections."""
    review.viewer.show()
    assert wait_until(lambda: review.planes.panel.is_seen, PATIENCE_SECONDS)
    return review
