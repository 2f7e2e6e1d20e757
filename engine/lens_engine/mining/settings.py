"""The numbers that mining depends on, as published unless said otherwise."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict

from lens_engine.errors import ConfigError

NO_OTHER_NAMES = ConfigDict(extra="forbid")
"""Where a recipe is read into settings, a name that is none of theirs is an error."""


class Linking(StrEnum):
    """Which boxes of neighbouring grid slices are one lesion, among those that overlap enough (algorithms 4.5)."""

    ONE_TO_ONE = "one-to-one"
    """Each box goes on in at most one box, the best pairs first."""
    CONNECTED = "connected"
    """All that hang together, the other reading of the paper; on a slice with several boxes the best one counts."""


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """Thresholds of the mining rules.

    Attributes
    ----------
    tracklet_min_score
        Fused 2D boxes below this score are not linked into tracklets (algorithms 5.0).
    linking
        How boxes become tracklets. Ours: one-to-one.
    linking_iou
        Boxes of neighbouring grid slices are one lesion above this IoU (theta, algorithms 4.5 and 5.1).
    key_slice_iou
        A tracklet continues an annotation above this IoU on the annotated slice (theta, algorithms 5.1).
    published_distance_limit
        Distance of two embeddings of one lesion, used where calibration is not possible (delta, algorithms 5.2).
    uncertain_min_score
        A single-type expert must be surer than this (sigma, algorithms 5.3).
    uncertain_min_scores
        Other thresholds of single experts by their names. Ours: calibrated for a project, none for published rows.
    overlap_ratio
        A box is at an annotated place when it shares more than this of its own or of the annotated area (theta,
        algorithms 5.3). Ours: two pieces that follow each other along z are one lesion when their ends do.
    uncertain_nms_iou
        Of two uncertain boxes on a slice with a higher IoU the better one stays (theta, algorithms 5.3).
    same_lesion_iou
        Candidates with at least this 3D IoU are one question to the reader. Ours: equal to the overlap at which a
        decision is inherited.
    max_cross_patient_share
        Largest share of comparisons with a wrong patient that a calibrated distance limit may let through. Ours: chosen
        on validation phantoms, where 0.01 was hardly more often right and found a third less.
    min_calibration_pairs
        Comparisons (one annotation, one other patient) without which the limit is not calibrated. Ours: fewer than 100
        cannot resolve one per cent.
    calibration_patients
        Patients that are compared with each other; more cost time and change little. Ours.
    max_false_per_series
        False uncertain candidates in a series that a reader is to be asked about, of all experts together; their
        thresholds are calibrated for it. Ours.
    min_threshold_series
        Labelled scans of an expert's type without which its threshold is not calibrated. Ours.
    """

    __pydantic_config__ = NO_OTHER_NAMES

    tracklet_min_score: float = 0.05
    linking: Linking = Linking.ONE_TO_ONE
    linking_iou: float = 0.5
    key_slice_iou: float = 0.5
    published_distance_limit: float = 0.15
    uncertain_min_score: float = 0.5
    uncertain_min_scores: Mapping[str, float] = field(default_factory=dict)
    overlap_ratio: float = 0.5
    uncertain_nms_iou: float = 0.5
    same_lesion_iou: float = 0.3
    max_cross_patient_share: float = 0.02
    min_calibration_pairs: int = 100
    calibration_patients: int = 200
    max_false_per_series: float = 3.0
    min_threshold_series: int = 2

    def __post_init__(self) -> None:
        require_choice(self, "linking", Linking)
        numbers = {setting.name for setting in fields(self)} - {"linking", "uncertain_min_scores"}
        counts = ("min_calibration_pairs", "calibration_patients", "max_false_per_series", "min_threshold_series")
        require_ranges(
            self, dict.fromkeys(numbers, 1.0) | {"published_distance_limit": 2.0} | dict.fromkeys(counts, None)
        )
        scores = self.uncertain_min_scores
        if not isinstance(scores, Mapping) or not all(0 <= score <= 1 for score in scores.values()):
            _refuse(self, "uncertain_min_scores", "A number from 0 to 1 for each named expert is needed")

    def min_score_of(self, expert: str) -> float:
        """Return how sure a single-type expert must be of an uncertain place."""
        return self.uncertain_min_scores.get(expert, self.uncertain_min_score)


def require_ranges(settings: Any, upper: Mapping[str, float | None]) -> None:
    """Check that the named fields are numbers from 0 to their upper limit; None is without limit.

    Raises
    ------
    ConfigError
        With the name and the value of the first one that is not.
    """
    for name, limit in upper.items():
        value = getattr(settings, name)
        if not (value >= 0 and (limit is None or value <= limit)):
            expected = "A number from 0 is needed" if limit is None else f"A number from 0 to {limit} is needed"
            _refuse(settings, name, expected)


def require_choice(settings: Any, name: str, choices: type[StrEnum]) -> None:
    """Check that a field is one of `choices`.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if not isinstance(getattr(settings, name), choices):
        _refuse(settings, name, f"One of {', '.join(choices)} is needed")


def _refuse(settings: Any, name: str, expected: str) -> None:
    defaults = {field.name: field.default for field in fields(settings)}
    remedy = f"The default is {defaults[name]}" if defaults[name] is not MISSING else ""
    raise ConfigError(f"The mining setting {name} is {getattr(settings, name)}", expected, remedy)
