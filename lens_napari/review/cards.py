"""Turns what the session knows into what the panels show: the card of one lesion, and the boxes of a series."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lens_engine.findings import Finding, ReasonCode, Verdict, middle_section
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.queue.outline import KINDS, OPEN
from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import ANNOTATIONS, CANDIDATES, BoxRow, BoxTable
from lens_napari.review.entries import Entry
from lens_napari.review.partners import partner_reason
from lens_napari.review.project_store import LoadedSeries
from lens_napari.review.session import ReviewSession
from lens_napari.review.wording import UNKNOWN, Partner, also_in, comparison, headline, size_mm, why, why_in_short


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
    reason: ReasonCode | None
    is_inherited: bool
    save_state: SaveState
    presence: Presence
    show_scores: bool
    reader: str
    """Who decided; empty while the lesion is open."""
    comparison: str = ""
    """What is said of the lesion and its partner; empty without one."""


def lesion_card(
    session: ReviewSession,
    record: SeriesRecord | None,
    colours: Mapping[str, str],
    partner: Partner | None,
    *,
    presence: Presence,
) -> LesionCard | None:
    """Return what is said about the lesion asked about, or None when nothing is asked.

    Until its series was read, that is what the list knows of it.
    """
    position, entry, outline = session.position, session.current_entry, session.outline
    if position is None or session.rank is None:
        return None
    decision = entry.decision if entry else None
    reason = partner_reason(entry.record.candidate) if entry else None
    is_decided = decision is not None if entry else outline.verdicts[position] != OPEN
    show = not session.scores_hidden or is_decided
    seen = ~np.isnan(outline.scores[position])
    scores = {expert: float(outline.scores[position, i]) for i, expert in enumerate(outline.experts) if seen[i]}
    geometry = record.geometry if record else None
    x1, y1, z1, x2, y2, z2 = (float(edge) for edge in outline.boxes[position])
    box = entry.box if entry else (x1, y1, z1, x2, y2, z2)
    section = middle_section(entry.slices) if entry and entry.is_adjusted else None
    middle = section.slice_index if section else outline.middle_slice(position)
    in_short = why_in_short(outline.rules_of(position))
    return LesionCard(
        position=f"{session.rank + 1:,} of {len(outline):,}",
        headline=headline(KINDS[outline.kinds[position]]),
        why=_why(entry, partner, show_scores=show) if entry else in_short,
        size=size_mm(box, geometry) if geometry else UNKNOWN,
        where=f"patient {record.patient_code}, slice {middle + 1}" if record else UNKNOWN,
        experts=tuple(ExpertScore(expert, colour, scores.get(expert)) for expert, colour in colours.items()),
        verdict=decision.verdict if decision else None,
        lesion_type=decision.lesion_type if decision else None,
        reason=decision.reason_code if decision else None,
        is_inherited=entry is not None and entry.record.inherited and decision is _stored(entry),
        save_state=entry.save_state if entry else SaveState.UNTOUCHED,
        presence=presence,
        show_scores=show,
        reader=decision.reader if decision else "",
        comparison=comparison(reason, partner, show_scores=show) if partner and reason else "",
    )


def drawn_findings(groups: Sequence[str], loaded: LoadedSeries) -> tuple[Finding, ...]:
    """Return the findings of a series that are drawn: those of the experts of the model in use."""
    return tuple(finding for finding in loaded.findings if finding.expert in groups)


def box_table(groups: Sequence[str], loaded: LoadedSeries, entries: Iterable[Entry]) -> BoxTable:
    """Return all boxes of a series: findings first, then annotations and candidates."""
    findings = [BoxRow(finding.expert, finding.slices, finding.score) for finding in drawn_findings(groups, loaded)]
    annotations = [BoxRow(ANNOTATIONS, annotation.slices, 1.0) for annotation in loaded.annotations]
    candidates = [
        BoxRow(CANDIDATES, entry.record.candidate.finding.slices, entry.record.candidate.finding.score, entry.record.id)
        for entry in entries
        if entry.record.candidate.series_id == loaded.record.id
    ]
    return BoxTable.from_rows(groups, [*findings, *annotations, *candidates])


def _why(entry: Entry, partner: Partner | None, *, show_scores: bool) -> str:
    record = entry.record
    sentences = why(record.candidate, partner, show_scores=show_scores), also_in(len(record.siblings))
    return " ".join(filter(None, sentences))


def _stored(entry: Entry) -> object:
    return entry.record.decision.decision if entry.record.decision else None
