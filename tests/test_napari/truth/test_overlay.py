"""The comparison with the truth by real keys and clicks, on a series that is completely annotated in the database."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from support.projects.review_project import add_held_out_series

from lens_engine.evaluation.outcomes import Outcome
from lens_engine.findings import FUSED, Box3D, Finding, slices_of_box
from lens_engine.project import Project
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.annotations import AnnotationRole, Annotations
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.labels.completeness import mark_complete
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_until
from lens_napari.review.box_table import ANNOTATIONS
from lens_napari.truth.comparison import NOTHING_SHOWN
from lens_napari.truth.overlay import NOT_COMPLETE
from lens_napari.viewer.display import NOTE
from lens_napari.viewer.layers import COLOUR_OF_OUTCOME, MARK_OF_OUTCOME

PATIENCE_SECONDS = 60.0
SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
LEFT = Qt.MouseButton.LeftButton
ELSEWHERE = (2.0, 2.0, 0.0, 8.0, 8.0, 20.0)
Press = Callable[..., None]


def detect(folder: Path, series_id: int, found: Box3D | None) -> None:
    """Store what the model says of a series: a sure box where nothing is, and one that is a lesion's."""
    boxes = [(FUSED, ELSEWHERE, 0.9), ("lung", ELSEWHERE, 0.2)] + ([(FUSED, found, 0.5)] if found else [])
    findings = tuple(Finding(expert, box, slices_of_box(box), score) for expert, box, score in boxes)
    nothing = Proposals(
        experts=("lung", FUSED),
        grid_spacing_mm=2.0,
        slice_spacing_mm=2.0,
        expert_index=np.zeros(0, np.int16),
        grid_index=np.zeros(0, np.int32),
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        embeddings=np.zeros((0, 0), np.float32),
    )
    database = Database.open(Project.open(folder))
    Detections(database).write(series_id, "v1", SeriesDetections(nothing, findings))
    database.close()


@pytest.fixture
def lesion(project_folder: Path) -> tuple[int, Box3D]:
    """Return a completely annotated test series with its only lesion, which the fusion finds at 0.50."""
    record = add_held_out_series(project_folder)
    database = Database.open(Project.open(project_folder))
    mark_complete(database, record.id)
    box = Annotations(database).of_series(record.id, AnnotationRole.LABEL)[0].box
    database.close()
    detect(project_folder, record.id, box)
    return record.id, box


