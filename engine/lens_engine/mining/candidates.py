"""All mining rules together: one candidate for each place that deserves a reader's look, with every reason for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import Candidate, CandidateKind, Finding, Reason, Rule, Scope
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.merging import merge_candidates
from lens_engine.mining.places import lies_at, marks_for_avoiding
from lens_engine.mining.priority import priority
from lens_engine.mining.rules.cross_dataset import single_type_experts, uncertain_findings
from lens_engine.mining.rules.cross_slice import Continuations, adds_slices, continue_annotations, keep_annotated_slices
from lens_engine.mining.rules.intra_patient import KnownLesions, Match, match_lesions
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import Tracklets, build_tracklets


@dataclass(frozen=True, slots=True)
class MinedCandidates:
    """What mining found.

    Attributes
    ----------
    candidates
        Grouped by series, in the order of the inputs; the most useful first within a series.
    priorities
        Of each candidate, in [0, 1]; see `mining.priority`.
    """

    candidates: tuple[Candidate, ...]
    priorities: tuple[float, ...]


def mine(
    inputs: Sequence[SeriesMiningInput], settings: MiningSettings, distance_limit: CalibratedLimit
) -> MinedCandidates:
    """Return the candidates of all universal series among `inputs`.

    Parameters
    ----------
    inputs
        All series of a patient at once, because lesions are matched between them. Several patients may come together;
        they are never compared.
    """
    candidates: list[Candidate] = []
    priorities: list[float] = []
    known = _known_lesions(inputs)
    for series in inputs:
        if series.scope is not Scope.UNIVERSAL:
            continue
        mined = _mine_series(series, known[series.patient_id], settings, distance_limit.value)
        ranked = sorted(((priority(c, series.universal_experts), c) for c in mined), key=lambda pair: -pair[0])
        priorities += [value for value, _ in ranked]
        candidates += [candidate for _, candidate in ranked]
    return MinedCandidates(tuple(candidates), tuple(priorities))


def _known_lesions(inputs: Sequence[SeriesMiningInput]) -> dict[int, KnownLesions]:
    return {
        patient: KnownLesions.gather(
            [
                (note.id, series.series_id, note.embedding)
                for series in inputs
                if series.patient_id == patient
                for note in series.annotations
                if note.embedding is not None
            ]
        )
        for patient in {series.patient_id for series in inputs}
    }


def _mine_series(
    series: SeriesMiningInput, known: KnownLesions, settings: MiningSettings, distance_limit: float
) -> list[Candidate]:
    proposals = series.proposals
    tracklets = build_tracklets(proposals, settings)
    annotated = marks_for_avoiding(series.annotations, proposals.grid_spacing_mm, proposals.slice_spacing_mm)
    continuations = continue_annotations(tracklets, series.annotations, settings)
    continued = np.unique(continuations.tracklet[continuations.tracklet >= 0])

    is_annotated = np.zeros(len(tracklets.chains), dtype=np.bool_)
    at_annotation = lies_at(tracklets.members.boxes, tracklets.members.grid_index, annotated, settings.overlap_ratio)
    is_annotated[tracklets.tracklet_of_member[at_annotation]] = True
    is_annotated[continued] = True
    free = np.flatnonzero(~is_annotated)
    matches = match_lesions(tracklets.embeddings[free], series.series_id, known, distance_limit)
    matched = np.asarray([free[match.row] for match in matches], dtype=np.intp)

    known_places = [annotated, tracklets.marks(continued), tracklets.marks(matched)]
    return merge_candidates(
        _continuation_candidates(series, tracklets, continuations, continued)
        + _match_candidates(series, tracklets, matched, matches, distance_limit, settings)
        + _uncertain_candidates(series, uncertain_findings(series, known_places, settings), settings),
        settings,
    )


def _continuation_candidates(
    series: SeriesMiningInput, tracklets: Tracklets, continuations: Continuations, continued: NDArray[np.intp]
) -> list[Candidate]:
    candidates = []
    for tracklet, finding in zip(
        continued, tracklets.findings(continued, series.proposals, series.slices), strict=True
    ):
        rows = np.flatnonzero(continuations.tracklet == tracklet)
        notes = [series.annotations[row] for row in rows]
        if adds_slices(finding, notes):
            reasons = tuple(Reason(Rule.CROSS_SLICE, annotation_id=note.id) for note in notes)
            kept = keep_annotated_slices(finding, notes)
            candidates.append(Candidate(series.series_id, kept, CandidateKind.MISSING_ANNOTATION, reasons))
    return candidates


def _match_candidates(
    series: SeriesMiningInput,
    tracklets: Tracklets,
    matched: NDArray[np.intp],
    matches: Sequence[Match],
    distance_limit: float,
    settings: MiningSettings,
) -> list[Candidate]:
    candidates = []
    findings = tracklets.findings(matched, series.proposals, series.slices)
    for match, finding in zip(matches, findings, strict=True):
        reason = Reason(
            Rule.INTRA_PATIENT,
            annotation_id=match.annotation_id,
            distance=match.distance,
            distance_limit=distance_limit,
        )
        reasons = (reason, *_expert_reasons(series, finding, settings))
        candidates.append(Candidate(series.series_id, finding, CandidateKind.MISSING_ANNOTATION, reasons))
    return candidates


def _uncertain_candidates(
    series: SeriesMiningInput, findings: Sequence[Finding], settings: MiningSettings
) -> list[Candidate]:
    return [
        Candidate(series.series_id, finding, CandidateKind.UNCERTAIN, _expert_reasons(series, finding, settings))
        for finding in findings
    ]


def _expert_reasons(series: SeriesMiningInput, finding: Finding, settings: MiningSettings) -> tuple[Reason, ...]:
    """Return one reason for each single-type expert that is sure of the place, the surest first."""
    single_type = single_type_experts(series)
    sure = [
        (score, name)
        for name, score in finding.expert_scores.items()
        if name in single_type and score > settings.uncertain_min_score
    ]
    return tuple(Reason(Rule.CROSS_DATASET, expert=name, score=score) for score, name in sorted(sure, reverse=True))
