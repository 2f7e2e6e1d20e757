"""A real project with two held-out scans, opened to read its test set in a real napari window."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from sqlalchemy import text

from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_napari.demo.waiting import wait_until
from lens_napari.test_set.controller import TestSetController
from lens_napari.test_set.window import open_test_set

PATIENCE_SECONDS = 60.0
NO_MODIFIER = Qt.KeyboardModifier.NoModifier
LEFT = Qt.MouseButton.LeftButton

Press = Callable[..., None]
Open = Callable[[], TestSetController]


@pytest.fixture
def held_out(project_folder: Path) -> Path:
    """Return the project; the patient of its first two scans is one of the test split."""
    database = Database.open(Project.open(project_folder))
    with database.session() as session:
        session.execute(text("UPDATE patients SET split = 'test' WHERE number = 1"))
    database.close()
    return project_folder


@pytest.fixture
def writing(held_out: Path) -> Iterator[Callable[[bool], None]]:
    """Return a function that says whether what a reader marks or settles can be written."""
    with closing(sqlite3.connect(held_out / "store" / "lens.sqlite", isolation_level=None)) as database:

        def let_write(can_write: bool) -> None:  # the state of a disk, not a mode of this function
            refuse = "CREATE TRIGGER refuse BEFORE INSERT ON decisions BEGIN SELECT RAISE(ABORT, 'refused'); END"
            database.execute("DROP TRIGGER refuse" if can_write else refuse)

        yield let_write


@pytest.fixture
def reading(viewer: Any, held_out: Path) -> Iterator[TestSetController]:
    controller = open_test_set(held_out, viewer)
    assert wait_until(lambda: controller.reading is not None, PATIENCE_SECONDS)
    yield controller
    controller.close()


@pytest.fixture
def press(reading: TestSetController) -> Press:
    """Return a function that presses one key on the canvas and waits until all is on disk."""
    canvas = reading.viewer.window._qt_viewer.canvas.native

    def press_key(key: Qt.Key, modifier: Qt.KeyboardModifier = NO_MODIFIER) -> None:
        QTest.keyClick(canvas, key, modifier)
        assert wait_until(lambda: reading.is_saved, PATIENCE_SECONDS)

    return press_key


@pytest.fixture
def drag(reading: TestSetController) -> Callable[[tuple[float, float], tuple[float, float]], None]:
    """Return a function that drags between two points (x, y) of the slice, in voxel edges."""
    canvas = reading.viewer.window._qt_viewer.canvas.native

    def place_of(voxel: tuple[float, float]) -> QPoint:
        (height, width), camera = reading.viewer.canvas.size, reading.viewer.scene.camera
        _, sy, sx = reading.view.layers.spacing_mm
        right = ((voxel[0] - 0.5) * sx - camera.center[-1]) * camera.zoom + width / 2
        down = ((voxel[1] - 0.5) * sy - camera.center[-2]) * camera.zoom + height / 2
        return QPoint(round(right), round(down))

    def drag_between(start: tuple[float, float], end: tuple[float, float]) -> None:
        QTest.qWait(50)  # a panel that has grown may move the picture in a small window
        first, last = place_of(start), place_of(end)
        QTest.mousePress(canvas, LEFT, NO_MODIFIER, first)
        for place in (first + (last - first) / 2, last):
            QTest.qWait(20)  # vispy leaves out what comes in quick succession
            QApplication.sendEvent(canvas, QMouseEvent(QEvent.Type.MouseMove, QPointF(place), LEFT, LEFT, NO_MODIFIER))
        QTest.mouseRelease(canvas, LEFT, NO_MODIFIER, last)

    return drag_between
