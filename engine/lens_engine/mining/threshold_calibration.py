"""How sure a single-type expert must be before a reader is asked, learned from scans where its type is labelled.

The published 0.5 belongs to the published detector; another one may be that sure of a dozen places in every scan. A
single-type data set labels every lesion of its type, so that whatever else its own expert finds there is false. That
counts lesions of other types as false ones, too, and the scans may be those that the expert learned from; on phantoms
the first outweighs the second.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from lens_engine.boxes import overlaps
from lens_engine.findings import Scope
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.places import holds_centre
from lens_engine.mining.rules.cross_dataset import single_type_experts, uncertain_findings
from lens_engine.mining.settings import MiningSettings

SCORES = (*(step / 20 for step in range(1, 18)), *(step / 100 for step in range(90, 100)))
"""Thresholds that are tried; finer at the top, where a sure expert has most of its scores."""


@dataclass(frozen=True, slots=True)
class ExpertThreshold:
    """How sure one expert must be.

    Attributes
    ----------
    value
        The score that a box has to exceed.
    series, lesions
        Labelled scans and lesions of its type that were compared.
    found
        Lesions that it finds above the threshold; 0 where nothing could be compared.
    false
        What it finds there besides.
    is_calibrated
        False if `value` is the published one.
    """

    expert: str
    value: float
    series: int = 0
    lesions: int = 0
    found: int = 0
    false: int = 0
    is_calibrated: bool = False


@dataclass(frozen=True, slots=True)
class CalibratedThresholds:
    """The thresholds of all single-type experts.

    Attributes
    ----------
    note
        For the log and the reader: where they come from and what they are worth.
    """

    experts: tuple[ExpertThreshold, ...]
    note: str

    @property
    def values(self) -> Mapping[str, float]:
        """The thresholds by expert."""
        return {row.expert: row.value for row in self.experts}


def calibrate_thresholds(
    inputs: Iterable[SeriesMiningInput], settings: MiningSettings | None = None
) -> CalibratedThresholds:
    """Return for each expert the lowest threshold above which it stays within its share of the false candidates.

    The experts share `max_false_per_series` equally. One false candidate more than was seen is counted, so that few
    scans make careful. An expert with fewer than `min_threshold_series` labelled scans keeps the published threshold.

    Parameters
    ----------
    inputs
        Series of any data sets; read once. Only those with labels of single-type data sets count, and of each data set
        no more than `calibration_patients`.
    """
    settings = settings or MiningSettings()
    seen: dict[str, list[_LabelledScan]] = {}
    for series in inputs:
        for expert in single_type_experts(series):
            seen.setdefault(expert, [])
        scans = seen.get(series.dataset)
        is_labelled = series.scope is Scope.SINGLE_TYPE and len(series.annotations) > 0
        if scans is not None and is_labelled and len(scans) < settings.calibration_patients:
            scans.append(_LabelledScan.of(series))
    rows = tuple(_threshold(expert, scans, len(seen), settings) for expert, scans in seen.items())
    return CalibratedThresholds(rows, " ".join(map(_in_words, rows)))


@dataclass(frozen=True, slots=True, eq=False)
class _LabelledScan:
    """A series with the boxes of its own expert alone, and its labels (n, 6)."""

    series: SeriesMiningInput
    labels: np.ndarray

    @classmethod
    def of(cls, series: SeriesMiningInput) -> "_LabelledScan":
        proposals = series.proposals
        own = np.flatnonzero(proposals.expert_index == proposals.experts.index(series.dataset))
        labels = np.asarray([note.box for note in series.annotations], dtype=np.float64)
        return cls(replace(series, proposals=proposals.take(own), findings=(), augmented=()), labels)

    def count(self, settings: MiningSettings) -> tuple[int, int]:
        """Return how many labels are found at a threshold, and how many findings are at no label."""
        is_found, false = np.zeros(len(self.labels), dtype=np.bool_), 0
        for finding in uncertain_findings(self.series, (), settings):
            box = np.asarray([finding.box])
            is_same = (overlaps(box, self.labels)[0] >= settings.same_lesion_iou) | holds_centre(box, self.labels)
            is_found |= is_same
            false += not is_same.any()
        return int(is_found.sum()), false


def _threshold(expert: str, scans: Sequence[_LabelledScan], experts: int, settings: MiningSettings) -> ExpertThreshold:
    lesions = sum(len(scan.labels) for scan in scans)
    if len(scans) < max(settings.min_threshold_series, 1):
        return ExpertThreshold(expert, settings.uncertain_min_score, len(scans), lesions)
    allowed = settings.max_false_per_series / experts * len(scans)

    def at(score: float) -> ExpertThreshold:
        own = replace(settings, uncertain_min_score=score, uncertain_min_scores={})
        found, false = np.sum([scan.count(own) for scan in scans], axis=0).tolist()
        return ExpertThreshold(expert, score, len(scans), lesions, found, false, is_calibrated=True)

    # From the strictest downwards: what lies below the first one that is too lax is never asked for.
    tried = map(at, reversed(SCORES))
    within = list(takewhile(lambda row: row.false + 1 <= allowed, tried))
    return within[-1] if within else at(SCORES[-1])


def _in_words(row: ExpertThreshold) -> str:
    if not row.is_calibrated:
        return (
            f"Expert {row.expert} must be surer than the published {row.value:g}: there are {row.series} scans with "
            "labels of its type, too few to find a threshold of its own."
        )
    return (
        f"Expert {row.expert} must be surer than {row.value:g}: in {row.series} labelled scans it finds {row.found} of "
        f"{row.lesions} lesions there, and {row.false / row.series:.1f} other places a scan."
    )
