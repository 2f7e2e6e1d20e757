"""What a retraining is made of, as values that the store fills in and the panel shows."""

from collections.abc import Mapping
from dataclasses import dataclass

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
        lines = [f"{'+ ' if word in ADDED_LESIONS else ''}{count} {word}" for word, count in self.counts.items()]
        return "\n".join([*lines, f"Start from {self.parent}."])


@dataclass(frozen=True, slots=True)
class TrainChoices:
    """What the reader chose in the form."""

    steps: int | None
    seed: int
    promote: bool
    from_scratch: bool


def last_training_in_words(seconds: float | None) -> str:
    """Return how long the last training of the project took; nothing before the first."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"The last training took {seconds:.0f} s."
    if seconds < 90 * 60:
        return f"The last training took {seconds / 60:.0f} min."
    return f"The last training took {seconds / 3600:.1f} h."
