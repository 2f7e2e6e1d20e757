"""The review by real keys and clicks in a real window, with decisions in a real database."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from support.projects.review_project import (
    ReviewProject,
    add_held_out_series,
    decisions_on_disk,
    match_with_a_decision,
    mine_in,
)
from support.window.seen import asked
from support.window.widgets import choose, put_on_screen

from lens_engine.errors import ProjectError
from lens_engine.findings import FUSED, ReasonCode, Split, Verdict
from lens_engine.project import Project
from lens_engine.store.candidates import Candidates
from lens_engine.store.database import Database
from lens_engine.window_presets import Preset, preset_for
from lens_napari import commands
from lens_napari.application import open_project, open_review
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_saved, wait_until
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, BoxState
from lens_napari.review.next_step import Action
from lens_napari.review.worklist.filters import Listed
from lens_napari.viewer.layers import ASKED_PIXELS, DECIDED, DIMMED, FULL, OTHER_PIXELS
from lens_napari.viewer.palette import BAD, CANDIDATE_COLOUR

PATIENCE_SECONDS = 120.0
CONTROL = Qt.KeyboardModifier.ControlModifier
Press = Callable[..., None]


def in_series(review: ReviewController) -> int:
    """Return how many lesions wait in the series on screen."""
    assert review.current is not None
    here = review.current.candidate.series_id
    return list(review.session.states_of_series(here).values()).count(BoxState.PLAIN) + 1


def test_three_keys_are_three_decisions_on_disk(review: ReviewController, press: Press, project_folder: Path) -> None:
    expected = []
    for key, verdict in (
        (Qt.Key.Key_Y, Verdict.ACCEPTED),
        (Qt.Key.Key_N, Verdict.REJECTED),
        (Qt.Key.Key_U, Verdict.UNSURE),
    ):
        expected.append((asked(review), verdict))
        press(key)
    assert wait_saved(review, PATIENCE_SECONDS)
    stored = [(record.decision.candidate_id, record.decision.verdict) for record in decisions_on_disk(project_folder)]
    assert stored == expected


def test_keys_act_whichever_of_our_layers_is_active(review: ReviewController, press: Press) -> None:
    first = asked(review)
    review.viewer.layers.selection.active = review.viewer.layers[FUSED]
    press(Qt.Key.Key_J)
    assert asked(review) != first
    review.viewer.layers.selection.active = None
    press(Qt.Key.Key_K)
    assert asked(review) == first


def test_undo_by_key_withdraws_on_disk_and_comes_back(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    first = asked(review)
    press(Qt.Key.Key_Y)
    press(Qt.Key.Key_Z, CONTROL)
    assert asked(review) == first
    assert wait_saved(review, PATIENCE_SECONDS)
    verdicts = [record.decision.verdict for record in decisions_on_disk(project_folder)]
    assert verdicts in ([], [Verdict.ACCEPTED, Verdict.WITHDRAWN])  # nothing stands any more
    assert review.session.tally().open == review.session.tally().total


def test_a_second_key_gives_the_rejection_a_reason(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    press(Qt.Key.Key_N)
    press(Qt.Key.Key_V)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert decisions_on_disk(project_folder)[-1].decision.reason_code is ReasonCode.VESSEL


def test_fast_keys_never_decide_a_lesion_that_is_still_loading(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    on_screen = in_series(review)
    for _ in range(on_screen + 5):
        press(Qt.Key.Key_Y)
    assert not review.is_ready
    assert wait_saved(review, PATIENCE_SECONDS)
    assert len(decisions_on_disk(project_folder)) == on_screen
    assert asked(review)


def test_a_refused_commit_brings_the_reader_back(review: ReviewController, press: Press, project_folder: Path) -> None:
    first = asked(review)
    database = sqlite3.connect(project_folder / "store" / "lens.sqlite")
    database.execute("CREATE TRIGGER refuse BEFORE INSERT ON decisions BEGIN SELECT RAISE(ABORT, 'refused'); END")
    database.commit()
    press(Qt.Key.Key_Y)
    assert review.session.current is not None
    assert review.session.current.id != first  # the verdict does not wait for the disk
    assert wait_saved(review, PATIENCE_SECONDS)
    assert asked(review) == first
    assert "not saved" in review.lesion_panel.message_label.text()
    database.execute("DROP TRIGGER refuse")
    database.close()
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert [record.decision.candidate_id for record in decisions_on_disk(project_folder)] == [first]


def test_rectangles_are_drawn_only_on_the_slice_on_screen(review: ReviewController) -> None:
    asked(review)
    layer = review.view.layers.boxes[CANDIDATES]
    here = review.viewer.dims.current_step[0]
    assert layer.nshapes >= 1
    assert {int(corner[0]) for shape in layer.data for corner in shape} == {here}
    current = review.current
    assert current is not None
    away = int(current.candidate.finding.box[5]) + 6
    review.viewer.dims.set_current_step(0, min(away, review.viewer.dims.nsteps[0] - 1))
    assert all(int(shape[0][0]) == review.viewer.dims.current_step[0] for shape in layer.data)


def test_the_lesion_asked_about_is_thick_and_where_its_voxels_are(review: ReviewController) -> None:
    asked(review)
    review.worklist.legend.boxes[FUSED].click()
    layer = review.view.layers.boxes[CANDIDATES]
    current = review.current
    assert current is not None
    assert layer.edge_width[-1] == pytest.approx(max(layer.edge_width))
    others = [width for name, one in review.view.layers.boxes.items() if name != CANDIDATES for width in one.edge_width]
    assert layer.edge_width[-1] == pytest.approx(ASKED_PIXELS / OTHER_PIXELS * min(others))
    box = next(
        section.box
        for section in current.candidate.finding.slices
        if section.slice_index == review.viewer.dims.current_step[0]
    )
    assert layer.data[-1][:, 1:].min(axis=0) + 0.5 == pytest.approx([box[1], box[0]])
    assert tuple(layer.scale) == tuple(review.view.layers.image.scale)


def test_only_decided_boxes_carry_a_mark(review: ReviewController, press: Press) -> None:
    first = asked(review)
    press(Qt.Key.Key_Y)
    press(Qt.Key.Key_K)
    assert asked(review) == first
    layer = review.view.layers.boxes[CANDIDATES]
    assert layer.features["mark"].iloc[-1] == ""  # asked about again: thick, without a mark
    here = review.viewer.dims.current_step[0]
    press(Qt.Key.Key_J)
    asked(review)
    review.viewer.dims.set_current_step(0, here)
    assert "✓" in set(layer.features["mark"])


def test_key_h_hides_all_boxes_and_shows_them_again(review: ReviewController, press: Press) -> None:
    asked(review)
    press(Qt.Key.Key_H)
    assert sum(layer.nshapes for layer in review.view.layers.boxes.values()) == 0
    press(Qt.Key.Key_H)
    assert review.view.layers.boxes[CANDIDATES].nshapes >= 1


def test_key_q_brings_the_rest_to_full_strength_and_back(review: ReviewController, press: Press) -> None:
    asked(review)
    review.worklist.legend.boxes[FUSED].click()
    candidates, fused = (review.view.layers.boxes[group] for group in (CANDIDATES, FUSED))
    assert candidates.edge_color[-1, 3] == pytest.approx(FULL)
    assert fused.edge_color[:, 3] == pytest.approx(DIMMED)
    press(Qt.Key.Key_Q)
    assert not review.worklist.legend.dim_box.isChecked()
    assert fused.edge_color[:, 3] == pytest.approx(FULL)
    press(Qt.Key.Key_Q)
    assert fused.edge_color[:, 3] == pytest.approx(DIMMED)


def test_annotations_stay_bright(review: ReviewController) -> None:
    asked(review)
    table = review._table
    assert table is not None
    rows = table.group_index == table.groups.index(ANNOTATIONS)
    review.viewer.dims.set_current_step(0, int(table.slice_index[rows][0]))
    assert review.view.layers.boxes[ANNOTATIONS].edge_color[0, 3] == pytest.approx(FULL)


def test_a_decided_box_is_thin_at_half_strength_in_the_colour_of_its_verdict(
    review: ReviewController, press: Press
) -> None:
    asked(review)
    here = review.viewer.dims.current_step[0]
    press(Qt.Key.Key_N)
    asked(review)
    review.viewer.dims.set_current_step(0, here)
    press(Qt.Key.Key_Q)
    layer = review.view.layers.boxes[CANDIDATES]
    decided = list(layer.features["mark"]).index("✕")
    assert layer.edge_color[decided] == pytest.approx([*transform_color(BAD)[0, :3], DECIDED])
    assert layer.edge_width[decided] == pytest.approx(min(layer.edge_width))


def test_the_boxes_of_the_experts_wait_until_they_are_asked_for(review: ReviewController) -> None:
    asked(review)
    layer = review.view.layers.boxes["universal"]
    assert layer.nshapes == 0
    review.worklist.legend.boxes["universal"].click()
    assert layer.nshapes >= 1
    assert layer.visible


def test_the_eye_in_the_list_of_layers_says_the_same_as_the_legend(review: ReviewController) -> None:
    asked(review)
    layers, legend = review.view.layers.boxes, review.worklist.legend
    layers[CANDIDATES].visible = False
    assert not legend.boxes[CANDIDATES].isChecked()
    layers["universal"].visible = True
    assert legend.boxes["universal"].isChecked()
    assert layers["universal"].nshapes >= 1


def test_a_layer_without_boxes_on_the_slice_is_invisible_and_stays_wanted(review: ReviewController) -> None:
    asked(review)
    table = review._table
    assert table is not None
    first, last = 0, review.viewer.dims.nsteps[0] - 1
    empty = next(z for z in range(first, last) if z not in table.slice_index)
    here = review.viewer.dims.current_step[0]
    review.viewer.dims.set_current_step(0, empty)
    assert not any(layer.visible for layer in review.view.layers.boxes.values())
    review.viewer.dims.set_current_step(0, here)
    assert review.view.layers.boxes[CANDIDATES].visible
    assert review.worklist.legend.boxes[CANDIDATES].isChecked()


def test_the_lesion_asked_about_is_painted_and_again_after_scrolling(review: ReviewController, press: Press) -> None:
    def painted() -> int:
        picture = review.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
        wanted = np.round(transform_color(CANDIDATE_COLOUR)[0, :3] * 255)
        return int((np.abs(picture - wanted).max(axis=-1) < 40).sum())

    review.viewer.show()  # an invisible window is painted black
    asked(review)
    assert wait_until(lambda: painted() > 20, PATIENCE_SECONDS)
    here = review.viewer.dims.current_step[0]
    review.viewer.dims.set_current_step(0, 0)
    assert painted() == 0
    review.viewer.dims.set_current_step(0, here)
    assert painted() > 20
    press(Qt.Key.Key_H)
    assert painted() == 0


def test_the_legend_switches_a_group_on_and_off(review: ReviewController) -> None:
    asked(review)
    assert review.view.layers.boxes[FUSED].nshapes == 0
    review.worklist.legend.boxes[FUSED].click()
    assert review.view.layers.boxes[FUSED].nshapes >= 1
    review.worklist.legend.boxes[FUSED].click()
    assert review.view.layers.boxes[FUSED].nshapes == 0
    review.worklist.legend.sliders["universal"].setValue(99)
    assert review.view.layers.boxes["universal"].nshapes == 0


def test_experts_that_were_shown_are_shown_again_and_candidates_always(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    legend = review.worklist.legend
    for group in (FUSED, CANDIDATES):
        legend.boxes[group].click()
    press(Qt.Key.Key_Q)
    review.close()
    again = open_project(project_folder, review.viewer, start_worker=False)
    assert wait_ready(again, PATIENCE_SECONDS)
    shown = again.worklist.legend.shown
    assert FUSED not in shown.hidden
    assert CANDIDATES not in shown.hidden
    assert "universal" in shown.hidden
    assert not shown.rest_is_dimmed
    again.close()


def test_annotations_of_the_data_set_are_shown(review: ReviewController) -> None:
    asked(review)
    table = review._table
    assert table is not None
    rows = table.group_index == table.groups.index(ANNOTATIONS)
    review.viewer.dims.set_current_step(0, int(table.slice_index[rows][0]))
    assert review.view.layers.boxes[ANNOTATIONS].nshapes == 1


def test_scale_units_and_letters_follow_the_patient(review: ReviewController) -> None:
    asked(review)
    record = review.shown_series
    assert record is not None
    assert record.geometry is not None
    assert tuple(review.view.layers.image.scale) == pytest.approx(record.geometry.spacing_mm)
    assert {str(unit) for unit in review.view.layers.image.units} == {"millimeter"}
    assert review.view.texts.text("middle_left") == "R"
    assert review.view.texts.text("middle_right") == "L"
    step = review.viewer.dims.current_step[0]
    assert review.view.texts.text("bottom_right") == f"slice {step + 1} / {record.geometry.shape[0]}"
    assert "not trained on patients" in review.view.texts.text("bottom_left")


def test_a_preset_by_key_sticks_until_the_window_is_automatic_again(review: ReviewController, press: Press) -> None:
    asked(review)
    press(Qt.Key.Key_F4)
    press(Qt.Key.Key_J)
    asked(review)
    assert review.view.window == Preset.BONE.value
    press(Qt.Key.Key_W)
    assert review.view.window in (Preset.LUNG.value, Preset.SOFT_TISSUE.value)


def test_a_lesion_comes_in_the_window_of_its_region_from_whichever_scan_the_reader_comes(
    review: ReviewController,
) -> None:
    asked(review)
    outline = review.session.outline
    row_of_series = {series_id: row for row, series_id in enumerate(outline.series_ids.tolist())}
    for _ in range(2):  # the second time every region is known already
        for row in row_of_series.values():
            review.worklist.lesion_chosen.emit(int(outline.ids[row]))
            assert asked(review) == outline.ids[row]
            assert review.view.loaded is not None
            region = preset_for(review.view.loaded.volume.voxels, tuple(outline.boxes[row]))
            assert review.view.window == region.value


def test_dragging_with_the_right_button_changes_the_window(review: ReviewController) -> None:
    asked(review)
    before = review.view.window
    canvas = review.viewer.window._qt_viewer.canvas.native
    QTest.mousePress(canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, QPoint(200, 200))
    drag(canvas, QPoint(260, 180))
    QTest.mouseRelease(canvas, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier, QPoint(260, 180))
    assert review.view.window.width == pytest.approx(before.width + 120)
    assert review.view.window.level == pytest.approx(before.level - 20)


def test_the_wheel_scrolls_and_zooms_with_control(review: ReviewController) -> None:
    asked(review)
    canvas = review.viewer.window._qt_viewer.canvas.native
    step, zoom = review.viewer.dims.current_step[0], review.viewer.scene.camera.zoom
    turn_wheel(canvas, Qt.KeyboardModifier.NoModifier)
    assert review.viewer.dims.current_step[0] == step + 1
    assert review.viewer.scene.camera.zoom == pytest.approx(zoom)
    turn_wheel(canvas, CONTROL)
    assert review.viewer.dims.current_step[0] == step + 1
    assert review.viewer.scene.camera.zoom == pytest.approx(zoom / 1.1)


def test_the_partner_is_shown_then_and_now(review: ReviewController) -> None:
    asked(review)
    panel = review.lesion_panel
    assert wait_until(lambda: panel.pictures.then.section is not None, PATIENCE_SECONDS)
    assert panel.pictures.then_caption.text().startswith("then: study 1 of 2023-05-04")
    assert "a lesion marked in study 1" in panel.why_label.text()


def test_a_partner_that_a_reader_decided_is_shown_then_and_now(viewer: Any, project_folder: Path) -> None:
    match_with_a_decision(project_folder)
    review = open_project(project_folder, viewer, start_worker=False)
    asked(review)
    panel = review.lesion_panel
    assert wait_until(lambda: panel.pictures.then.section is not None, PATIENCE_SECONDS)
    assert panel.pictures.then_caption.text().startswith("then: study 1 of 2023-05-04")
    assert "a lesion that a reader found in study 1" in panel.why_label.text()
    review.close()


def test_hidden_scores_are_shown_nowhere_before_the_verdict(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    asked(review)
    review.lesion_panel.scores_box.click()
    assert "0.11" not in review.lesion_panel.why_label.text()
    assert all(row.score == "•••" for row in review.worklist.model.rows)
    press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert decisions_on_disk(project_folder)[0].decision.scores_hidden


def test_the_buttons_say_the_same_as_the_keys(review: ReviewController, project_folder: Path) -> None:
    put_on_screen(review.viewer)
    asked(review)
    QTest.mouseClick(review.lesion_panel.reject_button, Qt.MouseButton.LeftButton)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert [record.decision.verdict for record in decisions_on_disk(project_folder)] == [Verdict.REJECTED]


def test_after_the_last_lesion_the_summary_offers_retraining(review: ReviewController, press: Press) -> None:
    while review.is_asking:
        asked(review)
        press(Qt.Key.Key_Y)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert not review.lesion_panel.summary_box.isHidden()
    assert not review.lesion_panel.go_retrain_button.isHidden()
    assert "Everything is saved" in review.lesion_panel.summary_label.text()
    review.lesion_panel.go_retrain_button.click()
    plan = review.retrain_panel.plan_label
    total = review.session.tally().total
    assert wait_until(lambda: f"+ {total} accepted" in plan.text(), PATIENCE_SECONDS)


def test_a_project_without_candidates_shows_a_scan_and_says_what_to_do(viewer: Any, project_folder: Path) -> None:
    database = Database.open(Project.open(project_folder))
    Candidates(database).replace_open("v1", [], [])
    database.close()
    controller = open_project(project_folder, viewer, start_worker=False)
    assert wait_until(lambda: controller.shown_series is not None, PATIENCE_SECONDS)
    assert not controller.is_asking
    panel = controller.lesion_panel
    assert wait_until(lambda: panel.summary_heading.text() == "Mining found nothing to ask about", PATIENCE_SECONDS)
    assert "marked lesions" in panel.what_next_label.text()
    assert not panel.step_buttons[Action.MINE].isHidden()
    assert panel.go_retrain_button.isHidden()
    controller.close()


def test_any_series_can_be_looked_at_but_not_decided_on(review: ReviewController, press: Press) -> None:
    first = asked(review)
    other = next(record for record in review._series.values() if record.id != review.shown_series.id)  # type: ignore[union-attr]
    review.show_series(other.id)
    assert wait_until(lambda: review.shown_series == other, PATIENCE_SECONDS)
    press(Qt.Key.Key_Y)
    assert review.session.pending == 0
    assert "another series" in review.lesion_panel.state_label.text()
    press(Qt.Key.Key_G)
    assert asked(review) == first


def test_a_scan_that_is_gone_is_told_and_the_review_goes_on(
    viewer: Any, project_folder: Path, review_template: ReviewProject
) -> None:
    source = review_template.series[0].source
    assert source is not None
    away = source.paths[0].rename(source.paths[0].with_suffix(".away"))
    controller = open_project(project_folder, viewer, start_worker=False)
    message = controller.lesion_panel.message_label
    assert wait_until(lambda: bool(message.text()), PATIENCE_SECONDS)
    assert not controller.is_ready
    while controller.session.asked_series == review_template.series[0].id:
        controller.go_next()
    assert wait_ready(controller, PATIENCE_SECONDS)
    away.rename(source.paths[0])
    controller.close()


def test_a_worklist_row_can_be_chosen(review: ReviewController) -> None:
    asked(review)
    row = review.worklist.model.rows[-1]
    review.worklist.lesion_chosen.emit(row.candidate_id)
    assert asked(review) == row.candidate_id


def test_validation_patients_are_asked_about_where_the_reader_wants_it(viewer: Any, project_folder: Path) -> None:
    held_out = add_held_out_series(project_folder, Split.VAL)
    mine_in(project_folder, held_out.id)
    review = open_project(project_folder, viewer, start_worker=False)

    def asked_there() -> bool:
        return held_out.id in review.session.outline.series_ids

    asked(review)
    open_before = review.session.tally().open
    assert not asked_there()
    choose(review.worklist.filters.show_box, Listed.ALL)
    assert not asked_there()
    choose(review.worklist.filters.show_box, Listed.WITH_VALIDATION)
    assert wait_until(asked_there, PATIENCE_SECONDS)
    assert len(review.worklist.model.rows) == review.session.tally().open == open_before + 1
    choose(review.worklist.filters.show_box, Listed.OPEN)
    assert wait_until(lambda: not asked_there(), PATIENCE_SECONDS)
    review.close()


def test_closing_the_window_writes_what_waits(review: ReviewController, press: Press, project_folder: Path) -> None:
    first = asked(review)
    press(Qt.Key.Key_Y)
    review.close()
    assert [record.decision.candidate_id for record in decisions_on_disk(project_folder)] == [first]


def test_the_hounsfield_value_under_the_cursor_is_shown(review: ReviewController) -> None:
    asked(review)
    series = review.view.loaded
    assert series is not None
    z, y, x = 3, 40, 50
    position = tuple(np.asarray((z, y, x)) * series.volume.geometry.spacing_mm)
    review.view._show_hu(position)
    assert f"{series.volume.voxels[z, y, x]} HU" in review.view.texts.text("top_right")


def turn_wheel(canvas: object, modifier: Qt.KeyboardModifier) -> None:
    """Turn the wheel by one notch towards the reader, which QTest cannot."""
    place = QPointF(200, 200)
    event = QWheelEvent(
        place, place, QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False
    )
    QApplication.sendEvent(canvas, event)


def drag(canvas: object, position: QPoint) -> None:
    """Move the mouse with the right button held, which QTest cannot say."""
    button = Qt.MouseButton.RightButton
    event = QMouseEvent(QEvent.Type.MouseMove, QPointF(position), button, button, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(canvas, event)


def test_the_plugin_widget_opens_a_project_in_the_window_it_lies_in(viewer: Any, project_folder: Path) -> None:
    _, widget = viewer.window.add_plugin_dock_widget("lens-napari", "Review a project")
    widget.open(project_folder / "store")
    assert "lens init" in widget.message_label.text()
    widget.open(project_folder)
    controller = open_review()
    assert controller is not None
    asked(controller)
    first = controller.current
    commands.accept()
    assert wait_saved(controller, PATIENCE_SECONDS)
    assert [record.decision.candidate_id for record in decisions_on_disk(project_folder)] == [first.id if first else 0]
    controller.close()
    assert open_review() is None
    with pytest.raises(ProjectError, match="No project is open"):
        commands.accept()
