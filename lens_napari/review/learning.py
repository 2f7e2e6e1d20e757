"""What a retraining is made of, as values that the store fills in and the panel shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearningPlan:
    """What a new version would be made of.

    Attributes
    ----------
    measured_on
        Sentence about the held-out series, or what to do so that the gain can be measured.
    last_duration_seconds
        Of the last training; None before the first.
    """

    annotations: int
    accepted: int
    rejected: int
    unsure: int
    measured_on: str
    parent: str
    last_duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TrainChoices:
    """What the reader chose in the form."""

    steps: int | None
    seed: int
    promote: bool
    from_scratch: bool
