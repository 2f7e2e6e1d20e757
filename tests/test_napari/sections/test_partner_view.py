"""The marked lesion beside a candidate, by real wheel turns and keys in a real window, from real files."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from support.projects.review_project import ReviewProject, decisions_on_disk, lesions_on_disk, make_review_project
from support.window.widgets import put_on_screen

from lens_engine.findings import Reason, Rule, middle_section
from lens_engine.project import Project
from lens_engine.store.annotations import Annotations
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.database import Database
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_saved, wait_until
from lens_napari.review.partners import LEAST_SIDE_MM, FoundPartner
from lens_napari.sections.partner_pictures import PartnerPictures
from lens_napari.sections.partner_view import CANNOT_BE_READ, ENDS_HERE, READING, PartnerView
from lens_napari.viewer.palette import ANNOTATION_COLOUR, CANDIDATE_COLOUR

PATIENCE_SECONDS = 60.0
Press = Callable[..., None]


def pictures_of(review: ReviewController) -> PartnerPictures:
    return review.lesion_panel.pictures


def ask_about(review: ReviewController, candidate_id: int) -> None:
    review.worklist.lesion_chosen.emit(candidate_id)
    assert wait_ready(review, PATIENCE_SECONDS)


def matched_across_studies(review: ReviewController) -> int:
    """Return a candidate of a second study whose partner is in the first."""
    second = {record.id for record in review._series.values() if record.study_number == 2}
    return next(
        record.id
        for record in lesions_on_disk(review._store.project.folder)
        if record.candidate.series_id in second and record.candidate.reasons[0].rule is Rule.INTRA_PATIENT
    )


@pytest.fixture
def compared(review: ReviewController) -> ReviewController:
    """Return a review with a candidate on screen, and its partner beside it."""
    ask_about(review, matched_across_studies(review))
    assert wait_until(lambda: pictures_of(review).then.section is not None, PATIENCE_SECONDS)
    return review


def partner_on_disk(review: ReviewController) -> Any:
    """Read the annotation that the reason names, with a connection of its own."""
    assert review.current is not None
    database = Database.open(Project.open(review._store.project.folder))
    known = Annotations(database).find(review.current.candidate.reasons[0].annotation_id or 0)
    database.close()
    assert known is not None
    return known


def test_each_lesion_is_shown_from_its_own_scan_on_its_key_slice(compared: ReviewController) -> None:
    pictures, known = pictures_of(compared), partner_on_disk(compared)
    then = compared._store.load(known.series_id, None)
    assert pictures.then.section is not None
    assert pictures.now.section is not None
    key = middle_section(known.slices)
    np.testing.assert_array_equal(pictures.then.section.hu, then.volume.voxels[key.slice_index])
    here = compared.viewer.dims.current_step[0]
    assert compared.view.loaded is not None
    np.testing.assert_array_equal(pictures.now.section.hu, compared.view.loaded.volume.voxels[here])
    _, sy, sx = then.volume.geometry.spacing_mm
    box = pictures.then.outlines[0]
    assert box.corner == pytest.approx((key.box[1] * sy, key.box[0] * sx))
    assert box.colour == ANNOTATION_COLOUR
    assert [outline.colour for outline in pictures.now.outlines] == [CANDIDATE_COLOUR]


def test_both_have_one_scale_and_their_lesion_in_the_middle(compared: ReviewController) -> None:
    compared.viewer.show()
    pictures = pictures_of(compared)
    assert wait_until(lambda: pictures.isVisible() and pictures.then.size() == pictures.now.size(), PATIENCE_SECONDS)
    assert pictures.then.field.pixels_per_mm == pytest.approx(pictures.now.field.pixels_per_mm)
    assert pictures.then.field.seen_mm >= LEAST_SIDE_MM
    for picture in (pictures.then, pictures.now):
        corner, opposite = picture.outlines[0].corner, picture.outlines[0].opposite
        middle = [(one + other) / 2 for one, other in zip(corner, opposite, strict=True)]
        assert picture.field.middle_mm == pytest.approx(middle)


def test_zooming_one_zooms_both(compared: ReviewController, mouse: Any) -> None:
    pictures = pictures_of(compared)
    before = pictures.now.field.pixels_per_mm
    mouse.turn(pictures.now, -2, Qt.KeyboardModifier.ControlModifier)
    assert pictures.now.field.pixels_per_mm == pytest.approx(before * 1.21)
    assert pictures.then.field.seen_mm == pytest.approx(pictures.now.field.seen_mm)


def test_words_say_which_studies_how_long_between_and_how_alike(compared: ReviewController) -> None:
    pictures = pictures_of(compared)
    assert pictures.then_caption.text() == "then: study 1 of 2023-05-04, series 1"
    assert pictures.now_caption.text() == "now: study 2 of 2023-05-05, series 1"
    assert wait_until(lambda: bool(pictures.comparison_label.text()), PATIENCE_SECONDS)
    assert pictures.comparison_label.text() == "1 day before this study · alike (distance 0.11 of at most 0.15)"


def test_hidden_scores_hide_the_distance_and_not_the_time(compared: ReviewController) -> None:
    compared.lesion_panel.scores_box.click()
    assert pictures_of(compared).comparison_label.text() == "1 day before this study"


def test_the_wheel_over_the_partner_moves_both_scans(compared: ReviewController, mouse: Any) -> None:
    pictures = pictures_of(compared)
    here = compared.viewer.dims.current_step[0]
    mouse.turn(pictures.then, 1)
    assert compared.viewer.dims.current_step[0] == here + 1
    key = middle_section(partner_on_disk(compared).slices).slice_index
    assert pictures.then.label.startswith(f"{key + 2} /")  # both scans have one slice spacing; numbers count from 1
    assert pictures.now.label.startswith(f"{here + 2} /")


def test_a_partner_with_other_slices_moves_by_the_same_millimetres(viewer: Any, tmp_path: Path, mouse: Any) -> None:
    project = make_review_project(tmp_path / "own", patients=1)
    assert project.series[0].source is not None
    path = str(project.series[0].source.paths[0])
    scan = sitk.ReadImage(path)
    scan.SetSpacing((*scan.GetSpacing()[:2], scan.GetSpacing()[2] / 4))
    sitk.WriteImage(scan, path)
    review = open_project(project.folder, viewer, start_worker=False)
    assert wait_ready(review, PATIENCE_SECONDS)
    ask_about(review, matched_across_studies(review))
    pictures = pictures_of(review)
    assert wait_until(lambda: pictures.then.section is not None, PATIENCE_SECONDS)
    key = int(pictures.then.label.split()[0])
    mouse.turn(pictures.now, 1)
    assert int(pictures.then.label.split()[0]) == key + 4
    review.close()


def test_where_the_other_scan_ends_it_says_so(compared: ReviewController, mouse: Any) -> None:
    key = middle_section(partner_on_disk(compared).slices).slice_index
    assert compared.current is not None
    here = middle_section(compared.current.candidate.finding.slices).slice_index
    assert here > key  # scrolling to the head, the partner ends first
    compared.view.go_to_slice(here - key - 1)
    assert pictures_of(compared).then.words == ENDS_HERE
    compared.view.go_to_slice(here)
    assert pictures_of(compared).then.section is not None


def test_a_candidate_without_a_partner_has_no_pictures(review: ReviewController) -> None:
    alone = next(
        record.id
        for record in lesions_on_disk(review._store.project.folder)
        if all(reason.rule is Rule.CROSS_DATASET for reason in record.candidate.reasons)
    )
    ask_about(review, alone)
    assert wait_until(lambda: not review.partner.is_reading, PATIENCE_SECONDS)
    assert pictures_of(review).isHidden()
    assert review.lesion_panel.why_label.text().startswith("The ")


def test_a_lesion_that_continues_in_the_same_scan_is_shown_beside_it(viewer: Any, project_folder: Path) -> None:
    database = Database.open(Project.open(project_folder))
    here = Candidates(database).queue()[0].candidate
    known = Annotations(database).of_series(here.series_id)[0]
    continued = replace(here, reasons=(Reason(Rule.CROSS_SLICE, annotation_id=known.id),))
    Candidates(database).replace_open("v1", [continued], [0.5])
    database.close()
    review = open_project(project_folder, viewer, start_worker=False)
    assert wait_ready(review, PATIENCE_SECONDS)
    assert wait_until(lambda: bool(pictures_of(review).comparison_label.text()), PATIENCE_SECONDS)
    slices = middle_section(known.slices).slice_index - middle_section(here.finding.slices).slice_index
    side = "feet" if slices > 0 else "head"
    assert pictures_of(review).comparison_label.text() == f"in this scan, {abs(slices) * 8} mm nearer the {side}"
    review.close()


@pytest.fixture
def without_first_scan(review_template: ReviewProject) -> Iterator[None]:
    """Take away the scan that the partners of the first patient are in."""
    source = review_template.series[0].source
    assert source is not None
    away = source.paths[0].rename(source.paths[0].with_suffix(".away"))
    yield
    away.rename(source.paths[0])


@pytest.mark.usefixtures("without_first_scan")
def test_a_partner_whose_files_are_gone_says_so_and_the_review_goes_on(
    viewer: Any, project_folder: Path, review_template: ReviewProject
) -> None:
    review = open_project(project_folder, viewer, start_worker=False)
    assert wait_until(lambda: review.is_open, PATIENCE_SECONDS)
    second = review_template.series[1].id
    matched = next(
        record.id
        for record in lesions_on_disk(review._store.project.folder)
        if record.candidate.series_id == second and record.candidate.reasons[0].rule is Rule.INTRA_PATIENT
    )
    ask_about(review, matched)
    pictures = pictures_of(review)
    assert wait_until(lambda: pictures.then.words == CANNOT_BE_READ, PATIENCE_SECONDS)
    assert not pictures.isHidden()
    assert "1 of 1 files of the series are gone" in pictures.then.toolTip()
    assert "a lesion marked in study 1" in review.lesion_panel.why_label.text()
    put_on_screen(viewer)
    QTest.mouseClick(review.lesion_panel.accept_button, Qt.MouseButton.LeftButton)
    assert wait_saved(review, PATIENCE_SECONDS)
    assert [record.decision.candidate_id for record in decisions_on_disk(project_folder)] == [matched]
    review.close()


def test_closing_the_window_while_the_partner_is_read_ends_everything(review: ReviewController) -> None:
    matched = matched_across_studies(review)
    lesions = {lesion.id: lesion for lesion in lesions_on_disk(review._store.project.folder)}
    series = lesions.pop(matched).candidate.series_id
    same = [lesion for lesion in lesions.values() if lesion.candidate.series_id == series]
    ask_about(review, same[0].id)
    review.worklist.lesion_chosen.emit(matched)
    assert review.partner.is_reading
    review.viewer.window._qt_window.close()
    assert pictures_of(review).isHidden()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("lens-partner")]


def test_the_partner_of_a_lesion_that_has_gone_by_is_not_shown(review: ReviewController, press: Press) -> None:
    matched = matched_across_studies(review)
    ask_about(review, matched)
    press(Qt.Key.Key_J)  # the next one is of another reason
    assert wait_ready(review, PATIENCE_SECONDS)
    assert wait_until(lambda: not review.partner.is_reading, PATIENCE_SECONDS)
    assert review.partner.partner_of(matched) is None
    assert pictures_of(review).isHidden()


def test_a_reader_who_looks_elsewhere_and_comes_back_finds_the_partner_again(
    compared: ReviewController, press: Press, mouse: Any
) -> None:
    pictures, here = pictures_of(compared), compared.shown_series
    other = next(record for record in compared._series.values() if record != here)
    compared.show_series(other.id)
    assert wait_until(lambda: compared.shown_series == other, PATIENCE_SECONDS)
    press(Qt.Key.Key_G)
    assert wait_ready(compared, PATIENCE_SECONDS)
    before = pictures.then.label
    mouse.turn(pictures.then, -1)
    assert pictures.then.label != before


def test_a_partner_that_is_read_while_the_reader_looks_elsewhere_waits_for_him(
    review: ReviewController, press: Press, qtbot: Any
) -> None:
    ask_about(review, matched_across_studies(review))
    asked, may_read, pictures = review.current, threading.Event(), PartnerPictures()
    qtbot.addWidget(pictures)
    assert asked is not None

    def read(candidate: CandidateRecord) -> FoundPartner | None:
        may_read.wait(PATIENCE_SECONDS)
        return review._store.partner_of(candidate)

    partner = PartnerView(review.view, pictures, read)
    partner.show_for(asked)
    assert pictures.then.words == READING
    other = next(record for record in review._series.values() if record != review.shown_series)
    review.show_series(other.id)
    assert wait_until(lambda: review.shown_series == other, PATIENCE_SECONDS)
    may_read.set()
    assert wait_until(lambda: not partner.is_reading, PATIENCE_SECONDS)
    assert pictures.then.section is None
    press(Qt.Key.Key_G)
    assert wait_until(lambda: pictures.then.section is not None, PATIENCE_SECONDS)
    assert pictures.now.section is not None
    partner.close()
