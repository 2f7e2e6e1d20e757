"""Turns session entries into what the panels show: rows of the worklist, the card of one lesion, rows of boxes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lens_engine.findings import FUSED, Finding, Verdict, middle_section
from lens_engine.store.catalog import SeriesRecord
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, BoxRow, BoxState, BoxTable
from lens_napari.review.partners import partner_reason
from lens_napari.review.project_store import LoadedSeries
from lens_napari.review.session import Entry, ReviewSession, SaveState
from lens_napari.review.wording import HIDDEN_SCORE, MARK_OF_STATE, Partner, comparison, headline, size_mm, symbol, why

UNKNOWN = "–"
PENDING_MARK = "○"
"""Stands for a verdict that is not on disk yet."""


class Presence(StrEnum):
    """Where the lesion asked about is."""

    ON_SCREEN = "on screen"
    LOADING = "loading"
    ELSEWHERE = "elsewhere"
    """The reader looks at another series."""
    RETURNING = "returning"
    """He does, and its own series is being loaded."""


@dataclass(frozen=True, slots=True)
class ExpertScore:
    """What one expert says about the lesion; None when it sees nothing there."""

    expert: str
    colour: str
    score: float | None


@dataclass(frozen=True, slots=True)
class LesionCard:
    """Everything the panel says about one lesion."""

    position: str
    headline: str
    why: str
    size: str
    where: str
    experts: tuple[ExpertScore, ...]
    verdict: Verdict | None
    lesion_type: str | None
    is_inherited: bool
    save_state: SaveState
    presence: Presence
    show_scores: bool
    reader: str
    """Who decided; empty while the lesion is open."""
    comparison: str = ""
    """What is said of the lesion and its partner; empty without one."""


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """One lesion as a line of text; the score is that of the expert beside it, the surest at the place."""

    candidate_id: int
    state: BoxState
    save_state: SaveState
    why: str
    score: str
    expert: str
    patient: str
    slice_text: str

    @property
    def mark(self) -> str:
        """Verdict as a symbol; a hollow circle until it is on disk."""
        return PENDING_MARK if self.save_state is SaveState.PENDING else MARK_OF_STATE.get(self.state, "")

    @property
    def cells(self) -> tuple[str, ...]:
        """Mark, why, score, expert, patient and slice."""
        return self.mark, self.why, self.score, self.expert, self.patient, self.slice_text


KnownRows = dict[int, tuple[Entry, bool, bool, WorklistRow]]
"""Rows made before, by candidate: the entry, whether it was asked about, whether scores were hidden, and the row."""


def worklist_rows(session: ReviewSession, series: Mapping[int, SeriesRecord], known: KnownRows) -> list[WorklistRow]:
    """Return the whole queue as lines of text; rows that have not changed are taken from `known`, which is updated."""
    rows = []
    for entry in session.entries:
        candidate_id, is_asked = entry.record.id, entry.record is session.current
        before = known.get(candidate_id)
        if before is None or before[0] is not entry or before[1:3] != (is_asked, session.scores_hidden):
            row = _row(entry, series.get(entry.record.candidate.series_id), session)
            before = known[candidate_id] = (entry, is_asked, session.scores_hidden, row)
        rows.append(before[3])
    return rows


def lesion_card(
    session: ReviewSession,
    record: SeriesRecord | None,
    colours: Mapping[str, str],
    partner: Partner | None,
    *,
    presence: Presence,
) -> LesionCard | None:
    """Return what is said about the lesion asked about, or None when nothing is asked."""
    entry = session.current_entry
    if entry is None or session.position is None:
        return None
    candidate = entry.record.candidate
    reason = partner_reason(candidate)
    show = _shows_scores(entry, session)
    scores = dict(candidate.finding.expert_scores)
    if candidate.finding.expert not in scores:
        scores[candidate.finding.expert] = candidate.finding.score
    geometry = record.geometry if record else None
    section = middle_section(candidate.finding.slices) if candidate.finding.slices else None
    return LesionCard(
        position=f"{session.position + 1} of {len(session.entries)}",
        headline=headline(candidate),
        why=why(candidate, partner, show_scores=show),
        size=size_mm(candidate, geometry) if geometry else UNKNOWN,
        where=f"patient {record.patient_code}, slice {section.slice_index + 1}" if record and section else UNKNOWN,
        experts=tuple(ExpertScore(expert, colour, scores.get(expert)) for expert, colour in colours.items()),
        verdict=entry.verdict,
        lesion_type=entry.decision.lesion_type if entry.decision else None,
        is_inherited=entry.record.inherited and entry.decision is _stored(entry),
        save_state=entry.save_state,
        presence=presence,
        show_scores=show,
        reader=entry.decision.reader if entry.decision else "",
        comparison=comparison(reason, partner, show_scores=show) if partner and reason else "",
    )


def box_table(groups: Sequence[str], loaded: LoadedSeries, entries: Iterable[Entry]) -> BoxTable:
    """Return all boxes of a series: findings, annotations and candidates."""
    findings = [
        BoxRow(finding.expert, finding.slices, finding.score) for finding in loaded.findings if finding.expert in groups
    ]
    annotations = [BoxRow(ANNOTATIONS, annotation.slices, 1.0) for annotation in loaded.annotations]
    candidates = [
        BoxRow(CANDIDATES, entry.record.candidate.finding.slices, entry.record.candidate.finding.score, entry.record.id)
        for entry in entries
        if entry.record.candidate.series_id == loaded.record.id
    ]
    return BoxTable.from_rows(groups, [*findings, *annotations, *candidates])


def _row(entry: Entry, record: SeriesRecord | None, session: ReviewSession) -> WorklistRow:
    finding = entry.record.candidate.finding
    show = _shows_scores(entry, session)
    surest = _surest(finding)
    section = middle_section(finding.slices) if finding.slices else None
    return WorklistRow(
        candidate_id=entry.record.id,
        state=entry.state if entry.record is not session.current else max(entry.state, BoxState.ASKED),
        save_state=entry.save_state,
        why=symbol(entry.record.candidate),
        score=f"{surest[1]:.2f}" if show else HIDDEN_SCORE,
        expert=surest[0] if show else UNKNOWN,
        patient=record.patient_code.lstrip("0").rjust(4, "0") if record else UNKNOWN,
        slice_text=str(section.slice_index + 1) if section else UNKNOWN,
    )


def _surest(finding: Finding) -> tuple[str, float]:
    """Return which expert is surest of a place, and its score; the fusion where no expert is known to see it."""
    scores = {finding.expert: finding.score, **finding.expert_scores}
    experts = [expert for expert in scores if expert != FUSED] or [FUSED]
    return max(((expert, scores[expert]) for expert in experts), key=lambda pair: pair[1])


def _shows_scores(entry: Entry, session: ReviewSession) -> bool:
    return not session.scores_hidden or entry.decision is not None


def _stored(entry: Entry) -> object:
    return entry.record.decision.decision if entry.record.decision else None
