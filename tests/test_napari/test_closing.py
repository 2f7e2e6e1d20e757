"""A window that is closed while the database is gone: bounded, and what was said is not lost."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from support.projects.review_project import decisions_on_disk
from support.window.seen import asked, notice

from lens_engine.findings import Verdict
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready

PATIENCE_SECONDS = 120.0


@contextmanager
def held_by_another(project_folder: Path) -> Iterator[None]:
    """Let the database answer nobody who wants to write."""
    with closing(sqlite3.connect(project_folder / "store" / "lens.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_closing_waits_no_longer_than_it_says_and_the_verdict_is_saved_by_the_next_window(
    review: ReviewController, viewer: Any, press: Callable[..., None], project_folder: Path
) -> None:
    first = asked(review)
    review.closing_seconds = 0.2
    with held_by_another(project_folder):
        press(Qt.Key.Key_Y)
        started = time.monotonic()
        review.close()
        assert time.monotonic() - started < 10.0
        assert len(list((project_folder / "unsaid").iterdir())) == 1
    again = open_project(project_folder, viewer, start_worker=False)
    assert wait_ready(again, PATIENCE_SECONDS)
    assert "1 decision is saved now" in notice(again)
    assert again.session.tally().accepted == 1
    again.close()
    said = [(record.candidate_id, record.verdict) for record in decisions_on_disk(project_folder)]
    assert said == [(first, Verdict.ACCEPTED)]  # once, though the lane of the first window may have got through, too
    assert not list((project_folder / "unsaid").iterdir())


def test_closing_with_all_on_disk_keeps_nothing(
    review: ReviewController, press: Callable[..., None], project_folder: Path
) -> None:
    asked(review)
    press(Qt.Key.Key_Y)
    review.close()
    assert len(decisions_on_disk(project_folder)) == 1
    assert not (project_folder / "unsaid").exists()
