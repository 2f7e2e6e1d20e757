"""The coronal and sagittal sections of a review by real clicks, wheel turns and keys in a real window."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget

from lens_engine.findings import Split, middle_section
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series import SeriesFormat, SeriesSource
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog, NewSeries
from lens_engine.store.database import Database
from lens_engine.window_presets import Preset
from lens_napari import commands
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_saved, wait_until
from lens_napari.sections.dock import NAME
from lens_napari.sections.linked_planes import NOTCH_MM
from lens_napari.sections.panel import LEAST_HEIGHT
from lens_napari.sections.picture import SectionPicture
from lens_napari.sections.planes import Plane
from lens_napari.viewer.palette import ANNOTATION_COLOUR, CANDIDATE_COLOUR

PATIENCE_SECONDS = 60.0
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
Press = Callable[..., None]


def pictures(review: ReviewController) -> tuple[SectionPicture, SectionPicture]:
    shown = review.planes.panel.pictures
    return shown[Plane.CORONAL], shown[Plane.SAGITTAL]


def voxels(review: ReviewController) -> Any:
    assert review.view.loaded is not None
    return review.view.loaded.volume.voxels


def spacing(review: ReviewController) -> tuple[float, float, float]:
    assert review.view.loaded is not None
    return review.view.loaded.volume.geometry.spacing_mm


def dock_of(review: ReviewController) -> QDockWidget:
    return review.viewer.window._qt_window.findChild(QDockWidget, NAME)


def shown_slice(review: ReviewController) -> int:
    return int(review.viewer.dims.current_step[0])


def test_a_changed_box_is_the_one_that_the_sections_show(shown_review: ReviewController, press: Press) -> None:
    def edges() -> list[tuple[float, float]]:
        outlines = [one for picture in pictures(shown_review) for one in picture.outlines]
        return [(one.corner[0], one.opposite[0]) for one in outlines if one.colour == CANDIDATE_COLOUR]

    before = edges()
    press(Qt.Key.Key_Up, SHIFT)
    press(Qt.Key.Key_Up, SHIFT)
    thickness = spacing(shown_review)[0]
    assert edges() == [(top - 2 * thickness, bottom) for top, bottom in before]
    press(Qt.Key.Key_Escape)
    assert edges() == before


def test_both_sections_go_through_the_lesion_asked_about(shown_review: ReviewController) -> None:
    coronal, sagittal = pictures(shown_review)
    asked = shown_review.current
    assert asked is not None
    x1, y1, z1, x2, y2, z2 = asked.candidate.finding.box
    z, y, x = shown_review.planes.place
    assert x1 <= x < x2
    assert y1 <= y < y2
    assert z1 <= z < z2
    assert coronal.section is not None
    assert sagittal.section is not None
    np.testing.assert_array_equal(coronal.section.hu, voxels(shown_review)[:, y, :])
    np.testing.assert_array_equal(sagittal.section.hu, voxels(shown_review)[:, :, x])
    for picture in (coronal, sagittal):
        boxes = [outline for outline in picture.outlines if outline.colour == CANDIDATE_COLOUR]
        assert len(boxes) == 1
        assert boxes[0].corner[0] == pytest.approx(z1 * spacing(shown_review)[0])
        assert boxes[0].opposite[0] == pytest.approx(z2 * spacing(shown_review)[0])


def test_a_large_lesion_is_not_seen_smaller_than_in_the_whole_section(shown_review: ReviewController) -> None:
    asked = shown_review.current
    assert asked is not None
    key = middle_section(asked.candidate.finding.slices)
    x1, y1, z1, x2, y2, z2 = asked.candidate.finding.box
    for box, seen_mm in (((x1, y1, z1, x1 + 1, y1 + 1, z1 + 1), 80.0), ((x1, y1, z1, x2 + 500, y2, z2), None)):
        shown_review.view.brought.emit(key, box)
        for plane, picture in shown_review.planes.panel.pictures.items():
            assert shown_review.view.loaded is not None
            whole = max(plane.size_mm(shown_review.view.loaded.volume.geometry))
            assert picture.field.seen_mm == pytest.approx(seen_mm or whole)


def test_a_millimetre_is_as_long_in_both_directions_of_a_section(shown_review: ReviewController) -> None:
    for picture in pictures(shown_review):
        assert picture.section is not None
        row_mm, column_mm = picture.section.pixel_mm
        assert (row_mm, column_mm) == (spacing(shown_review)[0], pytest.approx(spacing(shown_review)[1]))
        corner, opposite = (picture.field.to_pixels(place) for place in ((0.0, 0.0), (10.0, 10.0)))
        assert opposite[0] - corner[0] == pytest.approx(opposite[1] - corner[1])


def test_scrolling_the_slices_moves_the_line_and_cuts_nothing_again(shown_review: ReviewController, mouse: Any) -> None:
    coronal, sagittal = pictures(shown_review)
    before = coronal.section, sagittal.section
    canvas = shown_review.viewer.window._qt_viewer.canvas.native
    lines = []
    for _ in range(3):
        mouse.turn(canvas, 1)
        lines.append(coronal.lines[0])
        assert coronal.lines[0] == sagittal.lines[0] == (shown_slice(shown_review) + 0.5) * spacing(shown_review)[0]
    assert len(set(lines)) == 3
    assert coronal.section is before[0]
    assert sagittal.section is before[1]


def test_a_click_in_the_coronal_section_goes_to_that_slice_and_place(
    shown_review: ReviewController, mouse: Any
) -> None:
    coronal, sagittal = pictures(shown_review)
    z, y, x = shown_review.planes.place
    sz, _, sx = spacing(shown_review)
    mouse.click(coronal, ((z + 2.5) * sz, (x - 5.5) * sx))
    assert shown_slice(shown_review) == z + 2
    moved = shown_review.planes.place
    assert moved[:2] == (z + 2, y)
    assert abs(moved[2] - (x - 6)) <= 1  # as near as a pixel of the screen allows
    assert sagittal.section is not None
    np.testing.assert_array_equal(sagittal.section.hu, voxels(shown_review)[:, :, moved[2]])


def test_a_click_in_the_sagittal_section_goes_to_that_slice_and_place(
    shown_review: ReviewController, mouse: Any
) -> None:
    coronal, sagittal = pictures(shown_review)
    z, y, x = shown_review.planes.place
    sz, sy, _ = spacing(shown_review)
    mouse.click(sagittal, ((z - 1.5) * sz, (y + 4.5) * sy))
    assert shown_slice(shown_review) == z - 2
    moved = shown_review.planes.place
    assert (moved[0], moved[2]) == (z - 2, x)
    assert abs(moved[1] - (y + 4)) <= 1
    assert coronal.section is not None
    np.testing.assert_array_equal(coronal.section.hu, voxels(shown_review)[:, moved[1], :])


def test_a_place_outside_the_large_picture_is_brought_into_it(shown_review: ReviewController, mouse: Any) -> None:
    coronal, _ = pictures(shown_review)
    camera = shown_review.viewer.scene.camera
    camera.zoom *= 20
    before = camera.zoom
    z, _, x = shown_review.planes.place
    sz, _, sx = spacing(shown_review)
    mouse.click(coronal, ((z + 0.5) * sz, (x - 7.5) * sx))
    assert camera.zoom == before
    assert camera.center[-1] == pytest.approx(shown_review.planes.place[2] * sx)


def test_the_wheel_moves_a_section_and_not_the_slice(shown_review: ReviewController, mouse: Any) -> None:
    coronal, sagittal = pictures(shown_review)
    z, y, x = shown_review.planes.place
    steps = max(1, round(NOTCH_MM / spacing(shown_review)[1]))
    mouse.turn(coronal, 2)
    assert shown_review.planes.place == (z, y + 2 * steps, x)
    assert sagittal.lines[1] == pytest.approx((y + 2 * steps + 0.5) * spacing(shown_review)[1])
    mouse.turn(sagittal, -1)
    assert shown_review.planes.place == (z, y + 2 * steps, x - steps)
    assert shown_slice(shown_review) == z
    assert coronal.section is not None
    np.testing.assert_array_equal(coronal.section.hu, voxels(shown_review)[:, y + 2 * steps, :])


def test_the_wheel_with_control_zooms_the_section_alone(shown_review: ReviewController, mouse: Any) -> None:
    coronal, _ = pictures(shown_review)
    place, before = shown_review.planes.place, coronal.field
    mouse.turn(coronal, 1, CONTROL)
    assert coronal.field.pixels_per_mm == pytest.approx(before.pixels_per_mm / 1.1)
    assert shown_review.planes.place == place


def test_a_click_with_control_in_the_slice_moves_both_sections(shown_review: ReviewController) -> None:
    canvas = shown_review.viewer.window._qt_viewer.canvas
    point = QPoint(canvas.native.width() // 2 + 30, canvas.native.height() // 2 - 40)
    QTest.mouseClick(canvas.native, Qt.MouseButton.LeftButton, CONTROL, point)
    position = canvas._map_canvas2world((point.x(), point.y()), canvas.view)
    z, y, x = (round(mm / step) for mm, step in zip(position, spacing(shown_review), strict=True))
    assert shown_review.planes.place == (z, y, x)
    coronal, _ = pictures(shown_review)
    assert coronal.section is not None
    np.testing.assert_array_equal(coronal.section.hu, voxels(shown_review)[:, y, :])


def test_sections_have_the_window_of_the_slice(shown_review: ReviewController, press: Press) -> None:
    press(Qt.Key.Key_F4)
    for picture in pictures(shown_review):
        assert picture.section is not None
        assert picture.section.window == Preset.BONE.value


def test_boxes_that_are_hidden_are_hidden_on_the_sections_too(shown_review: ReviewController, press: Press) -> None:
    coronal, _ = pictures(shown_review)
    press(Qt.Key.Key_H)
    assert coronal.outlines == ()
    press(Qt.Key.Key_H)
    assert coronal.outlines != ()


def test_an_annotation_is_drawn_where_a_section_cuts_it(shown_review: ReviewController, mouse: Any) -> None:
    loaded = shown_review.view.loaded
    assert loaded is not None
    x1, y1, z1, x2, y2, _ = loaded.annotations[0].box
    sz, sy, sx = spacing(shown_review)
    shown_review.planes.point_in_slice((y1 + y2) / 2 * sy, (x1 + x2) / 2 * sx)
    for picture in pictures(shown_review):
        tops = [outline.corner[0] for outline in picture.outlines if outline.colour == ANNOTATION_COLOUR]
        assert z1 * sz in tops


def test_another_lesion_brings_its_own_sections(shown_review: ReviewController, press: Press) -> None:
    before = shown_review.planes.place
    press(Qt.Key.Key_J)
    assert wait_ready(shown_review, PATIENCE_SECONDS)
    asked = shown_review.current
    assert asked is not None
    x1, y1, _, x2, y2, _ = asked.candidate.finding.box
    z, y, x = shown_review.planes.place
    assert (z, y, x) != before
    assert x1 <= x < x2
    assert y1 <= y < y2


def test_while_they_are_closed_nothing_is_cut_and_the_reader_can_have_them_again(
    shown_review: ReviewController, press: Press, mouse: Any
) -> None:
    coronal, _ = pictures(shown_review)
    marks = shown_review.planes
    press(Qt.Key.Key_S, SHIFT)
    assert wait_until(lambda: dock_of(shown_review).isHidden(), PATIENCE_SECONDS)
    before = coronal.section
    press(Qt.Key.Key_J)
    assert wait_ready(shown_review, PATIENCE_SECONDS)
    mouse.turn(shown_review.viewer.window._qt_viewer.canvas.native, 1)
    assert coronal.section is before
    commands.sections()
    assert wait_until(lambda: coronal.section is not before, PATIENCE_SECONDS)
    assert coronal.section is not None
    np.testing.assert_array_equal(coronal.section.hu, voxels(shown_review)[:, marks.place[1], :])
    assert marks.place[0] == shown_slice(shown_review)


@pytest.mark.parametrize("title_button", ["hide_button", "close_button"])
def test_the_buttons_of_the_title_close_them_and_the_key_brings_them_back(
    shown_review: ReviewController, press: Press, title_button: str
) -> None:
    QTest.mouseClick(getattr(dock_of(shown_review).title, title_button), Qt.MouseButton.LeftButton)
    assert wait_until(lambda: not shown_review.settings.sections_shown, PATIENCE_SECONDS)
    assert not shown_review.planes.panel.is_seen
    press(Qt.Key.Key_S, SHIFT)
    assert wait_until(lambda: shown_review.planes.panel.is_seen, PATIENCE_SECONDS)
    assert shown_review.settings.sections_shown


def test_a_reader_who_closed_them_does_not_find_them_next_time(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    press(Qt.Key.Key_S, SHIFT)
    assert wait_saved(review, PATIENCE_SECONDS)
    review.close()
    again = open_project(project_folder, review.viewer, start_worker=False)
    assert not again.settings.sections_shown
    docks = review.viewer.window._qt_window.findChildren(QDockWidget, NAME)
    assert all(dock.isHidden() for dock in docks if dock.isAncestorOf(again.planes.panel))
    again.close()


def test_the_axial_picture_stays_the_largest_thing(shown_review: ReviewController) -> None:
    shown_review.viewer.window.resize(1600, 1000)
    canvas = shown_review.viewer.window._qt_viewer.canvas.native
    panel = shown_review.planes.panel
    assert wait_until(lambda: canvas.width() * canvas.height() > 4 * panel.width() * panel.height(), PATIENCE_SECONDS)


def test_the_sections_have_the_width_of_the_picture_and_the_jobs_lie_below(shown_review: ReviewController) -> None:
    main = shown_review.viewer.window._qt_window
    main.resize(1600, 1000)
    panel, jobs = shown_review.planes.panel, shown_review.jobs_panel
    for _ in range(2):
        QTest.qWait(200)
        assert panel.height() >= LEAST_HEIGHT
        assert panel.width() > 0.9 * shown_review.viewer.window._qt_viewer.canvas.native.width()
        assert jobs.mapTo(main, QPoint()).y() >= panel.mapTo(main, QPoint()).y() + panel.height()
        jobs.list_button.setChecked(True)  # opens the list of jobs, which takes room


def test_a_closed_review_leaves_no_marks_on_the_picture(shown_review: ReviewController) -> None:
    canvas = shown_review.viewer.window._qt_viewer.canvas.native
    marks = [child for child in canvas.children() if child.isWidgetType()]
    assert any(mark.isVisible() for mark in marks)
    shown_review.close()
    assert not any(mark.isVisible() for mark in marks)


def test_a_series_of_one_slice_has_sections_of_one_row(
    shown_review: ReviewController, project_folder: Path, tmp_path: Path, mouse: Any
) -> None:
    path = tmp_path / "one.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((1, 40, 50), 30, dtype=np.int16)), str(path))
    database = Database.open(Project.open(project_folder))
    new = NewSeries("one", "one", "one", 1, 1, geometry=VolumeGeometry((1, 40, 50), (5.0, 1.0, 1.0)))
    source = SeriesSource(SeriesFormat.NIFTI, (path,), None)
    record, _ = Catalog(database).add_series(replace(new, source=source), "universal", Split.TRAIN)
    database.close()
    shown_review.show_series(record.id)
    assert wait_until(lambda: shown_review.shown_series == record, PATIENCE_SECONDS)
    coronal, sagittal = pictures(shown_review)
    assert coronal.section is not None
    assert sagittal.section is not None
    assert coronal.section.hu.shape == (1, 50)
    assert sagittal.section.hu.shape == (1, 40)
    mouse.turn(coronal, 1)
    mouse.turn(sagittal, -1)
    mouse.click(coronal, (0.5, 30.5))
    mouse.click(sagittal, (3.0, 10.5))
    assert shown_review.planes.place == (0, 10, 30)
    assert coronal.lines[0] == 0.5
