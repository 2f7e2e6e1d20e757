"""What every annotation, decision and candidate means to training: one rule, in SQL.

A snapshot reads the roles of the rows, and the plan of a retraining counts them. Precedence at one place: decided
as a lesion > unsure (ignored as a whole) > rejected (certain negative) > mined and not reviewed (missing annotation:
positive; uncertain: ignored). Original annotations are always positive, doubtful ones ignored.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from lens_engine.findings import POSITIVE_VERDICTS, CandidateKind, Split, Verdict
from lens_engine.snapshot import LabelSet, LesionOrigin, LesionRole
from lens_engine.store.mining_runs import latest_run
from lens_engine.store.place_expressions import (
    cover_together,
    edges,
    ends,
    inherits,
    is_copy,
    is_little_larger,
    is_part,
    is_same_place,
)
from lens_engine.store.schema import (
    AnnotationRole,
    AnnotationRow,
    CandidateRow,
    DecisionRow,
    PatientRow,
    SeriesRow,
    StudyRow,
)

WORDS = {
    (LesionOrigin.ANNOTATION, LesionRole.POSITIVE): "annotations",
    (LesionOrigin.ANNOTATION, LesionRole.IGNORE): "doubtful annotations (ignored)",
    (LesionOrigin.MINED, LesionRole.POSITIVE): "mined",
    (LesionOrigin.MINED, LesionRole.IGNORE): "uncertain (ignored)",
    (LesionOrigin.DECISION, LesionRole.POSITIVE): "accepted",
    (LesionOrigin.DECISION, LesionRole.IGNORE): "unsure (ignored)",
    (LesionOrigin.DECISION, LesionRole.NEGATIVE): "rejected",
}
"""What a reader calls labels of each origin and role, in the order in which they are told."""

Rows = Select[Any]
"""A query for rows (id, series_id, role). Select's type parameters differ between SQLAlchemy 2.0 and 2.1."""
Ids = Select[Any]
"""A query for one id in each row."""


def roles_of(session: Session, label_set: LabelSet) -> dict[LesionOrigin, dict[int, LesionRole]]:
    """Return the role of each annotation, candidate and decision (by id) that means something in a set of labels."""
    roles: dict[LesionOrigin, dict[int, LesionRole]] = {origin: {} for origin in LesionOrigin}
    for origin, rows in _labels(label_set):
        roles[origin] = {row.id: LesionRole(row.role) for row in session.execute(rows)}
    return roles


def training_counts(session: Session, label_set: LabelSet) -> dict[str, int]:
    """Return what there is to learn from in the training split, in words; no row leaves the database."""
    counts: dict[tuple[LesionOrigin, LesionRole], int] = {}
    for origin, rows in _labels(label_set):
        labels = rows.subquery()
        query = select(labels.c.role, func.count()).where(labels.c.series_id.in_(_training_series()))
        for role, count in session.execute(query.group_by(labels.c.role)):
            counts[origin, LesionRole(role)] = count
    series = session.scalar(select(func.count()).select_from(_training_series().subquery()))
    return in_words(series or 0, counts)


def in_words(series: int, counts: Mapping[tuple[LesionOrigin, LesionRole], int]) -> dict[str, int]:
    """Return counts by the words for them, without those that are zero."""
    return {"series": series, **{word: counts[key] for key, word in WORDS.items() if counts.get(key)}}


def _labels(label_set: LabelSet) -> list[tuple[LesionOrigin, Rows]]:
    """Return what a set of labels consists of, as rows with their roles."""
    labels = [(LesionOrigin.ANNOTATION, _annotations())]
    if label_set is LabelSet.MINED:
        labels.append((LesionOrigin.MINED, _mined()))
    if label_set is LabelSet.CURATED:
        labels += [(LesionOrigin.MINED, _open_candidates()), (LesionOrigin.DECISION, _decisions())]
    return labels


def _training_series() -> Ids:
    return (
        select(SeriesRow.id)
        .join(StudyRow, StudyRow.id == SeriesRow.study_id)
        .join(PatientRow, PatientRow.id == StudyRow.patient_id)
        .where(PatientRow.split == Split.TRAIN, SeriesRow.source_format.is_not(None))
    )


