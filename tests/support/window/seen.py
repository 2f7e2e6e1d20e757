"""What a reader sees of a review, and how he goes back in it."""

from collections.abc import Callable

from qtpy.QtCore import Qt

from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready

PATIENCE_SECONDS = 120.0


def asked(review: ReviewController) -> int:
    """Return the lesion asked about as soon as it is on screen."""
    assert wait_ready(review, PATIENCE_SECONDS)
    assert review.current is not None
    return review.current.id


def notice(review: ReviewController) -> str:
    """Return what became of the last key, as the panel says it."""
    label = review.lesion_panel.notice_label
    return "" if label.isHidden() else str(label.text())


def accept_and_go_back(review: ReviewController, press: Callable[..., None]) -> int:
    """Accept the lesion asked about and go back to it; return which one it is."""
    first = asked(review)
    press(Qt.Key.Key_Y)
    asked(review)
    press(Qt.Key.Key_K)
    assert asked(review) == first
    return first
