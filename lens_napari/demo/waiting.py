"""Lets the window of a review live until something has happened, for scripts that press its keys."""

import time
from collections.abc import Callable

from qtpy.QtWidgets import QApplication

from lens_napari.controller import ReviewController


def wait_until(is_true: Callable[[], bool], timeout_seconds: float) -> bool:
    """Let all windows live until something is true; return whether it became true."""
    deadline = time.monotonic() + timeout_seconds
    while not is_true() and time.monotonic() < deadline:
        QApplication.processEvents()
        time.sleep(0.005)
    return is_true()


def wait_saved(review: ReviewController, timeout_seconds: float) -> bool:
    """Let the window live until every decision is on disk; return whether it is."""
    return wait_until(lambda: review.is_saved, timeout_seconds)


def wait_ready(review: ReviewController, timeout_seconds: float) -> bool:
    """Let the window live until the lesion asked about is on screen, or nothing is left to ask."""
    return wait_until(
        lambda: review.is_open and (review.is_ready or (not review.is_asking and not review.view.is_loading)),
        timeout_seconds,
    )
