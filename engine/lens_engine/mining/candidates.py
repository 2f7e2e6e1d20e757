"""All mining rules together: one candidate for each place that deserves a reader's look, with every reason for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lens_engine.findings import Candidate, CandidateKind, Finding, Reason, Rule, Scope
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.merging import merge_candidates
from lens_engine.mining.place_scores import PlaceScores
from lens_engine.mining.priority import priority
from lens_engine.mining.rules.cross_dataset import single_type_experts, uncertain_findings
from lens_engine.mining.rules.cross_slice import adds_slices, keep_annotated_slices, reaches_beyond
from lens_engine.mining.rules.evidence import Evidence, gather_evidence, known_lesions
from lens_engine.mining.rules.intra_patient import KnownLesions
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.strategies.labels import MinedLabels
from lens_engine.mining.strategies.lens import LensSettings, labels_of_evidence


@dataclass(frozen=True, slots=True)
class MinedCandidates:
    """What mining found.

    Attributes
    ----------
    candidates
        Grouped by series, in the order of the inputs; the likeliest first within a series. The scores of each finding
        name every expert, and the fusion, that sees the place.
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
    return mine_with_labels(inputs, settings, distance_limit)[0]


def mine_with_labels(
    inputs: Sequence[SeriesMiningInput], settings: MiningSettings, distance_limit: CalibratedLimit
) -> tuple[MinedCandidates, tuple[MinedLabels, ...]]:
    """Return what `mine` returns, and what each universal series teaches while nobody decides, as `mine_lens` does."""
    candidates: list[Candidate] = []
    priorities: list[float] = []
    labels: list[MinedLabels] = []
    known = known_lesions(inputs)
    for series in inputs:
        if series.scope is not Scope.UNIVERSAL:
            continue
        mined, taught = _mine_series(series, known[series.patient_id], settings, distance_limit.value)
        labels.append(taught)
        ranked = sorted(((priority(c, series.universal_experts), c) for c in mined), key=lambda pair: -pair[0])
        priorities += [value for value, _ in ranked]
        candidates += [candidate for _, candidate in ranked]
    return MinedCandidates(tuple(candidates), tuple(priorities)), tuple(labels)


def _mine_series(
    series: SeriesMiningInput, known: KnownLesions, settings: MiningSettings, distance_limit: float
) -> tuple[list[Candidate], MinedLabels]:
    """Return the candidates of one series, and what it teaches."""
    evidence = gather_evidence(series, known, settings, distance_limit)
    places = PlaceScores.of(series, settings)
    uncertain = uncertain_findings(series, evidence.known_places, settings)
    found = (
        _continuation_candidates(series, evidence)
        + _match_candidates(series, evidence, places, distance_limit)
        + _uncertain_candidates(series, [places.complete(finding) for finding in uncertain], settings)
    )
    labels = labels_of_evidence(series, evidence, uncertain, LensSettings(settings, distance_limit))
    return [_completed(candidate, places) for candidate in merge_candidates(found, settings)], labels


def _continuation_candidates(series: SeriesMiningInput, evidence: Evidence) -> list[Candidate]:
    candidates = []
    of_decided = evidence.decided_continuations.tracklet
    continued = np.union1d(evidence.continued, of_decided[of_decided >= 0])
    findings = evidence.tracklets.findings(continued, series.proposals, series.slices)
    for tracklet, finding in zip(continued, findings, strict=True):
        notes = [series.annotations[row] for row in np.flatnonzero(evidence.continuations.tracklet == tracklet)]
        decided = [series.decided[row] for row in np.flatnonzero(of_decided == tracklet)]
        reasons: list[Reason] = []
        if adds_slices(finding, notes):
            reasons += [Reason(Rule.CROSS_SLICE, annotation_id=note.id) for note in notes]
        if reaches_beyond(finding, decided):
            reasons += [Reason(Rule.CROSS_SLICE, decision_id=lesion.id) for lesion in decided]
        if reasons:
            kept = keep_annotated_slices(finding, [*decided, *notes])
            candidates.append(Candidate(series.series_id, kept, CandidateKind.MISSING_ANNOTATION, tuple(reasons)))
    return candidates


def _match_candidates(
    series: SeriesMiningInput, evidence: Evidence, places: PlaceScores, distance_limit: float
) -> list[Candidate]:
    candidates = []
    findings = evidence.tracklets.findings(evidence.matched, series.proposals, series.slices)
    for match, finding in zip(evidence.matches, map(places.complete, findings), strict=True):
        reason = Reason(
            Rule.INTRA_PATIENT,
            annotation_id=None if match.is_decision else match.annotation_id,
            decision_id=match.annotation_id if match.is_decision else None,
            distance=match.distance,
            distance_limit=distance_limit,
        )
        reasons = (reason, *_expert_reasons(series, finding, places.settings))
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
        if name in single_type and score > settings.min_score_of(name)
    ]
    return tuple(Reason(Rule.CROSS_DATASET, expert=name, score=score) for score, name in sorted(sure, reverse=True))


def _completed(candidate: Candidate, places: PlaceScores) -> Candidate:
    """Return a merged candidate with the scores at its whole place, the same ones in its reasons."""
    finding = places.complete(candidate.finding)
    reasons = tuple(
        reason if reason.expert is None else replace(reason, score=finding.expert_scores[reason.expert])
        for reason in candidate.reasons
    )
    return replace(candidate, finding=finding, reasons=reasons)
