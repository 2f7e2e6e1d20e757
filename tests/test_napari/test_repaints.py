"""What a verdict makes napari and Qt do again, by real keys in a real window that is on screen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtTest import QTest
from support.window.seen import asked

from lens_engine.window_presets import Preset
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_saved, wait_until
from lens_napari.review.box_table import CANDIDATES
from lens_napari.sections.picture import Outline, Section, SectionPicture
from lens_napari.sections.planes import Plane

PATIENCE_SECONDS = 60.0
Press = Callable[..., None]


class Repaints(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Counts how often a window is put together anew."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # Qt's name
        self.count += event.type() == QEvent.Type.UpdateRequest
        return False


@pytest.fixture
def shown_review(review: ReviewController) -> ReviewController:
    review.viewer.show()
    asked(review)
    QTest.qWait(500)
    return review


def box_shader(review: ReviewController) -> Any:
    layer = review.view.layers.boxes[CANDIDATES]
    return review.viewer.window._qt_viewer.canvas.layer_to_visual[layer].node.shape_faces.shared_program.vert[
        "color_transform"
    ]


def text_shader(review: ReviewController, position: str) -> Any:
    overlay = review.viewer.canvas.overlays[f"lens_{position}"]
    (visual,) = review.viewer.window._qt_viewer.canvas._viewer_overlay_to_visual[overlay]
    return visual.box.mesh.shared_program.vert["color_transform"]


def test_boxes_and_texts_of_another_slice_have_the_shader_that_was_compiled(
    shown_review: ReviewController, press: Press
) -> None:
    def shaders() -> tuple[Any, ...]:
        texts = (text_shader(shown_review, position) for position in ("top_left", "bottom_right"))
        return box_shader(shown_review), *texts

    before, shown = shaders(), shown_review.view.slice_on_screen
    press(Qt.Key.Key_Y)
    asked(shown_review)
    QTest.qWait(200)
    assert shown_review.view.slice_on_screen != shown
    assert all(one is other for one, other in zip(before, shaders(), strict=True))


def test_a_lesion_that_is_brought_on_screen_is_drawn_once(shown_review: ReviewController, press: Press) -> None:
    drawn: list[int] = []
    shown_review.view.drawn.connect(drawn.append)
    shown_review.view.brought.connect(lambda section, _box: drawn.append(-1 - section.slice_index))
    press(Qt.Key.Key_J)
    shown = shown_review.view.slice_on_screen
    assert shown is not None
    assert drawn[:2] == [-1 - shown[0], shown[0]]
    assert set(drawn[2:]) <= {shown[0]}


def test_a_verdict_puts_the_window_together_anew_no_oftener_than_it_must(
    shown_review: ReviewController, press: Press
) -> None:
    main, counts = shown_review.viewer.window._qt_window, []
    while shown_review.is_asking:
        repaints = Repaints()
        main.installEventFilter(repaints)
        press(Qt.Key.Key_Y)
        assert wait_saved(shown_review, PATIENCE_SECONDS)
        QTest.qWait(300)
        main.removeEventFilter(repaints)
        counts.append(repaints.count)
    # The next lesion with all panels and, where the disk is slow, the mark that it is saved; a partner comes later.
    assert min(counts) <= 2


def test_an_answer_that_changes_no_line_of_the_list_paints_none(review: ReviewController, press: Press) -> None:
    asked(review)
    changed: list[object] = []
    review.worklist.model.dataChanged.connect(lambda *_: changed.append(None))
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert changed == []


def test_what_would_be_learned_is_counted_when_the_reader_pauses(review: ReviewController, press: Press) -> None:
    plan = review.retrain_panel.plan_label
    assert wait_until(lambda: "Start from" in plan.text(), PATIENCE_SECONDS)
    asked(review)
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert "accepted" not in plan.text()
    assert wait_until(lambda: "+ 1 accepted" in plan.text(), PATIENCE_SECONDS)


def test_the_line_on_a_picture_moves_over_outlines_that_are_drawn_once(qtbot: Any) -> None:
    picture = SectionPicture("coronal", Plane.CORONAL.letters)
    qtbot.addWidget(picture)
    picture.resize(200, 200)
    picture.show_section(Section(np.full((100, 100), 40, np.int16), (1.0, 1.0), Preset.SOFT_TISSUE.value))
    box = Outline((20.0, 20.0), (60.0, 60.0), "#FF0000", 3.0)
    for line_mm in (10.0, 90.0):
        picture.draw([box], (line_mm, None))
        shown = picture.grab().toImage()
        assert shown.pixelColor(80, 40).red() > 200 > shown.pixelColor(80, 40).blue() + 100
    yellow = [y for y in range(200) if shown.pixelColor(150, y).red() > shown.pixelColor(150, y).blue() + 80]
    assert yellow
    assert all(abs(y - 180) <= 2 for y in yellow)
    picture.draw([], (90.0, None))
    assert picture.grab().toImage().pixelColor(80, 40).red() < 200