def _annotations() -> Rows:
    role = case((AnnotationRow.is_noisy, LesionRole.IGNORE.value), else_=LesionRole.POSITIVE.value)
    is_label = AnnotationRow.role == AnnotationRole.LABEL
    return select(AnnotationRow.id, AnnotationRow.series_id, role.label("role")).where(is_label)


def _mined() -> Rows:
    is_missing = CandidateRow.kind == CandidateKind.MISSING_ANNOTATION
    role = case((is_missing, LesionRole.POSITIVE.value), else_=LesionRole.IGNORE.value)
    return select(CandidateRow.id, CandidateRow.series_id, role.label("role")).where(
        CandidateRow.mining_run_id == latest_run()
    )


def _open_candidates() -> Rows:
    """Return the mined ones that neither a decision of their own nor one about their place answers."""
    answered = select(DecisionRow.candidate_id).where(
        DecisionRow.candidate_id.is_not(None), DecisionRow.verdict != Verdict.WITHDRAWN, _stands(DecisionRow)
    )
    standing, candidate = _STANDING.alias(), aliased(CandidateRow)
    inheriting = (
        select(candidate.id)
        .join(standing, standing.c.series_id == candidate.series_id)
        .where(candidate.mining_run_id == latest_run(), inherits(standing.c, candidate))
    )
    return _mined().where(CandidateRow.id.not_in(answered), CandidateRow.id.not_in(inheriting))


def _decisions() -> Rows:
    """Return the decisions that mean something: those that stand and that no greater one at the same place covers.

    A part of a lesion that was accepted again says nothing that the lesion does not say.
    """
    above = aliased(DecisionRow)
    covered_unsure = _covered(Verdict.UNSURE, above, above.verdict.in_(POSITIVE_VERDICTS))
    above = aliased(DecisionRow)
    is_unsure = and_(above.verdict == Verdict.UNSURE, above.id.not_in(covered_unsure))
    covered_rejected = _covered(Verdict.REJECTED, above, or_(above.verdict.in_(POSITIVE_VERDICTS), is_unsure))
    role = case(
        (DecisionRow.verdict.in_(POSITIVE_VERDICTS), LesionRole.POSITIVE.value),
        (DecisionRow.verdict == Verdict.UNSURE, LesionRole.IGNORE.value),
        else_=LesionRole.NEGATIVE.value,
    )
    return select(DecisionRow.id, DecisionRow.series_id, role.label("role")).where(
        _stands(DecisionRow),
        or_(
            and_(DecisionRow.verdict.in_(POSITIVE_VERDICTS), DecisionRow.id.not_in(_confirmed_parts())),
            and_(DecisionRow.verdict == Verdict.UNSURE, DecisionRow.id.not_in(covered_unsure)),
            and_(
                DecisionRow.verdict == Verdict.REJECTED,
                ~is_copy(DecisionRow),  # rejected as a question, not as a lesion: it says nothing about the place
                DecisionRow.id.not_in(covered_rejected),
                DecisionRow.id.not_in(_annotated_rejections()),
            ),
        ),
    )


def _covered(verdict: Verdict, above: type[DecisionRow], is_above: ColumnElement[bool]) -> Ids:
    """Return the decisions of one verdict, standing or not, that lie where another one of the series stands above."""
    below = aliased(DecisionRow)
    return (
        select(below.id)
        .join(above, above.series_id == below.series_id)
        .where(below.verdict == verdict, is_above, is_same_place(below, above), _stands(above))
    )


def _annotated_rejections() -> Ids:
    """Return the rejections that lie where an annotation of the series says that there is a lesion."""
    below = aliased(DecisionRow)
    return (
        select(below.id)
        .join(AnnotationRow, AnnotationRow.series_id == below.series_id)
        .where(
            below.verdict == Verdict.REJECTED,
            AnnotationRow.role == AnnotationRole.LABEL,
            is_same_place(below, AnnotationRow),
        )
    )


