"""Nothing that napari offers by key, button or menu puts the picture of a review out of place."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from napari.settings import get_settings
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QKeySequence, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until
from lens_napari.review.box_table import CANDIDATES
from lens_napari.review.settings import KeySettings
from lens_napari.viewer import guard
from lens_napari.viewer.display import NOTE
from lens_napari.viewer.sight import is_foreign

PATIENCE_SECONDS = 60.0
LEFT = Qt.MouseButton.LeftButton
CONTROL, ALT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier
NO_MODIFIER = Qt.KeyboardModifier.NoModifier
Press = Callable[..., None]

OPENS_A_WINDOW = {"napari:show_shortcuts", "napari:toggle_console_visibility", "napari:toggle_theme"}
COMMANDS = (
    "napari.scene.toggle_ndisplay",
    "napari.layer.toggle_visibility",
    "napari.layer.hide_selected",
    "napari.layer.hide_unselected",
    "napari.layer.convert_to_labels",
    "napari.layer.duplicate",
    "napari.layer.project_max",
    "napari.layer.toggle_lock",
    "napari.layer.link_selected_layers",
)


def picture_of(review: ReviewController) -> list[object]:
    """Return everything that the letters, the numbers and a verdict rest on."""
    viewer, layers = review.viewer, review.view.layers
    ours = [layers.image, *layers.boxes.values()]
    candidates = layers.boxes[CANDIDATES]
    return [
        viewer.dims.ndisplay,
        viewer.dims.order,
        viewer.dims.thickness,
        viewer.dims.nsteps,
        tuple(viewer.scene.camera.orientation2d),
        viewer.canvas.grid.enabled,
        [viewer.layers.index(layer) if layer in viewer.layers else None for layer in ours],
        [layer for layer in viewer.layers if is_foreign(layer, layers)],
        [np.round(layer.extent.world, 6).tolist() for layer in ours[:1]],
        [layer.affine.affine_matrix.tolist() + layer.scale.tolist() for layer in ours],
        [(layer.mode, layer.projection_mode) for layer in ours],
        (layers.image.visible, layers.image.opacity, layers.image.blending, layers.image.gamma),
        np.asarray(candidates.data).tolist(),
    ]


def seen_of(review: ReviewController) -> list[float]:
    camera = review.viewer.scene.camera
    return [*review.viewer.dims.point, *camera.center, camera.zoom]


def canvas_of(review: ReviewController) -> Any:
    return review.viewer.window._qt_viewer.canvas.native


def drag_left(canvas: Any, start: QPoint, end: QPoint) -> None:
    QTest.mousePress(canvas, LEFT, NO_MODIFIER, start)
    for place in (start + (end - start) / 2, end):
        event = QMouseEvent(QEvent.Type.MouseMove, QPointF(place), LEFT, LEFT, NO_MODIFIER)
        QApplication.sendEvent(canvas, event)
    QTest.mouseRelease(canvas, LEFT, NO_MODIFIER, end)


def refusal(review: ReviewController) -> str:
    return review.view.texts.text(NOTE).replace("\n", " ")


def keys_of_napari() -> Iterator[str]:
    """Yield every key that napari binds on the viewer, on images and on shapes, but those of the review's own."""
    shortcuts = get_settings().shortcuts.shortcuts
    elsewhere = {str(key) for action in OPENS_A_WINDOW for key in shortcuts[action]}
    ours = {key.replace("Control", "Ctrl").replace("-", "+") for key in KeySettings().model_dump().values()}
    for owner in (ViewerModel, Image, Shapes):
        yield from sorted({str(key) for key in owner.class_keymap} - elsewhere - ours - {"Shift"})  # alone no sequence


def test_dragging_after_key_2_leaves_the_scan_below_its_boxes(review: ReviewController, press: Press) -> None:
    before = picture_of(review)
    press(Qt.Key.Key_2)
    drag_left(canvas_of(review), QPoint(150, 150), QPoint(210, 190))
    assert picture_of(review) == before


