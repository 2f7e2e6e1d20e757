"""One numbering of slices: corner, card, worklist and slider say the same number, counted from 1."""

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit, QWidget

from lens_napari.controller import ReviewController


def slider_of(review: ReviewController) -> Any:
    return review.viewer.window._qt_viewer.dims.slider_widgets[0]


def number_of(review: ReviewController) -> Any:
    return slider_of(review).findChild(QLineEdit, "lens-slice")


def test_corner_card_worklist_and_slider_agree(review: ReviewController) -> None:
    shown = review.viewer.dims.current_step[0] + 1
    count = review.viewer.dims.nsteps[0]
    assert review.view.loaded is not None
    assert count == review.view.loaded.volume.voxels.shape[0]
    assert review.view.texts.text("bottom_right") == f"slice {shown} / {count}"
    assert review.lesion_panel.size_label.text().endswith(f"slice {shown}")
    asked = next(row for row in review.worklist.model.rows if row.candidate_id == review.current.id)  # type: ignore[union-attr]
    assert asked.slice_text == str(shown)
    assert number_of(review).text() == str(shown)
    assert slider_of(review).slider.value() == shown - 1
    assert all(label.isHidden() for label in slider_of(review).findChildren(QWidget, "slice_label"))


def test_the_numbers_go_along_with_the_slider_and_with_what_is_typed(review: ReviewController) -> None:
    slider_of(review).slider.setValue(4)
    assert review.view.texts.text("bottom_right").startswith("slice 5 /")
    assert number_of(review).text() == "5"
    number_of(review).setText("")
    QTest.keyClicks(number_of(review), "7")
    QTest.keyClick(number_of(review), Qt.Key.Key_Return)
    assert review.view.texts.text("bottom_right").startswith("slice 7 /")
    number_of(review).setText("")
    QTest.keyClicks(number_of(review), "9999")
    QTest.keyClick(number_of(review), Qt.Key.Key_Return)
    count = review.viewer.dims.nsteps[0]
    assert review.view.texts.text("bottom_right") == f"slice {count} / {count}"
    assert number_of(review).text() == str(count)


def test_slices_are_counted_as_before_where_a_finer_layer_was_drawn(review: ReviewController) -> None:
    before = number_of(review).text()
    review.viewer.add_labels(np.zeros((40, 4, 4), np.uint8), scale=(0.1, 1.0, 1.0))
    assert review.view.loaded is not None
    count = review.view.loaded.volume.voxels.shape[0]
    assert review.viewer.dims.nsteps[0] > count
    review.view.go_to_slice(2)
    review.view.go_to_slice(int(before) - 1)
    assert number_of(review).text() == before
    assert review.view.texts.text("bottom_right") == f"slice {before} / {count}"


def test_napari_has_its_numbers_back_after_the_review(review: ReviewController) -> None:
    review.close()
    assert not any(label.isHidden() for label in slider_of(review).findChildren(QWidget, "slice_label"))
