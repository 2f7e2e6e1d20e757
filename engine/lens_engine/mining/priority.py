"""How useful an answer about a candidate is: the order of the review queue."""

from collections.abc import Iterable

from lens_engine.findings import Candidate, Rule


def priority(candidate: Candidate, universal_experts: Iterable[str]) -> float:
    """Return how useful an answer is, in [0, 1]; the mean of three terms in [0, 1].

    - *Disagreement*: the difference of the best score of a single-type and of a universal expert at the place. A lesion
      that one kind of expert misses is what its training lacks.
    - *Doubt*: 1 where the score is 0.5, falling to 0 where it is 0 or 1. A clear case teaches little.
    - *Resemblance*: how far the embedding distance stays below its limit, 1 for an identical look. A likely lesion in
      another series is a label gained. 0 for candidates that match nothing.
    """
    scores = candidate.finding.expert_scores
    universal = set(universal_experts)
    by_universal = max((score for name, score in scores.items() if name in universal), default=0.0)
    by_single_type = max((score for name, score in scores.items() if name not in universal), default=0.0)
    disagreement = abs(by_single_type - by_universal)
    doubt = 1 - abs(2 * candidate.finding.score - 1)
    resemblance = max(
        (
            1 - reason.distance / reason.distance_limit
            for reason in candidate.reasons
            if reason.rule is Rule.INTRA_PATIENT and reason.distance is not None and reason.distance_limit
        ),
        default=0.0,
    )
    return min(max((disagreement + doubt + resemblance) / 3, 0.0), 1.0)
