"""What is said on the screen about lesions, series and exports, in a reader's words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lens_engine.findings import Candidate, CandidateKind, Reason, Rule
from lens_engine.geometry import VolumeGeometry
from lens_engine.jobs.results import ExportResult
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.labels.completeness import why_left_out
from lens_napari.review.box_table import BoxState

SYMBOLS = {Rule.INTRA_PATIENT: "⇄", Rule.CROSS_DATASET: "?", Rule.CROSS_SLICE: "↕"}
MEANINGS = {
    Rule.INTRA_PATIENT: "matches a marked lesion of another scan",
    Rule.CROSS_DATASET: "uncertain: seen by a single-type expert",
    Rule.CROSS_SLICE: "continues a marked lesion from a neighbouring slice",
}
NOT_FOR_DIAGNOSIS = "For research use only. Not for diagnosis."
DEMO_REMINDER = "Demo model, not trained on patients."
DEMO_ADVICE = "Demo model, not trained on patients: its boxes mean nothing on real scans."
HIDDEN_SCORE = "•••"
MARK_OF_STATE = {BoxState.ACCEPTED: "✓", BoxState.REJECTED: "✕", BoxState.UNSURE: "?"}


@dataclass(frozen=True, slots=True)
class Partner:
    """The marked lesion that a candidate is said to be, in words.

    Attributes
    ----------
    where
        The scan it is in, for example "study 2 of 2023-05-04".
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
    others = [reason for reason in candidate.reasons if reason.rule is not Rule.CROSS_DATASET]
    clauses = [_clause(reason, partner, show_scores=show_scores) for reason in others]
    experts = [reason for reason in candidate.reasons if reason.rule is Rule.CROSS_DATASET]
    if experts:
        clauses.append(_experts_clause(experts, show_scores=show_scores))
    sentence = "; ".join(dict.fromkeys(clauses)) or "found by the detector"
    return f"{sentence[0].upper()}{sentence[1:]}."


def size_mm(candidate: Candidate, geometry: VolumeGeometry) -> str:
    """Return the extent of the box in mm, left-right by front-back by head-feet."""
    x1, y1, z1, x2, y2, z2 = candidate.finding.box
    sz, sy, sx = geometry.spacing_mm
    return f"{(x2 - x1) * sx:.0f} × {(y2 - y1) * sy:.0f} × {(z2 - z1) * sz:.0f} mm"


def series_line(record: SeriesRecord) -> str:
    """Return a series as a line of a list: its name, the split of its patient, and a mark if it is complete."""
    mark = " ✓" if record.is_complete else ""
    return f"{record.name} · {record.split.value}{mark}"


def completeness_words(record: SeriesRecord, lesions: int) -> str:
    """Return what a series counts for after its mark was changed; `lesions` of it are known in 3D."""
    if not record.is_complete:
        return "● saved: not complete, neither measured on nor exported"
    return f"● saved: {lesions_in_words(lesions)}; measured on, and exported with the test set"


def lesions_in_words(lesions: int) -> str:
    """Return how many lesions of a complete series are known; a scan without any is one to find nothing in."""
    return f"{lesions} lesion{'s' if lesions != 1 else ''} in 3D" if lesions else "no lesion: a normal scan"


def export_words(folder: Path, result: ExportResult) -> str:
    """Return where an exported test set lies, and what of it must stay in the project."""
    sentences = [f"The test set is in {folder / result.file}"]
    if result.mapping_file is not None:
        sentences.append(f"Do not give away {result.mapping_file}: it says which scan each name is")
    return ". ".join([*sentences, *filter(None, [why_left_out(result.left_out)])])


def _clause(reason: Reason, partner: Partner | None, *, show_scores: bool) -> str:
    if reason.rule is Rule.INTRA_PATIENT:
        known = "marked" if reason.decision_id is None else "that a reader found"
        where = f"a lesion {known} in {partner.where if partner else 'another scan of this patient'}"
        distance = ""
        if show_scores and reason.distance is not None:
            limit = f", limit {reason.distance_limit:.2f}" if reason.distance_limit is not None else ""
            distance = f" (distance {reason.distance:.2f}{limit})"
        return f"it looks like {where}{distance}"
    known = "a marked lesion" if reason.decision_id is None else "a lesion that a reader found"
    return f"it continues {known} on a neighbouring slice"


def _experts_clause(reasons: Sequence[Reason], *, show_scores: bool) -> str:
    names = []
    for reason in reasons:
        score = f" ({reason.score:.2f})" if show_scores and reason.score is not None else ""
        names.append(f"the {reason.expert or 'single-type'} expert{score}")
    verb = "sees" if len(names) == 1 else "see"
    return f"{' and '.join(names)} {verb} a lesion that is not marked"
