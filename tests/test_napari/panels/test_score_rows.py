"""Every score stands beside the expert that gave it, on the card and in the list of lesions."""

from pathlib import Path

from qtpy.QtCore import Qt

from lens_engine.findings import FUSED
from lens_engine.project import Project
from lens_engine.store.candidates import Candidates
from lens_engine.store.database import Database
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready

PATIENCE_SECONDS = 120.0


def test_the_card_shows_what_every_expert_says_of_each_lesion(review: ReviewController) -> None:
    for _ in range(review.session.tally().total):
        assert wait_ready(review, PATIENCE_SECONDS)
        assert review.current is not None
        finding = review.current.candidate.finding
        said = {FUSED: finding.score, **finding.expert_scores}
        for expert, bar in review.lesion_panel.score_bars.items():
            assert bar.text == (f"{said[expert]:.2f}" if expert in said else "–")
        review.go_next()


def test_the_list_shows_the_score_of_the_expert_whom_it_names(review: ReviewController, project_folder: Path) -> None:
    model = review.worklist.model
    database = Database.open(Project.open(project_folder))
    finding_of = {record.id: record.candidate.finding for record in Candidates(database).queue()}
    database.close()
    for row in model.rows:
        scores = finding_of[row.candidate_id].expert_scores
        assert row.score == f"{scores[row.expert]:.2f}"
        assert scores[row.expert] == max(scores.values())


def test_the_list_says_whose_score_it_is(review: ReviewController) -> None:
    tips = [
        review.worklist.model.headerData(column, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
        for column in range(review.worklist.model.columnCount())
    ]
    assert "What the surest expert says about the place" in tips
