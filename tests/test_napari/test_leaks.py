"""What is opened and closed again in one process leaves nothing behind: no widget, timer, thread, process or file."""

import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from napari._qt.qt_viewer import QtViewer
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QTimer
from qtpy.QtWidgets import QApplication
from sqlalchemy import text
from support.projects.readings import read

from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until
from lens_napari.test_set.adjudication_controller import AdjudicationController
from lens_napari.test_set.controller import TestSetController
from lens_napari.test_set.window import open_adjudication, open_test_set

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 120.0
WARM_UP = 2
"""Openings before it is counted: Qt keeps two tab bars for later, and looks at the desktop for a remembered window."""
Open = Callable[[Path, Any], Any]


def held() -> Counter[str]:
    """Let Qt and Python delete what waits for that, and count what this process holds then."""
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
        gc.collect()
    process = psutil.Process()
    found = Counter(f"widget {type(widget).__name__}" for widget in QApplication.allWidgets())
    found["windows"] = len(QApplication.topLevelWidgets())
    timers = [one for one in gc.get_objects() if issubclass(type(one), QTimer) and isalive(one)]
    found["timers that run"] = sum(timer.isActive() for timer in timers)
    found["threads"] = threading.active_count()
    found["processes"] = len(process.children(recursive=True))
    found.update(one.path for one in process.open_files())
    return found


def gained(before: Counter[str]) -> Counter[str]:
    """Return what is held now and was not before."""
    return held() - before


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    """Return a window on screen: in a hidden one Qt puts off what it would clear away."""
    return make_napari_viewer(show=True)


@pytest.fixture
def both_sets(project_folder: Path) -> Path:
    """Return the project with something to review, to read for the test set and to adjudicate."""
    database = Database.open(Project.open(project_folder))
    with database.session() as session:
        session.execute(text("UPDATE patients SET split = 'test' WHERE number = 1"))
    read(database, 1, "Anna", (30.0, 30.0, 2.0, 45.0, 42.0, 5.0))
    read(database, 1, "Bert", (50.0, 50.0, 10.0, 62.0, 60.0, 13.0))
    database.close()
    return project_folder


def a_review(folder: Path, viewer: Any) -> ReviewController:
    review = open_project(folder, viewer, start_worker=False)
    assert wait_ready(review, PATIENCE_SECONDS)
    return review


def an_overview(folder: Path, viewer: Any) -> ReviewController:
    review = a_review(folder, viewer)
    review.overview.toggled.emit()
    pictures = review.overview.panel.pictures.values()
    assert wait_until(lambda: all(one.section is not None for one in pictures), PATIENCE_SECONDS)
    review.overview.toggled.emit()  # the next one is opened by the key again
    return review


def a_reading(folder: Path, viewer: Any) -> TestSetController:
    reading = open_test_set(folder, viewer)
    assert wait_until(lambda: reading.reading is not None and reading.is_saved, PATIENCE_SECONDS)
    return reading


def an_adjudication(folder: Path, viewer: Any) -> AdjudicationController:
    judge = open_adjudication(folder, viewer)
    assert wait_until(lambda: judge.place is not None and judge.is_saved, PATIENCE_SECONDS)
    return judge


@pytest.fixture
def forgotten_windows() -> Iterator[None]:
    """Let napari's fixtures not count windows that a reader would have opened without them."""
    yield
    QtViewer._instances.clear()


@pytest.mark.parametrize("open_one", [an_overview, a_reading, an_adjudication])
def test_what_was_closed_leaves_nothing_in_the_window_that_stays_open(
    viewer: Any, both_sets: Path, open_one: Open
) -> None:
    for _ in range(WARM_UP):
        open_one(both_sets, viewer).close()
    first = held()
    open_one(both_sets, viewer).close()
    assert gained(first) == Counter()


@pytest.mark.usefixtures("qapp", "forgotten_windows")
@pytest.mark.parametrize("open_one", [an_overview, a_reading])
def test_a_window_that_was_closed_leaves_nothing(both_sets: Path, open_one: Open) -> None:
    def open_and_close() -> None:
        open_one(both_sets, None).viewer.window._qt_window.close()

    for _ in range(WARM_UP):
        open_and_close()
    first = held()
    open_and_close()
    assert gained(first) == Counter()


def test_one_kind_of_work_after_the_other_leaves_nothing(viewer: Any, both_sets: Path) -> None:
    def do_all() -> Counter[str]:
        for open_one in (a_review, a_reading, an_adjudication):  # each ends the one before
            last = open_one(both_sets, viewer)
        last.close()
        return held()

    counted = [do_all() for _ in range(WARM_UP + 1)]
    assert counted[-1] - counted[-2] == Counter()
