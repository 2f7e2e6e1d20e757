from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lens_engine.findings import Candidate, CandidateKind, Finding, Reason, Rule, SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_engine.jobs.inputs import JobKind
from lens_engine.jobs.status import JobProgress, JobState, JobStatus
from lens_napari.review.job_wording import remaining
from lens_napari.review.wording import Partner, comparison, headline, size_mm, symbol, why

FINDING = Finding("fused", (0.0, 0.0, 5.0, 10.0, 8.0, 8.0), (SliceBox(6, (0.0, 0.0, 10.0, 8.0)),), 0.8)
MATCHED = Reason(Rule.INTRA_PATIENT, annotation_id=3, distance=0.111, distance_limit=0.15)
UNCERTAIN = Reason(Rule.CROSS_DATASET, expert="lung", score=0.81)
LIKE_A_DECIDED_ONE = "It looks like a lesion that a reader found in study 1 (distance 0.11, limit 0.15)."
CONTINUED = Reason(Rule.CROSS_SLICE, annotation_id=3)


def candidate(*reasons: Reason, kind: CandidateKind = CandidateKind.MISSING_ANNOTATION) -> Candidate:
    return Candidate(1, FINDING, kind, reasons)


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (MATCHED, "It looks like a lesion marked in study 1 (distance 0.11, limit 0.15)."),
        (UNCERTAIN, "The lung expert (0.81) sees a lesion that is not marked."),
        (CONTINUED, "It continues a marked lesion on a neighbouring slice."),
        (replace(MATCHED, annotation_id=None, decision_id=3), LIKE_A_DECIDED_ONE),
        (Reason(Rule.CROSS_SLICE, decision_id=3), "It continues a lesion that a reader found on a neighbouring slice."),
    ],
)
def test_one_sentence_says_why(reason: Reason, sentence: str) -> None:
    assert why(candidate(reason), Partner("study 1"), show_scores=True) == sentence


def test_hidden_scores_are_not_in_the_sentence() -> None:
    sentence = why(candidate(MATCHED, UNCERTAIN), None, show_scores=False)
    assert not any(character.isdigit() for character in sentence)
    assert "; the lung expert sees" in sentence


def test_every_rule_has_its_symbol() -> None:
    assert symbol({MATCHED.rule, UNCERTAIN.rule, CONTINUED.rule}) == "⇄?↕"


def test_the_question_depends_on_the_kind() -> None:
    assert headline(CandidateKind.MISSING_ANNOTATION) == "Missing annotation?"
    assert "lesion?" in headline(CandidateKind.UNCERTAIN)


def test_the_size_is_in_millimetres() -> None:
    assert size_mm(candidate(MATCHED).finding.box, VolumeGeometry((20, 20, 20), (5.0, 0.5, 0.5))) == "5 × 4 × 15 mm"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (MATCHED, "3 days before this study · alike (distance 0.11 of at most 0.15)"),
        (replace(MATCHED, distance=0.07), "3 days before this study · very alike (distance 0.07 of at most 0.15)"),
        (replace(MATCHED, distance_limit=None), "3 days before this study · distance 0.11"),
        (CONTINUED, "3 days before this study"),
    ],
)
def test_a_line_says_how_far_apart_and_how_alike_two_lesions_are(reason: Reason, words: str) -> None:
    assert comparison(reason, Partner("study 1", "3 days before this study"), show_scores=True) == words


def test_a_hidden_score_is_not_in_the_line() -> None:
    assert comparison(MATCHED, Partner("study 1", "the same day"), show_scores=False) == "the same day"


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (80, "80 s left"), (600, "10 min left"), (90_000, "25 h left")]
)
def test_what_remains_of_a_job_is_said_in_a_unit_that_fits(seconds: float | None, words: str) -> None:
    status = JobStatus(
        "job",
        JobKind.DETECT,
        JobState.RUNNING,
        JobProgress(eta_seconds=seconds),
        None,
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert remaining(status) == words
    assert remaining(replace(status, state=JobState.DONE)) == ""
