"""What is said where no lesion is asked about: why, how far a search is, and what makes sense now.

One pure function resolves what the project holds, what the reader has done and what runs to the words and buttons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lens_engine.jobs.inputs import JobKind
from lens_engine.jobs.status import JobProgress, JobState, JobStatus
from lens_napari.review.session import Filtered, Tally
from lens_napari.review.wording import nothing_matches, others_open


class Action(StrEnum):
    """What a button beside the words does; the value is written on it."""

    ADD_SCANS = "Add scans …"
    FIND = "Find lesions"
    MINE = "Mine"
    ANY_REASON = "Take the filter off"
    WITH_VALIDATION = "Ask about validation patients too"
    RETRAIN = "Retrain …"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a project has come.

    Attributes
    ----------
    series
        Series with images.
    mined_series
        Those of patients that are not kept for testing: only there lesions are asked about.
    unseen
        Series that the model in use has not searched.
    model_version
        The one in use; None in a project without any.
    is_mined
        Whether a mining has been done.
    validation_waiting
        Lesions of validation patients that nobody has decided about.
    """

    series: int
    mined_series: int
    unseen: int
    model_version: str | None
    is_mined: bool
    validation_waiting: int


@dataclass(frozen=True, slots=True)
class NextStep:
    """What the panel says and offers.

    Attributes
    ----------
    progress
        Of the search that is waited for; None where nothing runs.
    """

    headline: str
    words: str
    actions: tuple[Action, ...] = ()
    progress: JobProgress | None = None


SEARCHES = {JobKind.DETECT: "Looking for lesions", JobKind.MINE: "Mining"}
LOOK_MEANWHILE = "Any scan can be looked at meanwhile."
OPENING = NextStep("Opening the project …", "")


def next_step(
    standing: Standing | None, tally: Tally, filtered: Filtered | None, jobs: Sequence[JobStatus]
) -> NextStep:
    """Return what is said while no lesion is asked about.

    Parameters
    ----------
    standing
        None while it is not read yet.
    filtered
        What the reader's filter leaves of the list; None without one.
    jobs
        The latest ones, newest first.
    """
    running = next((job for job in jobs if job.kind in SEARCHES and not job.state.is_final), None)
    if filtered is not None and (filtered.total == 0 or tally.open > 0):
        headline, words = nothing_matches(filtered.rule, filtered.total)
        return NextStep(headline, f"{words} {others_open(tally.open)}", (Action.ANY_REASON,))
    if standing is None:
        return OPENING
    if running is not None:
        return _searching(running)
    if tally.total:
        return _after_the_last(standing)
    return _nothing_to_review(standing, jobs)


def _after_the_last(standing: Standing) -> NextStep:
    if standing.unseen:
        return NextStep(
            "Review done",
            f"{_scans(standing.unseen)} not searched for lesions with the model in use.",
            (Action.FIND, Action.RETRAIN),
        )
    others = (Action.WITH_VALIDATION,) if standing.validation_waiting else ()
    return NextStep("Review done", "The detector can now learn from these decisions.", (Action.RETRAIN, *others))


def _nothing_to_review(standing: Standing, jobs: Sequence[JobStatus]) -> NextStep:
    failed = _failure(jobs)
    if not standing.series:
        return NextStep(
            "No scans yet",
            "Add the CT scans that are to be searched for lesions, or drop their folders on this window.",
            (Action.ADD_SCANS,),
        )
    if standing.model_version is None:
        return NextStep("No model yet", "Lesions are found by a model. Bring one in with: lens models --add FOLDER", ())
    if standing.unseen == standing.series:
        return NextStep(
            "Not searched yet",
            f"{failed}Nobody has looked for lesions in {_these(standing.series)} yet. {LOOK_MEANWHILE}",
            (Action.FIND,),
        )
    if not standing.is_mined:
        return NextStep(
            "Searched, not mined yet",
            f"{failed}Mining picks out what was found and is not marked: lesions that were missed. Then you are asked.",
            (Action.MINE, *_find(standing)),
        )
    return _mined_in_vain(standing, jobs, failed)


def _mined_in_vain(standing: Standing, jobs: Sequence[JobStatus], failed: str) -> NextStep:
    mined = next((job for job in jobs if job.kind is JobKind.MINE and job.state is JobState.DONE), None)
    notes = mined.result.get("notes") if mined is not None else None
    reasons = [str(note) for note in notes] if isinstance(notes, list | tuple) else []
    if not standing.mined_series:
        reasons.insert(0, "Every patient here is kept for testing, and test patients are never asked about.")
    if standing.validation_waiting:
        verb = "waits" if standing.validation_waiting == 1 else "wait"
        reasons.append(f"{_count(standing.validation_waiting, 'lesion')} of validation patients {verb}.")
    if standing.unseen:
        reasons.append(f"{_scans(standing.unseen)} not searched for lesions yet.")
    advice = (
        "More may be found with more scans, with another scan of the same patient, with marked lesions "
        "(lens import FILE), or with another model."
    )
    others = (Action.WITH_VALIDATION,) if standing.validation_waiting else ()
    return NextStep(
        "Mining found nothing to ask about",
        " ".join(filter(None, [failed.strip(), *reasons, advice])),
        (*others, *_find(standing), Action.MINE, Action.ADD_SCANS),
    )


def _searching(job: JobStatus) -> NextStep:
    if job.state is JobState.QUEUED:
        return NextStep(f"{SEARCHES[job.kind]} …", f"It waits for its turn. {LOOK_MEANWHILE}", (), job.progress)
    remaining = "" if job.eta_seconds is None else f"About {_duration(job.eta_seconds)} left. "
    stage = f"{job.stage}. " if job.stage else ""
    return NextStep(f"{SEARCHES[job.kind]} …", f"{stage}{remaining}{LOOK_MEANWHILE}", (), job.progress)


def _failure(jobs: Sequence[JobStatus]) -> str:
    last = next((job for job in jobs if job.kind in SEARCHES), None)
    if last is None or last.state is not JobState.FAILED:
        return ""
    return f"{SEARCHES[last.kind]} failed: {last.error or 'see its log'} "


def _find(standing: Standing) -> tuple[Action, ...]:
    return (Action.FIND,) if standing.unseen else ()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _scans(number: int) -> str:
    return f"{_count(number, 'scan')} {'is' if number == 1 else 'are'}"


def _these(number: int) -> str:
    return "this scan" if number == 1 else f"these {number} scans"