@pytest.fixture
def complete(lesion: tuple[int, Box3D], review: ReviewController) -> ReviewController:
    """Return a review that shows that series, with the fusion's boxes, on the middle slice of the lesion."""
    series_id, box = lesion
    review.worklist.legend.boxes[FUSED].click()
    review.show_series(series_id)
    assert wait_until(lambda: is_shown(review, series_id), PATIENCE_SECONDS)
    review.view.go_to_slice(int(box[2] + box[5]) // 2)
    return review


def is_shown(review: ReviewController, series_id: int) -> bool:
    return review.shown_series is not None and review.shown_series.id == series_id and not review.view.is_loading


def is_compared(review: ReviewController) -> bool:
    drawing = review.view.drawing
    return drawing is not None and drawing.compared is not None


def colours(layer: Any) -> list[Outcome | None]:
    """Return what the boxes of a layer are by their colours."""
    outcomes = {transform_color(colour)[0, :3].tobytes(): outcome for outcome, colour in COLOUR_OF_OUTCOME.items()}
    return [outcomes.get(np.asarray(colour[:3], np.float32).tobytes()) for colour in layer.edge_color]


def test_a_key_colours_boxes_by_the_truth_and_again_leaves_them(complete: ReviewController, press: Press) -> None:
    layer = complete.view.layers.boxes[FUSED]
    assert colours(layer) == [None, None]
    press(Qt.Key.Key_T, ALT)
    assert wait_until(lambda: is_compared(complete), PATIENCE_SECONDS)
    assert sorted(colours(layer)) == sorted([Outcome.FALSE_POSITIVE, Outcome.HIT])
    assert sorted(layer.features["mark"]) == ["false", "true"]
    assert layer.text.visible
    assert "fused at 0.30: 1 of 1 found, 1 false" in complete.truth.panel.lines_label.text()
    press(Qt.Key.Key_T, ALT)
    assert colours(layer) == [None, None]
    assert not layer.text.visible
    assert complete.truth.panel.lines_label.isHidden()


def test_a_lesion_below_the_threshold_is_drawn_as_missed(complete: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_T, ALT)
    assert wait_until(lambda: is_compared(complete), PATIENCE_SECONDS)
    annotations = complete.view.layers.boxes[ANNOTATIONS]
    assert Outcome.MISSED not in colours(annotations)
    complete.worklist.legend.sliders[FUSED].setValue(60)
    assert colours(annotations) == [None, Outcome.MISSED]
    assert list(annotations.features["mark"]) == ["", MARK_OF_OUTCOME[Outcome.MISSED]]
    assert "fused at 0.60: 0 of 1 found, 1 false" in complete.truth.panel.lines_label.text()
    press(Qt.Key.Key_H)
    assert annotations.nshapes == 0


def test_an_expert_alone_is_compared_alone(complete: ReviewController, press: Press) -> None:
    box = complete.truth.panel.box
    QTest.mouseClick(box, LEFT, pos=QPoint(4, box.height() // 2))
    assert wait_until(lambda: is_compared(complete), PATIENCE_SECONDS)
    press(Qt.Key.Key_2, ALT)
    assert "lung at 0.30: 0 of 1 found, 0 false" in complete.truth.panel.lines_label.text()
    complete.worklist.legend.boxes[FUSED].click()
    assert NOTHING_SHOWN in complete.truth.panel.lines_label.text()


def test_nothing_is_read_before_it_is_wanted(complete: ReviewController) -> None:
    assert not complete.truth.panel.isHidden()
    assert not is_compared(complete)
    assert "mark" not in complete.view.layers.boxes[FUSED].features


def test_a_mark_that_is_taken_back_ends_the_comparison(complete: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_T, ALT)
    assert wait_until(lambda: is_compared(complete), PATIENCE_SECONDS)
    press(Qt.Key.Key_C, SHIFT)
    assert wait_until(lambda: not is_compared(complete), PATIENCE_SECONDS)
    assert complete.truth.panel.isHidden()


def test_a_series_that_is_not_complete_has_nothing_to_compare_with(review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_T, ALT)
    assert review.truth.panel.isHidden()
    assert review.view.texts.text(NOTE).replace("\n", " ") == NOT_COMPLETE


def test_a_lesion_that_is_drawn_meanwhile_counts_as_soon_as_it_is_saved(
    complete: ReviewController, press: Press
) -> None:
    press(Qt.Key.Key_T, ALT)
    assert wait_until(lambda: is_compared(complete), PATIENCE_SECONDS)
    canvas = complete.viewer.window._qt_viewer.canvas.native
    first, last = (QPoint(canvas.width() // 2 + by, canvas.height() // 2 + by) for by in (-40, 0))
    press(Qt.Key.Key_D, SHIFT)
    QTest.qWait(50)
    QTest.mousePress(canvas, LEFT, Qt.KeyboardModifier.NoModifier, first)
    for place in (first + (last - first) / 2, last):
        QTest.qWait(20)  # vispy leaves out what comes in quick succession
        moved = QMouseEvent(QEvent.Type.MouseMove, QPointF(place), LEFT, LEFT, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(canvas, moved)
    QTest.mouseRelease(canvas, LEFT, Qt.KeyboardModifier.NoModifier, last)
    press(Qt.Key.Key_Return)
    assert wait_until(lambda: "1 of 2 found" in complete.truth.panel.lines_label.text(), PATIENCE_SECONDS)
