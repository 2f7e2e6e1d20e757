"""What is said on the screen about lesions, series and exports, in a reader's words."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lens_engine.findings import Box3D, Candidate, CandidateKind, Decision, Reason, ReasonCode, Rule, Verdict
from lens_engine.geometry import VolumeGeometry
from lens_engine.jobs.results import ExportResult
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.labels.left_out import why_left_out
from lens_napari.review.box_table import BoxState
from lens_napari.review.sight import Unseen

SYMBOLS = {Rule.INTRA_PATIENT: "⇄", Rule.CROSS_DATASET: "?", Rule.CROSS_SLICE: "↕"}
MEANINGS = {
    Rule.INTRA_PATIENT: "matches a marked lesion of another scan",
    Rule.CROSS_DATASET: "uncertain: seen by a single-type expert",
    Rule.CROSS_SLICE: "continues a marked lesion from a neighbouring slice",
}
VERY_ALIKE = 0.5
"""Two lesions no further apart than this part of the limit are said to be very alike."""
NOT_FOR_DIAGNOSIS = "For research use only. Not for diagnosis."
DEMO_REMINDER = "Demo model, not trained on patients."
DEMO_ADVICE = "Demo model, not trained on patients: its boxes mean nothing on real scans."
HIDDEN_SCORE = "•••"
UNKNOWN = "–"
MARK_OF_STATE = {BoxState.ACCEPTED: "✓", BoxState.REJECTED: "✕", BoxState.UNSURE: "?"}
VERDICT_TEXT = {
    Verdict.ACCEPTED: "lesion",
    Verdict.ADJUSTED: "lesion (adjusted)",
    Verdict.ADDED: "lesion (added)",
    Verdict.REJECTED: "not a lesion",
    Verdict.UNSURE: "unsure",
    Verdict.WITHDRAWN: "open again",
}
REASON_TEXT = {
    ReasonCode.VESSEL: "vessel",
    ReasonCode.NORMAL_NODE: "node",
    ReasonCode.DUPLICATE: "copy",
    ReasonCode.BENIGN: "benign",
}
NOTHING_SAID = "Nothing was said."
STILL_READING = f"The list of lesions is still being read. {NOTHING_SAID}"
STILL_LOADING = f"Still loading the scan. {NOTHING_SAID} Press again when you see the lesion."
WAS_LOADING = f"The scan was still loading when you pressed. {NOTHING_SAID} Press again to decide."
JUST_ARRIVED = f"The lesion came on screen this moment. {NOTHING_SAID} Press again when you have seen it."
GOING_BACK = f"Another series was on screen. {NOTHING_SAID} Going back to the lesion: press again when you see it."
LOADING_AGAIN = f"The scan is not on screen and is being loaded again. {NOTHING_SAID}"
NOTHING_ASKED = f"No lesion is asked about. {NOTHING_SAID}"
NO_REJECTION = (
    "A reason goes with the rejection just before it, or with a lesion on screen that is rejected, and there is none. "
    "Nothing was changed."
)
NO_SUCH_TYPE = f"The project knows no lesion type with this key. {NOTHING_SAID}"
NOTHING_TO_UNDO = "There is nothing to take back."
NOTHING_TO_REDO = "There is nothing to say again."
LAST_SERIES = "No series with a lesion to review comes behind this one in the list."
FIRST_SERIES = "No series with a lesion to review comes before this one in the list."
LAST_OF_LIST, FIRST_OF_LIST = "This is the last lesion of the list.", "This is the first lesion of the list."


@dataclass(frozen=True, slots=True)
class Partner:
    """The marked lesion that a candidate is said to be, in words.

    Attributes
    ----------
    where
        The scan it is in, for example "study 2 of 2023-05-04".
    apart
        How far that is from the candidate, for example "3 months before this study"; empty where unknown.
    """

    where: str
    apart: str = ""


def headline(kind: CandidateKind) -> str:
    """Return the question that is asked."""
    if kind is CandidateKind.MISSING_ANNOTATION:
        return "Missing annotation?"
    return "Uncertain: is this a lesion?"


def symbol(rules: Collection[Rule]) -> str:
    """Return one symbol for each rule that asks about a lesion."""
    return "".join(sign for rule, sign in SYMBOLS.items() if rule in rules)


def why_in_short(rules: Collection[Rule]) -> str:
    """Return why a human is asked, as far as that is known before the scan is read."""
    sentence = "; ".join(meaning for rule, meaning in MEANINGS.items() if rule in rules) or "found by the detector"
    return f"{sentence[0].upper()}{sentence[1:]}."


def why(candidate: Candidate, partner: Partner | None, *, show_scores: bool) -> str:
    """Return the sentence that says why a human is asked."""
    others = [reason for reason in candidate.reasons if reason.rule is not Rule.CROSS_DATASET]
    clauses = [_clause(reason, partner, show_scores=show_scores) for reason in others]
    experts = [reason for reason in candidate.reasons if reason.rule is Rule.CROSS_DATASET]
    if experts:
        clauses.append(_experts_clause(experts, show_scores=show_scores))
    sentence = "; ".join(dict.fromkeys(clauses)) or "found by the detector"
    return f"{sentence[0].upper()}{sentence[1:]}."


def also_in(series: int) -> str:
    """Return what is said of a lesion that is asked about in so many sibling series, too; empty where in none."""
    if series == 0:
        return ""
    return f"It is in {series} more series of this examination, too: one answer counts for all."


def comparison(reason: Reason, partner: Partner, *, show_scores: bool) -> str:
    """Return what is said of a candidate and its partner where both are shown."""
    return " · ".join(filter(None, [partner.apart, _likeness(reason) if show_scores else ""]))


def size_mm(box: Box3D, geometry: VolumeGeometry) -> str:
    """Return the extent of a box in mm, left-right by front-back by head-feet."""
    x1, y1, z1, x2, y2, z2 = box
    sz, sy, sx = geometry.spacing_mm
    return f"{(x2 - x1) * sx:.0f} × {(y2 - y1) * sy:.0f} × {(z2 - z1) * sz:.0f} mm"


def brought_back(unseen: Unseen) -> str:
    """Return what is said when a verdict was meant for a lesion that could not be seen, and that was brought back."""
    return f"Brought the lesion back: {unseen.value}. {NOTHING_SAID} Press again to decide."


def reason_noted(reason: ReasonCode | None) -> str:
    """Return what is said when a rejection got its reason, or lost it; the next lesion is on screen already."""
    return f"Noted for the lesion just rejected: {REASON_TEXT[reason] if reason else 'no reason'}."


def reason_changed(reason: ReasonCode | None) -> str:
    """Return the same of the lesion on screen."""
    return f"Why it is not a lesion: {REASON_TEXT[reason] if reason else 'no reason'}."


def reason_heading(number: int, *, is_just_rejected: bool) -> str:
    """Return what stands above the reasons of a lesion that is rejected, by its number in the list."""
    if is_just_rejected:
        return f"lesion {number:,}, just rejected, why:"
    return "why it is not a lesion (again: no reason):"


def settled_meanwhile(said: Decision, counting: Decision) -> str:
    """Return what is told to a reader who said something and did not know what counts, another's or his own words."""
    who = "You have in another window" if counting.reader == said.reader else f"{counting.reader} has meanwhile"
    if said.verdict is Verdict.WITHDRAWN:
        refused = "Nothing was taken back: decide again if you say otherwise."
    else:
        refused = f"Your “{VERDICT_TEXT[said.verdict]}” was not saved: press again if you say otherwise."
    return f"{who} said “{VERDICT_TEXT[counting.verdict]}” here, and that stands. {refused}"


