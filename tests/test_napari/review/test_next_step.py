"""What is said where nothing is asked about: one table of situations, each with its words and buttons."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lens_engine.findings import Rule
from lens_engine.jobs.inputs import JobKind
from lens_engine.jobs.status import JobProgress, JobState, JobStatus
from lens_napari.review.next_step import Action, Standing, next_step
from lens_napari.review.session import Filtered, Tally

NOTHING = Tally(total=0, open=0, accepted=0, rejected=0, unsure=0, decided_now=0, pending=0)
DONE = replace(NOTHING, total=3, accepted=3)
MINED = Standing(series=4, mined_series=4, unseen=0, model_version="v1", is_mined=True, validation_waiting=0)
SEARCHED = replace(MINED, is_mined=False)
NEW = replace(SEARCHED, unseen=4)
EMPTY = replace(NEW, series=0, mined_series=0, unseen=0)

SITUATIONS = {
    "being read": (None, NOTHING, "Opening the project …", ()),
    "no scans": (EMPTY, NOTHING, "No scans yet", (Action.ADD_SCANS,)),
    "no model": (replace(NEW, model_version=None), NOTHING, "No model yet", ()),
    "not searched": (NEW, NOTHING, "Not searched yet", (Action.FIND,)),
    "not mined": (SEARCHED, NOTHING, "Searched, not mined yet", (Action.MINE,)),
    "not mined, new scans": (
        replace(SEARCHED, unseen=1),
        NOTHING,
        "Searched, not mined yet",
        (Action.MINE, Action.FIND),
    ),
    "mined in vain": (MINED, NOTHING, "Mining found nothing to ask about", (Action.MINE, Action.ADD_SCANS)),
    "only validation patients": (
        replace(MINED, validation_waiting=2),
        NOTHING,
        "Mining found nothing to ask about",
        (Action.WITH_VALIDATION, Action.MINE, Action.ADD_SCANS),
    ),
    "all decided": (MINED, DONE, "Review done", (Action.RETRAIN,)),
    "all decided, new scans": (replace(MINED, unseen=1), DONE, "Review done", (Action.FIND, Action.RETRAIN)),
}


def job(kind: JobKind, state: JobState, **more: object) -> JobStatus:
    status = JobStatus("job", kind, state, JobProgress(), None, datetime(2026, 1, 1, tzinfo=UTC))
    return replace(status, **more)  # type: ignore[arg-type]  # any field of a job


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_has_its_words_and_the_buttons_that_help(situation: str) -> None:
    standing, tally, headline, actions = SITUATIONS[situation]
    step = next_step(standing, tally, None, ())
    assert (step.headline, step.actions) == (headline, actions)
    assert step.progress is None


def test_a_search_that_runs_says_how_far_it_is_and_offers_nothing_else() -> None:
    progress = JobProgress("Detecting in series 000001_01_01_000-079", 3, 12, eta_seconds=180)
    step = next_step(NEW, NOTHING, None, [job(JobKind.DETECT, JobState.RUNNING, progress=progress)])
    assert (step.headline, step.progress, step.actions) == ("Looking for lesions …", progress, ())
    assert "About 3 min left" in step.words


def test_a_search_that_waits_for_a_worker_says_so() -> None:
    step = next_step(SEARCHED, NOTHING, None, [job(JobKind.MINE, JobState.QUEUED)])
    assert step.headline == "Mining …"
    assert "waits for its turn" in step.words


def test_a_failed_search_is_told_and_can_be_begun_again() -> None:
    failed = job(JobKind.DETECT, JobState.FAILED, error="The model does not fit into memory.")
    step = next_step(NEW, NOTHING, None, [failed])
    assert "Looking for lesions failed: The model does not fit into memory." in step.words
    assert step.actions == (Action.FIND,)


def test_a_mining_in_vain_says_why_and_what_would_change_it() -> None:
    notes = ["No lesion of the mined series is annotated: nothing can be continued on other slices."]
    mined = job(JobKind.MINE, JobState.DONE, result={"notes": notes})
    words = next_step(MINED, NOTHING, None, [mined]).words
    assert notes[0] in words
    assert "marked lesions (lens import FILE)" in words


def test_test_patients_alone_are_named_as_the_reason() -> None:
    words = next_step(replace(MINED, mined_series=0), NOTHING, None, ()).words
    assert "test patients are never asked about" in words


def test_one_and_several_are_told_apart() -> None:
    assert "1 scan is not searched" in next_step(replace(MINED, unseen=1), DONE, None, ()).words
    assert "2 scans are not searched" in next_step(replace(MINED, unseen=2), DONE, None, ()).words


@pytest.mark.parametrize(
    ("filtered", "headline"),
    [
        (Filtered(Rule.CROSS_SLICE, 0, 0), "The filter matches nothing"),
        (Filtered(Rule.CROSS_SLICE, 3, 0), "The filter is done"),
    ],
)
def test_a_filter_that_leaves_nothing_to_ask_can_be_taken_off(filtered: Filtered, headline: str) -> None:
    step = next_step(MINED, replace(DONE, open=1), filtered, ())
    assert (step.headline, step.actions) == (headline, (Action.ANY_REASON,))
    assert "1 other lesion waits" in step.words


def test_a_filter_does_not_matter_once_every_lesion_is_decided() -> None:
    assert next_step(MINED, DONE, Filtered(Rule.CROSS_SLICE, 3, 0), ()).headline == "Review done"
