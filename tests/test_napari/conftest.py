"""Fixtures of the viewer's tests: a real project on disk, opened in a real napari window."""

import gc
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from support.projects.review_project import ReviewProject, make_review_project

from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready

PATIENCE_SECONDS = 120.0

Press = Callable[..., None]


@pytest.fixture(scope="module", autouse=True)
def kept_modules() -> None:
    """Spare whoever collects garbage what napari has loaded by now and keeps."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def review_template(tmp_path_factory: pytest.TempPathFactory) -> ReviewProject:
    return make_review_project(tmp_path_factory.mktemp("review"))


@pytest.fixture
def project_folder(review_template: ReviewProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project; the settings of the person who runs the tests are out of reach."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Path(shutil.copytree(review_template.folder, tmp_path / "project"))


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def review(viewer: Any, project_folder: Path) -> Iterator[ReviewController]:
    controller = open_project(project_folder, viewer, start_worker=False)
    assert wait_ready(controller, PATIENCE_SECONDS)
    yield controller
    controller.close()


@pytest.fixture
def press(review: ReviewController) -> Press:
    """Return a function that presses one key on the canvas."""
    canvas = review.viewer.window._qt_viewer.canvas.native

    def press_key(key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(canvas, key, modifier)

    return press_key
