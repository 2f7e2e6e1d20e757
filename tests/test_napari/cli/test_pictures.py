"""The pictures of the user guide: they can be taken, and those that it shows are there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QImage
from support.projects.review_project import add_held_out_series

from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.labels.completeness import mark_complete
from lens_napari.controller import ReviewController
from lens_napari.demo.pictures import NAMES, OPENED_BY, TRUTH, PanelPictures

DOCS = Path(__file__).parents[3] / "docs"
LINKED = re.compile(r"\(images/([\w-]+)\.png\)")


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1500, 950)
    return viewer


@pytest.fixture
def complete_project(project_folder: Path) -> Path:
    record = add_held_out_series(project_folder)
    database = Database.open(Project.open(project_folder))
    mark_complete(database, record.id)
    database.close()
    return project_folder


def take(review: ReviewController, folder: Path) -> tuple[str, ...]:
    window = review.worklist.window()
    canvas = review.viewer.window._qt_viewer.canvas.native
    return PanelPictures(review, canvas, lambda name: window.grab().save(str(folder / f"{name}.png"))).take()


def test_each_panel_is_pictured_and_the_window_is_left_as_it_was(
    complete_project: Path, review: ReviewController, tmp_path: Path
) -> None:
    before = review.current
    assert take(review, tmp_path) == NAMES
    seen = set()
    for name in NAMES:
        image = QImage(str(tmp_path / f"{name}.png"))
        assert not image.isNull()
        seen.add(np.frombuffer(image.bits().asstring(image.sizeInBytes()), np.uint8).tobytes())
    assert len(seen) == len(NAMES)
    assert review.current == before
    assert review.worklist.legend.shown.alone is None
    assert not review.overview.panel.isVisible()


def test_a_project_without_a_complete_series_has_the_other_pictures(review: ReviewController, tmp_path: Path) -> None:
    assert take(review, tmp_path) == tuple(OPENED_BY)
    assert not (tmp_path / f"{TRUTH}.png").exists()


def test_the_guide_shows_every_picture_that_is_taken_and_each_that_it_shows_is_there() -> None:
    linked = set(LINKED.findall((DOCS / "user-guide.md").read_text(encoding="utf-8")))
    assert set(NAMES) <= linked
    assert {name for name in linked if not (DOCS / "images" / f"{name}.png").is_file()} == set()


def test_make_pictures_copies_every_picture() -> None:
    makefile = (DOCS.parent / "Makefile").read_text(encoding="utf-8")
    line = next(line for line in makefile.splitlines() if line.startswith("PICTURES :="))
    assert set(NAMES) <= set(line.split()[2:])
