"""What is said on the screen about a lesion, in a reader's words."""

from dataclasses import dataclass

from lens_engine.findings import Candidate, CandidateKind, Reason, Rule
from lens_engine.geometry import VolumeGeometry

SYMBOLS = {Rule.INTRA_PATIENT: "⇄", Rule.CROSS_DATASET: "?", Rule.CROSS_SLICE: "↕"}
MEANINGS = {
    Rule.INTRA_PATIENT: "matches a marked lesion of another scan",
    Rule.CROSS_DATASET: "uncertain: seen by one expert only",
    Rule.CROSS_SLICE: "continues a marked lesion from a neighbouring slice",
}
RESEARCH_NOTICE = "For research use only. Not for diagnosis."
HIDDEN_SCORE = "•••"


@dataclass(frozen=True, slots=True)
class Partner:
    """The marked lesion that a candidate is said to be, in words.

    Attributes
    ----------
    where
        For example "study 2 of 2023-05-04".
    """

    where: str


def headline(candidate: Candidate) -> str:
    """Return the question that is asked."""
    if candidate.kind is CandidateKind.MISSING_ANNOTATION:
        return "Missing annotation?"
    return "Uncertain: is this a lesion?"


def symbol(candidate: Candidate) -> str:
    """Return one symbol for why this lesion is asked about."""
    return "".join(SYMBOLS[rule] for rule in SYMBOLS if any(reason.rule is rule for reason in candidate.reasons))


def why(candidate: Candidate, partner: Partner | None, *, show_scores: bool) -> str:
    """Return the sentence that says why a human is asked."""
    clauses = [_clause(reason, partner, show_scores=show_scores) for reason in candidate.reasons]
    unique = list(dict.fromkeys(clauses))
    sentence = "; ".join(unique) or "found by the detector"
    return f"{sentence[0].upper()}{sentence[1:]}."


def size_mm(candidate: Candidate, geometry: VolumeGeometry) -> str:
    """Return the extent of the box in mm, left-right by front-back by head-feet."""
    x1, y1, z1, x2, y2, z2 = candidate.finding.box
    sz, sy, sx = geometry.spacing_mm
    return f"{(x2 - x1) * sx:.0f} × {(y2 - y1) * sy:.0f} × {(z2 - z1) * sz:.0f} mm"


def _clause(reason: Reason, partner: Partner | None, *, show_scores: bool) -> str:
    if reason.rule is Rule.INTRA_PATIENT:
        where = f"a lesion marked in {partner.where}" if partner else "a lesion marked in another scan of this patient"
        distance = ""
        if show_scores and reason.distance is not None:
            limit = f", limit {reason.distance_limit:.2f}" if reason.distance_limit is not None else ""
            distance = f" (distance {reason.distance:.2f}{limit})"
        return f"it looks like {where}{distance}"
    if reason.rule is Rule.CROSS_DATASET:
        score = f" ({reason.score:.2f})" if show_scores and reason.score is not None else ""
        return f"only the {reason.expert or 'single-type'} expert sees it{score}"
    return "it continues a marked lesion on a neighbouring slice"