def scans_refused(names: str) -> str:
    """Return what is said of pictures that were put into the window of a review."""
    return (
        f"Taken out again: {names}. A picture here would lie over the patient on screen. Add scans to the project with "
        "“Add scans…” or with: lens add PATH"
    )


def nothing_matches(rule: Rule | None, total: int) -> tuple[str, str]:
    """Return a heading and a sentence for a filter that leaves nothing to ask, of `total` lesions that it matches.

    The rule is None where something else was chosen above the list.
    """
    if rule is None and total == 0:
        return "The filter matches nothing", "No lesion of this list is as you have chosen above it."
    if rule is None:
        return "The filter is done", f"You have been through every lesion that is as you have chosen ({total})."
    name = f"“{SYMBOLS[rule]}  {rule}”"
    if total == 0:
        return "The filter matches nothing", f"No lesion of this list is asked about because of {name}."
    return "The filter is done", f"Every lesion asked about because of {name} is decided ({total})."


def others_open(count: int) -> str:
    """Return how many lesions wait that a filter leaves out."""
    if count == 0:
        return "No other lesion waits."
    return "1 other lesion waits." if count == 1 else f"{count} other lesions wait."


def progress(settled: int, total: int, today: int, pending: int) -> str:
    """Return how far a review is, for example "12 of 340 settled · 48 today by you"."""
    saving = f" · {pending} being saved" if pending else ""
    return f"{settled:,} of {total:,} settled · {today:,} today by you{saving}"


