"""What a retraining is made of, what became of it and what comes next, as values in a reader's words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lens_engine.evaluation.bootstrap import Interval
from lens_engine.jobs.results import EvaluateResult, TrainResult
from lens_napari.review.versions.froc_view import SHOWN_RULE, certainty, percent

ADDED_LESIONS = ("mined", "accepted")
"""Counts that come on top of the original annotations."""


@dataclass(frozen=True, slots=True)
class LearningPlan:
    """What a new version would be made of.

    Attributes
    ----------
    counts
        What the snapshot would hold of the training patients, by words for a reader.
    measured_on
        Sentence about the held-out series, or what to do so that the gain can be measured.
    parent
        Name of the version to start from.
    """

    counts: Mapping[str, int]
    measured_on: str
    parent: str

    @property
    def in_words(self) -> str:
        """One line for each count, and one for the start."""
        return f"{counts_in_lines(self.counts)}\nStart from {self.parent}."


@dataclass(frozen=True, slots=True)
class FrozenLabels:
    """What one training learns from: a snapshot, which no later decision changes."""

    snapshot_id: str
    counts: Mapping[str, int]

    @property
    def in_words(self) -> str:
        """Its counts, and its name."""
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items())
        return f"{counts} (snapshot {self.snapshot_id})."


@dataclass(frozen=True, slots=True)
class TrainChoices:
    """What the reader chose in the form."""

    steps: int | None
    seed: int
    promote: bool
    from_scratch: bool


@dataclass(frozen=True, slots=True)
class LastTraining:
    """The last training of the project that came to its end.

    Attributes
    ----------
    seconds
        How long it took, with measuring; None where that is not known.
    worker
        Who did it.
    learned_from
        None where its snapshot is gone.
    is_in_use
        Whether its version is the one that the project uses.
    is_measured_apart
        Whether its version was measured by a job of its own, as somebody asked later or before trainings did.
    """

    result: TrainResult
    seconds: float | None
    worker: str | None
    learned_from: FrozenLabels | None
    is_in_use: bool
    is_measured_apart: bool

    @property
    def version(self) -> str:
        """The version that it made."""
        return self.result.model_version

    @property
    def expected_duration(self) -> str:
        """How long it took; the next one with the same choices takes about as long."""
        return last_training_in_words(self.seconds, self.worker or "")

    @property
    def in_words(self) -> str:
        """What was made, of what, how good it is, and whether it is in use."""
        result = self.result
        use = "It is in use." if self.is_in_use else f"It is not in use yet; {result.parent_version} was its start."
        sentences = (
            f"{result.model_version} was made from {result.parent_version}. {use}",
            f"Learned from {self.learned_from.in_words}" if self.learned_from else "",
            "How good it is stands in Models." if self.is_measured_apart else gain_in_words(result),
        )
        return "\n".join(filter(None, sentences))


@dataclass(frozen=True, slots=True)
class OutdatedList:
    """That the lesions in the list were found by another version than the one in use, and what makes sense then.

    Attributes
    ----------
    version
        The version in use.
    listed
        The version whose findings were mined last; None before the first mining.
    unseen, series
        How many series of training and validation patients it has not looked at, of how many.
    """

    version: str
    listed: str | None
    unseen: int
    series: int

    @property
    def in_words(self) -> str:
        """What is the case."""
        seen = f"{self.version} is in use and has not looked at {self.unseen} of {self.series} series."
        if not self.unseen:
            seen = f"{self.version} is in use and has looked at all {self.series} series."
        if self.listed is None:
            return f"{seen} No scan was mined so far."
        return f"{seen} The list of lesions still comes from {self.listed}."

    @property
    def action(self) -> str:
        """What the button is called that does it."""
        return "Detect and mine" if self.listed is None else "Detect and mine again"


FIRST_DURATION = "How long it takes is shown shortly after the start."


def counts_in_lines(counts: Mapping[str, int]) -> str:
    """Return one line for each count."""
    return "\n".join(f"{'+ ' if word in ADDED_LESIONS else ''}{count} {word}" for word, count in counts.items())


def last_training_in_words(seconds: float | None, worker: str = "") -> str:
    """Return how long the last training of the project took, and where; nothing before the first."""
    if seconds is None:
        return ""
    where = f" on {worker}" if worker else ""
    if seconds < 90:
        return f"The last training took {seconds:.0f} s{where}."
    if seconds < 90 * 60:
        return f"The last training took {seconds / 60:.0f} min{where}."
    return f"The last training took {seconds / 3600:.1f} h{where}."


def gain_in_words(result: TrainResult) -> str:
    """Return whether a new version finds more than its parent, or why that is not known."""
    if result.evaluation is None:
        return "It was not measured; “Measure it” in Models does that."
    if not result.evaluation.measurable:
        return f"Not measurable yet. {result.evaluation.what_to_do}"
    return f"{_rise(result.evaluation, result.parent_version, result.model_version)} {_place(result.evaluation)}"


def short_gain(evaluation: EvaluateResult | None, before: str, version: str) -> str:
    """Return the rise as a clause for one line; nothing where it was not measured."""
    if evaluation is None or not evaluation.measurable:
        return "" if evaluation is None else "its gain is not measurable yet"
    return _rise(evaluation, before, version).removesuffix(".")


def _rise(evaluation: EvaluateResult, before: str, version: str) -> str:
    rule = SHOWN_RULE.value
    old, new = (evaluation.average_sensitivity[name][rule].interval for name in (before, version))
    difference = evaluation.difference.get(version, {}).get(rule)
    told = certainty(difference.interval) if difference is not None else ""
    return f"Average sensitivity {_known(old)} → {_known(new)} %{told}."


def _known(interval: Interval) -> str:
    return percent(interval) if math.isfinite(interval.value) else "unknown"


def _place(evaluation: EvaluateResult) -> str:
    return (
        f"Measured on {evaluation.lesions} lesions in {evaluation.series} complete series of {evaluation.patients} "
        "held-out patients."
    )