@pytest.mark.parametrize("active", ["image", CANDIDATES])
def test_no_key_of_napari_with_a_drag_changes_the_picture(review: ReviewController, active: str) -> None:
    canvas, layers = canvas_of(review), review.view.layers
    layer = layers.image if active == "image" else layers.boxes[active]
    before = picture_of(review)
    home = review.viewer.dims.point
    keys = list(keys_of_napari())
    assert {"2", "Ctrl+T", "Ctrl+E", "Ctrl+G", "Ctrl+Alt+T", "Delete", "Ctrl+Delete", "Shift+V", "A"} <= set(keys)
    for key in keys:
        review.viewer.layers.selection.active = layer
        QTest.keySequence(canvas, QKeySequence(key))
        drag_left(canvas, QPoint(150, 150), QPoint(170, 160))
        wait_until(lambda: not any(is_foreign(one, layers) for one in review.viewer.layers), PATIENCE_SECONDS)
        review.viewer.dims.point = home  # the arrows go to another slice, as they should
        review.worklist.legend.boxes[CANDIDATES].setChecked(True)  # boxes may be hidden
        assert picture_of(review) == before, key


def test_a_key_that_is_off_says_why_and_keeps_what_was_seen(review: ReviewController, press: Press) -> None:
    before, seen = picture_of(review), seen_of(review)
    for key, modifier, why in (  # each says something else than the one before
        (Qt.Key.Key_T, CONTROL, guard.TURNED),
        (Qt.Key.Key_G, CONTROL, guard.ONE_SLICE),
        (Qt.Key.Key_E, CONTROL, guard.TURNED),
        (Qt.Key.Key_T, CONTROL | ALT, guard.MOVED),
    ):
        press(key, modifier)
        assert refusal(review) == why
        assert picture_of(review) == before
        assert seen_of(review) == pytest.approx(seen)


def test_hiding_all_but_the_boxes_leaves_the_scan(review: ReviewController, press: Press) -> None:
    before = picture_of(review)
    review.viewer.layers.selection.active = review.view.layers.boxes[CANDIDATES]
    press(Qt.Key.Key_V, Qt.KeyboardModifier.ShiftModifier)
    assert refusal(review) == guard.HIDDEN
    assert picture_of(review) == before


def test_boxes_may_be_styled(review: ReviewController) -> None:
    boxes = review.view.layers.boxes[CANDIDATES]
    boxes.opacity = 0.3
    assert boxes.opacity == 0.3
    assert refusal(review) == ""


def test_a_layer_that_the_reader_draws_stays_above_the_others(review: ReviewController) -> None:
    before, seen = picture_of(review), seen_of(review)
    QTest.mouseClick(review.viewer.window._qt_viewer.layerButtons.newShapesButton, LEFT)
    mine = review.viewer.layers[-1]
    review.viewer.layers.move(0, 3)
    assert wait_until(lambda: picture_of(review) == before, PATIENCE_SECONDS)
    assert review.viewer.layers[-1] is mine
    assert seen_of(review) == pytest.approx(seen)


def test_the_buttons_below_the_layer_list_change_nothing(review: ReviewController) -> None:
    qt_viewer = review.viewer.window._qt_viewer
    buttons = qt_viewer.viewerButtons
    before, seen = picture_of(review), seen_of(review)
    for button in (
        buttons.ndisplayButton,
        buttons.rollDimsButton,
        buttons.transposeDimsButton,
        buttons.gridViewButton,
        qt_viewer.layerButtons.deleteButton,
    ):
        QTest.mouseClick(button, LEFT)
        assert wait_until(lambda: picture_of(review) == before, PATIENCE_SECONDS), button.toolTip()
        assert seen_of(review) == pytest.approx(seen), button.toolTip()
    assert not buttons.ndisplayButton.isChecked()
    assert not buttons.gridViewButton.isChecked()


