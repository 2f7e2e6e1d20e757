"""The type of a lesion by real keys and clicks in a real window, with decisions in a real database."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from support.projects.review_project import decisions_on_disk
from support.window.seen import asked

from lens_engine.findings import Scope, Verdict
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_saved, wait_until
from lens_napari.review.settings import KeySettings

PATIENCE_SECONDS = 120.0
CONTROL = Qt.KeyboardModifier.ControlModifier
TYPES = ("lung nodule", "liver tumour", "mediastinal lymph node", "kidney", "bone", "abdominal lymph node")
Press = Callable[..., None]
Said = list[tuple[Verdict, str | None]]


@pytest.fixture
def project_folder(project_folder: Path) -> Path:
    """Return the project with a single-type data set of each type, one more than there are keys."""
    database = Database.open(Project.open(project_folder))
    for name in TYPES:
        Catalog(database).add_dataset(f"{name} set", Scope.SINGLE_TYPE, name)
    database.close()
    return project_folder


def said_of(review: ReviewController, project_folder: Path, candidate_id: int) -> Said:
    assert wait_saved(review, PATIENCE_SECONDS)
    history = [record.decision for record in decisions_on_disk(project_folder)]
    return [(one.verdict, one.lesion_type) for one in history if one.candidate_id == candidate_id]


def test_one_key_accepts_a_lesion_with_its_type(review: ReviewController, press: Press, project_folder: Path) -> None:
    for key, lesion_type in ((Qt.Key.Key_F5, TYPES[0]), (Qt.Key.Key_F9, TYPES[4])):
        lesion = asked(review)
        press(key)
        assert asked(review) != lesion
        assert said_of(review, project_folder, lesion) == [(Verdict.ACCEPTED, lesion_type)]


def test_the_card_shows_the_type_until_undo_takes_it_back(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    state = review.lesion_panel.state_label
    press(Qt.Key.Key_Y)
    press(Qt.Key.Key_K)
    assert asked(review) == first
    assert state.text().startswith("decided: lesion  ")
    press(Qt.Key.Key_F6)
    press(Qt.Key.Key_K)
    assert asked(review) == first
    assert state.text().startswith("decided: lesion, liver tumour  ")
    press(Qt.Key.Key_Z, CONTROL)
    assert asked(review) == first
    assert state.text().startswith("decided: lesion  ")
    untyped, typed = (Verdict.ACCEPTED, None), (Verdict.ACCEPTED, "liver tumour")
    assert said_of(review, project_folder, first) == [untyped, typed, untyped]


def test_a_button_says_the_same_as_its_key_and_every_type_has_one(
    review: ReviewController, project_folder: Path
) -> None:
    first = asked(review)
    buttons = review.lesion_panel.type_buttons
    names = ["lung nodule", "liver tumour", "mediastinal lym…", "kidney", "bone", "abdominal lymph…"]
    keys = [f" [{key}]" for key in KeySettings().lesion_types]
    assert [one.text() for one in buttons] == [f"{name}{key}" for name, key in zip(names, [*keys, ""], strict=True)]
    assert all(name in one.toolTip() for name, one in zip(TYPES, buttons, strict=True))
    QTest.mouseClick(buttons[5], Qt.MouseButton.LeftButton)
    assert said_of(review, project_folder, first) == [(Verdict.ACCEPTED, TYPES[5])]


def test_no_type_is_said_of_a_lesion_that_is_not_on_screen(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    other = next(record for record in review._series.values() if record != review.shown_series)
    review.show_series(other.id)
    assert wait_until(lambda: review.shown_series == other, PATIENCE_SECONDS)
    press(Qt.Key.Key_F5)
    assert not any(one.isEnabled() for one in review.lesion_panel.type_buttons)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert decisions_on_disk(project_folder) == []


def test_a_type_that_came_with_a_data_set_is_offered_after_the_list_was_loaded_again(
    review: ReviewController, project_folder: Path
) -> None:
    asked(review)
    database = Database.open(Project.open(project_folder))
    Catalog(database).add_dataset("spleen set", Scope.SINGLE_TYPE, "spleen")
    database.close()
    review.reload()
    buttons = review.lesion_panel
    assert wait_until(lambda: [one.text() for one in buttons.type_buttons][-1] == "spleen", PATIENCE_SECONDS)


def test_a_project_without_single_type_data_sets_offers_no_type(viewer: Any, untyped_folder: Path) -> None:
    review = open_project(untyped_folder, viewer, start_worker=False)
    first = asked(review)
    assert review.lesion_panel.types_box.isHidden()
    canvas = review.viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key.Key_F5)
    assert asked(review) == first
    assert review.session.tally().decided_now == 0
    review.close()


@pytest.fixture
def untyped_folder(review_template: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Path(shutil.copytree(review_template.folder, tmp_path / "untyped"))


def test_the_keys_of_types_are_none_of_napari() -> None:
    of_napari = {str(key) for keys in default_shortcuts.values() for key in keys}
    assert not of_napari & set(KeySettings().lesion_types)
