"""In which order candidates are asked about: first those that are most likely lesions that nobody has marked.

A reader's time is best spent where an answer adds a lesion: background is taught everywhere, a lesion only where it is
known. A continuation is the lesion that an annotator marked, and its answer adds none. Any other place is a lesion
unless all that speak for it are wrong at once: the universal experts, the single-type experts and, for a match, the
resemblance to a known lesion. Experts of one kind are counted once, by the surest.

Single-type experts are sure of every uncertain place, or it would not be one; so what orders them is mostly what the
universal experts say. What the order is worth on phantoms, `benchmarks/mining/curve.py` measures (algorithms 5.4).
"""

import math
from collections.abc import Iterable

from lens_engine.findings import FUSED, Candidate, Finding, Reason, Rule


def priority(candidate: Candidate, universal_experts: Iterable[str]) -> float:
    """Return how likely an answer adds a lesion, in [0, 1]; greater ones are asked first."""
    if any(reason.rule is Rule.CROSS_SLICE for reason in candidate.reasons):
        return 0.0
    doubts = [1 - score for score in _surest_of_each_kind(candidate.finding, set(universal_experts))]
    resemblance = max((_share_below_limit(reason) for reason in candidate.reasons), default=0.0)
    return min(max(1 - math.prod(doubts) * (1 - resemblance), 0.0), 1.0)


def _surest_of_each_kind(finding: Finding, universal: set[str]) -> list[float]:
    """Return the best score of the universal and of the single-type experts; of the finding where none is known."""
    scores = {name: score for name, score in finding.expert_scores.items() if name != FUSED}
    if not scores:
        return [finding.score]
    kinds = ([score for name, score in scores.items() if (name in universal) is kind] for kind in (True, False))
    return [max(kind, default=0.0) for kind in kinds]


def _share_below_limit(reason: Reason) -> float:
    """Return how far the distance of a match stays below its limit: 1 for an identical look, 0 where none matches."""
    if reason.rule is not Rule.INTRA_PATIENT or reason.distance is None or not reason.distance_limit:
        return 0.0
    return 1 - reason.distance / reason.distance_limit
