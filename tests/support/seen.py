"""What a reader sees of a review."""

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
