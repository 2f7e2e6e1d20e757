"""One expert alone by real keys and clicks in a real window, and what of it is remembered."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from support.projects.review_project import EXPERTS, decisions_on_disk

from lens_engine.findings import FUSED
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_saved
from lens_napari.panels.legend import ALL_AGAIN, NO_SUCH_EXPERT, Legend
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES
from lens_napari.review.settings import ViewerSettings
from lens_napari.viewer.display import NOTE

PATIENCE_SECONDS = 120.0
ALT, CONTROL = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier
Press = Callable[..., None]


def drawn(review: ReviewController) -> set[str]:
    return {group for group, layer in review.view.layers.boxes.items() if layer.nshapes}


def note(review: ReviewController) -> str:
    return review.view.texts.text(NOTE).replace("\n", " ")


def test_a_key_shows_one_expert_alone_and_again_what_was_shown_before(review: ReviewController, press: Press) -> None:
    review.worklist.legend.boxes[FUSED].click()
    before = drawn(review)
    assert before == {FUSED, CANDIDATES}
    press(Qt.Key.Key_1, ALT)
    assert drawn(review) == {"universal", CANDIDATES}
    assert review.view.layers.boxes[CANDIDATES].nshapes == 1  # the lesion asked about
    assert "Alt+1 again" in review.worklist.legend.alone_label.text()
    assert "universal" in note(review)
    press(Qt.Key.Key_1, ALT)
    assert drawn(review) == before
    assert review.worklist.legend.alone_label.isHidden()
    assert note(review) == ALL_AGAIN


def test_another_key_goes_from_one_expert_to_the_fusion(review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_1, ALT)
    press(Qt.Key.Key_0, ALT)
    assert drawn(review) == {FUSED, CANDIDATES}
    press(Qt.Key.Key_0, ALT)
    assert drawn(review) == {CANDIDATES}


def test_a_key_without_an_expert_says_so_and_changes_nothing(review: ReviewController, press: Press) -> None:
    before = drawn(review)
    press(Qt.Key.Key_6, ALT)
    assert len(EXPERTS) < 6
    assert note(review) == NO_SUCH_EXPERT
    assert drawn(review) == before


def test_ctrl_click_on_a_row_shows_it_alone_and_a_click_ends_that(review: ReviewController) -> None:
    box = review.worklist.legend.boxes["universal"]
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, CONTROL, QPoint(4, box.height() // 2))
    assert not box.isChecked()
    assert drawn(review) == {"universal", CANDIDATES}
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(4, box.height() // 2))
    assert box.isChecked()
    assert review.worklist.legend.shown.alone is None


def test_a_verdict_acts_while_an_expert_is_alone(review: ReviewController, press: Press, project_folder: Path) -> None:
    first = review.current
    assert first is not None
    press(Qt.Key.Key_1, ALT)
    press(Qt.Key.Key_Y)
    assert wait_ready(review, PATIENCE_SECONDS)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert [one.decision.candidate_id for one in decisions_on_disk(project_folder)] == [first.id]
    assert review.worklist.legend.shown.alone == "universal"


def test_an_expert_alone_comes_back_where_all_boxes_were_hidden(review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_H)
    assert not drawn(review)
    press(Qt.Key.Key_1, ALT)
    assert drawn(review) == {"universal", CANDIDATES}


def test_the_eye_in_the_list_of_layers_ends_an_expert_alone(review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_1, ALT)
    review.view.layers.boxes["universal"].visible = False
    assert review.worklist.legend.shown.alone is None
    assert drawn(review) == {CANDIDATES}


def test_an_expert_alone_is_not_remembered(review: ReviewController, press: Press, project_folder: Path) -> None:
    review.worklist.legend.boxes[FUSED].click()
    press(Qt.Key.Key_1, ALT)
    review.worklist.legend.sliders["universal"].setValue(20)
    assert review.settings.shown_experts == (FUSED,)
    review.close()
    again = open_project(project_folder, review.viewer, start_worker=False)
    assert wait_ready(again, PATIENCE_SECONDS)
    assert drawn(again) == {FUSED, CANDIDATES}
    again.close()


def test_experts_without_a_key_say_how_the_mouse_shows_them_alone(qapp: object) -> None:
    names = [f"expert {number}" for number in range(8)]
    legend = Legend(dict.fromkeys((*names, FUSED, ANNOTATIONS), "#FFFFFF"), ViewerSettings())
    assert "Alt+1" in legend.boxes[names[0]].toolTip()
    assert "Alt+0" in legend.boxes[FUSED].toolTip()
    assert "Ctrl+click" in legend.boxes[names[7]].toolTip()
    assert "alone" not in legend.boxes[ANNOTATIONS].toolTip()
    legend.deleteLater()
