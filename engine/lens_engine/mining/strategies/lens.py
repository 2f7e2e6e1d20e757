"""The mining of LENS: continuations and matches are lesions, what single-type experts see is ignored (-5.4).

See algorithms 5.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from lens_engine.findings import Finding
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.rules.cross_dataset import uncertain_findings
from lens_engine.mining.rules.cross_slice import adds_slices
from lens_engine.mining.rules.evidence import Evidence, gather_evidence, known_lesions
from lens_engine.mining.rules.intra_patient import KnownLesions
from lens_engine.mining.settings import NO_OTHER_NAMES, MiningSettings, require_choice, require_ranges
from lens_engine.mining.strategies.labels import LabelRule, MinedLabel, MinedLabels, NegativeSlice, Teaching
from lens_engine.mining.strategies.series_slices import annotation_labels, further_lesions, mined_series


class LensStep(StrEnum):
    """How far the mining goes; each step includes those before it (the rows of LENS Table IV)."""

    CROSS_SLICE = "cross-slice"
    INTRA_PATIENT = "intra-patient"
    CROSS_DATASET = "cross-dataset"
    UNLABELLED = "unlabelled"

    @property
    def rank(self) -> int:
        """How many steps come before it."""
        return list(LensStep).index(self)


@dataclass(frozen=True, slots=True)
class LensSettings:
    """What the labels of LENS depend on.

    Attributes
    ----------
    rules
        Thresholds of the rules.
    distance_limit
        Two embeddings below it are one lesion; 0 matches nothing (delta, algorithms 5.2). That of another embedding has
        to be calibrated.
    up_to
        The last step that is taken; all of them as published.
    uncertain_as_lesions
        Teach uncertain places as lesions instead of ignoring them (the variant of LENS Table V).
    """

    __pydantic_config__ = NO_OTHER_NAMES

    rules: MiningSettings = field(default_factory=MiningSettings)
    distance_limit: float = 0.15
    up_to: LensStep = LensStep.UNLABELLED
    uncertain_as_lesions: bool = False

    def __post_init__(self) -> None:
        require_choice(self, "up_to", LensStep)
        require_ranges(self, {"distance_limit": 2.0})


def mine_lens(inputs: Sequence[SeriesMiningInput], settings: LensSettings) -> tuple[MinedLabels, ...]:
    """Return the labels of each universal series; those of one patient are matched with each other."""
    known = known_lesions(inputs)
    return tuple(_labels(series, known[series.patient_id], settings) for series in mined_series(inputs))


def _labels(series: SeriesMiningInput, known: KnownLesions, settings: LensSettings) -> MinedLabels:
    limit = settings.distance_limit if settings.up_to.rank >= LensStep.INTRA_PATIENT.rank else 0.0
    evidence = gather_evidence(series, known, settings.rules, limit)
    found: list[Finding] = []
    if settings.up_to.rank >= LensStep.CROSS_DATASET.rank:
        found = uncertain_findings(series, evidence.known_places, settings.rules)
    return labels_of_evidence(series, evidence, found, settings)


def labels_of_evidence(
    series: SeriesMiningInput, evidence: Evidence, found: Sequence[Finding], settings: LensSettings
) -> MinedLabels:
    """Return the labels of one series from what the rules say about it and what is uncertain besides."""
    positives = _continued(series, evidence)
    positives += _matches(series, evidence, positives)
    uncertain = _uncertain(found, positives, settings)
    if settings.uncertain_as_lesions:
        positives, uncertain = positives + uncertain, []
    labels = MinedLabels(series.series_id, tuple(positives), tuple(uncertain))
    if settings.up_to is not LensStep.UNLABELLED:
        return labels
    return replace(
        labels,
        negatives=tuple(
            NegativeSlice(LabelRule.UNLABELLED, index)
            for index in range(series.slices)
            if index not in labels.positive_slices
        ),
    )


def _continued(series: SeriesMiningInput, evidence: Evidence) -> list[MinedLabel]:
    """Return the annotations, and what continues them as the same lesions."""
    annotated = annotation_labels(series)
    continuations = []
    findings = evidence.tracklets.findings(evidence.continued, series.proposals, series.slices)
    for tracklet, finding in zip(evidence.continued, findings, strict=True):
        rows = np.flatnonzero(evidence.continuations.tracklet == tracklet).tolist()
        lesion = annotated[rows[0]].lesion
        for row in rows:
            annotated[row] = replace(annotated[row], lesion=lesion)
        notes = [series.annotations[row] for row in rows]
        marked = {section.slice_index for row in rows for section in annotated[row].slices}
        sections = tuple(section for section in finding.slices if section.slice_index not in marked)
        if sections and adds_slices(finding, notes):
            ids = tuple(note.id for note in notes)
            continuations.append(MinedLabel(LabelRule.CROSS_SLICE, Teaching.POSITIVE, sections, lesion, ids))
    return annotated + continuations


def _matches(series: SeriesMiningInput, evidence: Evidence, known: Sequence[MinedLabel]) -> list[MinedLabel]:
    findings = evidence.tracklets.findings(evidence.matched, series.proposals, series.slices)
    numbers = further_lesions(known)
    return [
        MinedLabel(
            LabelRule.INTRA_PATIENT,
            Teaching.POSITIVE,
            finding.slices,
            next(numbers),
            (match.annotation_id,),
            match.distance,
        )
        for match, finding in zip(evidence.matches, findings, strict=True)
    ]


def _uncertain(
    findings: Sequence[Finding], positives: Sequence[MinedLabel], settings: LensSettings
) -> list[MinedLabel]:
    """Return the uncertain places: on all slices, or before the last step on those with a positive label only."""
    teaches = Teaching.POSITIVE if settings.uncertain_as_lesions else Teaching.IGNORED
    shown = {section.slice_index for label in positives for section in label.slices}
    is_everywhere = settings.up_to is LensStep.UNLABELLED
    numbers = further_lesions(positives)
    labels = []
    for finding in findings:
        sections = tuple(item for item in finding.slices if is_everywhere or item.slice_index in shown)
        if sections:
            labels.append(MinedLabel(LabelRule.CROSS_DATASET, teaches, sections, next(numbers)))
    return labels
