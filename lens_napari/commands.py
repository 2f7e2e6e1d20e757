"""Every action of the review as a command of napari's palette; they act on the project that is open."""

from collections.abc import Callable
from functools import partial

from lens_engine.errors import ProjectError
from lens_engine.findings import Verdict
from lens_napari.application import open_review
from lens_napari.controller import ReviewController


def _review() -> ReviewController:
    controller = open_review()
    if controller is None:
        raise ProjectError("No project is open", "A review to act on", "Open one with Plugins > Review a project")
    return controller


def _with_review(act: Callable[[ReviewController], None]) -> None:
    act(_review())


accept = partial(_with_review, lambda review: review.give_verdict(Verdict.ACCEPTED))
reject = partial(_with_review, lambda review: review.give_verdict(Verdict.REJECTED))
unsure = partial(_with_review, lambda review: review.give_verdict(Verdict.UNSURE))
next_lesion = partial(_with_review, ReviewController.go_next)
previous_lesion = partial(_with_review, ReviewController.go_previous)
go_to = partial(_with_review, ReviewController.go_to)
hide_boxes = partial(_with_review, lambda review: review.view.toggle_boxes())
dim_boxes = partial(_with_review, lambda review: review.worklist.legend.dim_box.toggle())
sections = partial(_with_review, lambda review: review.planes.toggled.emit())
overview = partial(_with_review, lambda review: review.overview.toggled.emit())
tour = partial(_with_review, lambda review: review.tour_wanted.emit())
standard_arrangement = partial(_with_review, lambda review: review.standard_arrangement.emit())
undo = partial(_with_review, ReviewController.undo)
mark_complete = partial(_with_review, lambda review: review.completeness.mark(True))
unmark_complete = partial(_with_review, lambda review: review.completeness.mark(False))
export_test_set = partial(_with_review, lambda review: review.jobs_panel.show_export_menu())
add_scans = partial(_with_review, lambda review: review.adding.choose())
retrain = partial(_with_review, lambda review: review.jobs.show_retrain())