def test_the_camera_popup_cannot_mirror_the_picture(review: ReviewController) -> None:
    before = picture_of(review)
    review.viewer.scene.camera.orientation2d = ("up", "left")
    assert picture_of(review) == before
    assert refusal(review) == guard.TURNED


def test_no_command_of_a_layer_menu_changes_the_picture(review: ReviewController) -> None:
    commands = get_app_model().commands
    before = picture_of(review)
    for command in COMMANDS:
        review.viewer.layers.selection = {review.view.layers.image}
        commands.execute_command(command).result()
        review.worklist.legend.boxes[CANDIDATES].setChecked(True)  # boxes may be hidden
        assert wait_until(lambda: picture_of(review) == before, PATIENCE_SECONDS), command


def test_layers_that_were_removed_come_back_with_the_same_slice(review: ReviewController) -> None:
    before, seen = picture_of(review), seen_of(review)
    review.viewer.layers.clear()
    assert wait_until(lambda: len(review.viewer.layers) > 1, PATIENCE_SECONDS)
    assert picture_of(review) == before
    assert seen_of(review) == pytest.approx(seen)
    assert refusal(review) == guard.REMOVED
    review.viewer.layers.move(0, 3)
    assert wait_until(lambda: picture_of(review) == before, PATIENCE_SECONDS)


def test_another_picture_changes_no_number(review: ReviewController) -> None:
    before, seen = picture_of(review), seen_of(review)
    review.viewer.add_image(np.zeros((4, 40, 50, 60), dtype=np.int16), name="another patient")
    assert wait_until(lambda: picture_of(review) == before, PATIENCE_SECONDS)
    assert seen_of(review) == pytest.approx(seen)


def test_another_series_may_have_another_voxel_size(review: ReviewController) -> None:
    sizes = set()
    for record in review._series.values():
        review.show_series(record.id)
        assert wait_until(lambda wanted=record: review.shown_series == wanted, PATIENCE_SECONDS)
        assert record.geometry is not None
        assert tuple(review.view.layers.image.scale) == pytest.approx(record.geometry.spacing_mm)
        sizes.add(record.geometry.spacing_mm)
    assert refusal(review) == ""


def test_a_closed_review_leaves_the_viewer_as_it_found_it(viewer: Any, project_folder: Path) -> None:
    mine = viewer.add_image(np.zeros((5, 20, 30), dtype=np.int16), name="mine")
    wheel, keymap = list(viewer.mouse_wheel_callbacks), dict(viewer.keymap)
    overlays, drag = set(viewer.canvas.overlays), list(viewer.mouse_drag_callbacks)
    review = open_project(project_folder, viewer, start_worker=False)
    assert wait_ready(review, PATIENCE_SECONDS)
    assert mine not in viewer.layers
    canvas, scan = canvas_of(review), review.view.layers.image
    review.close()
    assert mine in viewer.layers
    assert viewer.keymap == keymap
    assert scan.keymap == {}
    assert viewer.mouse_wheel_callbacks == wheel
    assert viewer.mouse_drag_callbacks == drag
    assert viewer.scene.camera.mouse_zoom
    assert set(viewer.canvas.overlays) == overlays
    QTest.keyClick(canvas, Qt.Key.Key_T, CONTROL)
    assert viewer.dims.order == (0, 2, 1)
    viewer.layers.selection.active = scan
    QTest.keyClick(canvas, Qt.Key.Key_2)
    assert scan.mode == "transform"
    viewer.layers.selection = {scan}
    QTest.keyClick(canvas, Qt.Key.Key_Delete, CONTROL)
    assert scan not in viewer.layers


def test_a_project_that_is_opened_in_the_window_of_another_takes_its_place(
    review: ReviewController, project_folder: Path
) -> None:
    second = open_project(project_folder, review.viewer, start_worker=False)
    assert wait_ready(second, PATIENCE_SECONDS)
    assert review.view.layers.image not in review.viewer.layers
    assert picture_of(second)
    second.close()
