"""In which order candidates are asked about: first those whose answer is expected to change most.

Until a reader has decided, a missing annotation is taught as a lesion, an uncertain one not at all (algorithms 5.4).
With 1 for a lesion, 1/2 for what is not taught and 0 for background, an answer changes what is taught by

- 0 if a missing annotation is accepted, 1 if it is rejected: expected is 1 - p, the probability that it is no lesion;
- 1/2 for an uncertain lesion, whatever the answer is.

A continuation is the lesion that an annotator marked, p = 1. A match is no lesion only if the detector and the
resemblance are both wrong: 1 - p = (1 - score) * distance / limit.
"""

import math
from collections.abc import Iterable

from lens_engine.findings import FUSED, Candidate, CandidateKind, Reason, Rule

STEPS = 100
"""Expected uses that differ by less than one of this many steps are a tie, which the interest decides."""


def priority(candidate: Candidate, universal_experts: Iterable[str]) -> float:
    """Return the place in the queue, in [0, 1], greater ones first: by `expected_use`, among equals by `interest`."""
    step = math.floor(STEPS * expected_use(candidate) + 1e-9)
    return (step + interest(candidate, universal_experts)) / (STEPS + 1)


def expected_use(candidate: Candidate) -> float:
    """Return by how much an answer is expected to change what training is told, in [0, 1]."""
    if candidate.kind is CandidateKind.UNCERTAIN:
        return 0.5
    if any(reason.rule is Rule.CROSS_SLICE for reason in candidate.reasons):
        return 0.0
    return min(max((1 - candidate.finding.score) * (1 - _resemblance(candidate)), 0.0), 1.0)


def interest(candidate: Candidate, universal_experts: Iterable[str]) -> float:
    """Return how telling a case is, in [0, 1]; the mean of three terms in [0, 1].

    - *Disagreement*: the difference of the best score of a single-type and of a universal expert at the place. A lesion
      that one kind of expert misses is what its training lacks.
    - *Doubt*: 1 where the score is 0.5, falling to 0 where it is 0 or 1. A clear case teaches little.
    - *Resemblance*: how far the embedding distance stays below its limit, 1 for an identical look. A likely lesion in
      another series is a label gained. 0 for candidates that match nothing.
    """
    scores = {name: score for name, score in candidate.finding.expert_scores.items() if name != FUSED}
    universal = set(universal_experts)
    by_universal = max((score for name, score in scores.items() if name in universal), default=0.0)
    by_single_type = max((score for name, score in scores.items() if name not in universal), default=0.0)
    disagreement = abs(by_single_type - by_universal)
    doubt = 1 - abs(2 * candidate.finding.score - 1)
    return min(max((disagreement + doubt + _resemblance(candidate)) / 3, 0.0), 1.0)


def _resemblance(candidate: Candidate) -> float:
    return max((_share_below_limit(reason) for reason in candidate.reasons), default=0.0)


def _share_below_limit(reason: Reason) -> float:
    if reason.rule is not Rule.INTRA_PATIENT or reason.distance is None or not reason.distance_limit:
        return 0.0
    return 1 - reason.distance / reason.distance_limit
