"""`lens review` as a process of its own, with a reader who has never opened napari before."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lens_engine.findings import Verdict
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_napari.application import open_project, open_review
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until
from lens_napari.review.wording import also_open
from lens_napari.workspace import SIZE

PATIENCE_SECONDS = 60.0

SCRIPT = """
import sys
from pathlib import Path
from lens_napari.application import open_project
from lens_napari.demo.waiting import wait_ready, wait_until

review = open_project(Path(sys.argv[1]), start_worker=False)
wait_ready(review, 60)
wait_until(lambda: False, 1)
size = review.worklist.window().size()
print("size", size.width(), size.height())
review.close()
review.viewer.close()
"""


def window_size(project_folder: Path, settings_folder: Path) -> tuple[int, int]:
    environment = {name: value for name, value in os.environ.items() if name != "NAPARI_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(project_folder)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, "XDG_CONFIG_HOME": str(settings_folder)},
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("size"))
    _, width, height = line.split()
    return int(width), int(height)


def test_the_first_window_has_the_size_that_the_panels_were_laid_out_for(project_folder: Path, tmp_path: Path) -> None:
    assert window_size(project_folder, tmp_path / "settings") == SIZE


def test_closing_the_window_ends_the_review(viewer: Any, project_folder: Path) -> None:
    review = open_project(project_folder, viewer, start_worker=False)
    assert wait_ready(review, PATIENCE_SECONDS)
    review.give_verdict(Verdict.ACCEPTED)
    viewer.window._qt_window.close()
    assert open_review() is None
    database = Database.open(Project.open(project_folder))
    assert Decisions(database).counts()[Verdict.ACCEPTED] == 1
    database.close()


def test_a_window_that_stays_open_keeps_its_review(review: ReviewController, monkeypatch: pytest.MonkeyPatch) -> None:
    window = review.viewer.window._qt_window
    with monkeypatch.context() as patch:
        patch.setattr(type(window), "closeEvent", lambda _, event: event.ignore())
        window.close()
    assert open_review() is review


def test_a_second_window_under_one_name_says_so(
    review: ReviewController, make_napari_viewer: Callable[[], Any], project_folder: Path
) -> None:
    def remarks(opened: ReviewController) -> str:
        return opened.view.texts.text("bottom_left")

    second = open_project(project_folder, make_napari_viewer(), start_worker=False)
    words = also_open(review.settings.reader)
    assert wait_until(lambda: words in remarks(second), PATIENCE_SECONDS)
    assert words not in remarks(review)
    second.close()
    review.close()
    third = open_project(project_folder, review.viewer, start_worker=False)
    assert wait_ready(third, PATIENCE_SECONDS)
    assert words not in remarks(third)
    third.close()