def _confirmed_parts() -> Ids:
    """Return the accepted ones, standing or not, that are parts of another lesion: see `accepted_lesions`."""
    part, whole = aliased(DecisionRow), aliased(DecisionRow)
    return select(part.id).join(whole, whole.series_id == part.series_id).where(is_part(part, whole), _stands(whole))


def _stands(decision: type[DecisionRow]) -> ColumnElement[bool]:
    """Return whether nothing has ended a decision; see `decision_rules.standing_ids`."""
    return decision.id.in_(select(_STANDING.c.id))


def _has_no_successor(decision: type[DecisionRow]) -> ColumnElement[bool]:
    """Return whether one is the last word about its candidate, and no single last word ends it."""
    earlier, word, link = aliased(DecisionRow), aliased(DecisionRow), _LINK.alias()
    is_taken_back = link.c.verdict == Verdict.WITHDRAWN
    is_ended = and_(word.verdict != Verdict.WITHDRAWN, ends(word, earlier))
    ended = (
        select(earlier.id)
        .join(link, link.c.earlier_id == earlier.id)
        .join(word, word.id == link.c.word_id)
        .where(or_(is_taken_back, is_ended))
    )
    is_last_word = or_(decision.candidate_id.is_(None), decision.id.in_(select(_LAST_WORD.c.id)))
    return and_(decision.id.not_in(ended), is_last_word)


def _rejected_in_parts() -> Ids:
    """Return the decisions that rejections of their parts cover together; copies are none."""
    part, link = aliased(DecisionRow), _LINK.alias()
    rejections = (
        select(part.id, link.c.earlier_id, *edges(part))
        .join(link, link.c.word_id == part.id)
        .where(part.verdict == Verdict.REJECTED, ~is_copy(part), _has_no_successor(part))
        .distinct()  # several words about a candidate may have followed the same one
        .cte("standing_rejections")
    )
    whole, one, other = aliased(DecisionRow), rejections.alias(), rejections.alias()
    return (
        select(whole.id)
        .join(one, one.c.earlier_id == whole.id)
        .join(other, and_(other.c.earlier_id == whole.id, other.c.id >= one.c.id))
        .where(is_little_larger(one.c, whole), is_little_larger(other.c, whole))
        .group_by(whole.id)
        .having(cover_together(whole, one.c, other.c))
    )


def _last_words() -> CTE:
    """Return the latest decision about each candidate."""
    return (
        select(DecisionRow.candidate_id, func.max(DecisionRow.id).label("id"))
        .where(DecisionRow.candidate_id.is_not(None))
        .group_by(DecisionRow.candidate_id)
        .cte("last_words")
    )


def _links() -> CTE:
    """Return what each decision followed, and the last word about its candidate, which follows that too.

    Of two candidates of one mining run none follows the other.
    """
    row, earlier = aliased(DecisionRow), aliased(DecisionRow)
    asked, earlier_asked = aliased(CandidateRow), aliased(CandidateRow)
    return (
        select(
            row.verdict,
            earlier.id.label("earlier_id"),
            func.coalesce(_LAST_WORD.c.id, row.id).label("word_id"),
        )
        .join(earlier, earlier.id == row.previous_id)
        .outerjoin(_LAST_WORD, _LAST_WORD.c.candidate_id == row.candidate_id)
        .outerjoin(asked, asked.id == row.candidate_id)
        .outerjoin(earlier_asked, earlier_asked.id == earlier.candidate_id)
        .where(func.coalesce(asked.mining_run_id != earlier_asked.mining_run_id, True))
        .cte("followed_decisions")
    )


_LAST_WORD = _last_words()
_LINK = _links()
_DECISION = aliased(DecisionRow)
_STANDING = (
    select(_DECISION.id, _DECISION.series_id, _DECISION.verdict, _DECISION.reason_code, *edges(_DECISION))
    .where(
        _has_no_successor(_DECISION),
        _DECISION.id.not_in(_rejected_in_parts()),
        _DECISION.reading_id.is_(None),  # readings say what is measured on, and nothing to learn from
    )
    .cte("standing_decisions")
)
"""One for all parts of a statement, which many of them ask."""