def series_line(record: SeriesRecord) -> str:
    """Return a series as a line of a list: its name, the split of its patient, and a mark if it is complete."""
    mark = " ✓" if record.is_complete else ""
    return f"{record.name} · {record.split.value}{mark}"


def completeness_words(record: SeriesRecord, lesions: int | None) -> str:
    """Return what a series counts for after its mark was changed; `lesions` are those known in 3D."""
    if not record.is_complete:
        return "● saved: not complete, neither measured on nor exported"
    return f"● saved: {lesions_in_words(lesions)}; measured on, and exported with the test set"


def lesions_in_words(lesions: int | None) -> str:
    """Return how many lesions of a complete series are known; a scan without any is one to find nothing in.

    None are those of a reading that nothing has settled; how many it has is for its reader alone.
    """
    if lesions is None:
        return "its lesions are those of a reading"
    return f"{lesions} lesion{'s' if lesions != 1 else ''} in 3D" if lesions else "no lesion: a normal scan"


def export_words(folder: Path, result: ExportResult) -> str:
    """Return where an exported test set lies, and what of it must stay in the project."""
    sentences = [f"The test set is in {folder / result.file}"]
    if result.mapping_file is not None:
        sentences.append(f"Do not give away {result.mapping_file}: it says which scan each name is")
    if result.readings_file is not None:
        sentences.append(f"Who read what is in {result.readings_file}")
    return ". ".join([*sentences, *filter(None, [why_left_out(result.left_out, result.disputed)])])


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


def _likeness(reason: Reason) -> str:
    if reason.distance is None:
        return ""
    if reason.distance_limit is None:
        return f"distance {reason.distance:.2f}"
    degree = "very alike" if reason.distance <= reason.distance_limit * VERY_ALIKE else "alike"
    return f"{degree} (distance {reason.distance:.2f} of at most {reason.distance_limit:.2f})"


def _experts_clause(reasons: Sequence[Reason], *, show_scores: bool) -> str:
    names = []
    for reason in reasons:
        score = f" ({reason.score:.2f})" if show_scores and reason.score is not None else ""
        names.append(f"the {reason.expert or 'single-type'} expert{score}")
    verb = "sees" if len(names) == 1 else "see"
    return f"{' and '.join(names)} {verb} a lesion that is not marked"


def also_open(reader: str) -> str:
    """Return what is said in a window where another one is open under the same name; short, it lies on the picture."""
    return f"Also open in another window as {reader}:\nthe answers of both are yours."
