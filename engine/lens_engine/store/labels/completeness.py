"""Which series count as completely annotated, and what is then true about them.

A complete series of a val or test patient is measured on and exported with the test set. True about it are its
references in the order in which they came, then its labels in 3D where no reference lies, then the lesions that readers
accepted, adjusted or added where neither lies. Marking changes nothing but the mark: unmarking takes all of it back.

A lesion that is annotated on one slice only has no true box: what is found there would count as a false positive. A
series with one cannot be marked; where one came later, the series keeps its mark and is left out by name until the
lesion is known in 3D. An imported test set is complete because its authors say so, whatever other files mark in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lens_engine.errors import StoreError
from lens_engine.findings import POSITIVE_VERDICTS, Box3D, Split
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRecord, AnnotationRole, Annotations
from lens_engine.store.catalog import Catalog, CompleteSeries, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decision_rules import is_part, is_same_place
from lens_engine.store.decisions import DecisionRecord, Decisions

HOW_TO_COMPLETE = "Import its lesions as a mask or RTSTRUCT, or accept what continues them in the review"
"""What makes lesions that are annotated on one slice known in 3D."""
MOST_NAMES = 5
"""Series that one message names."""


@dataclass(frozen=True, slots=True)
class MeasuredSeries:
    """The series of one split that are marked complete.

    Attributes
    ----------
    series
        Those that a detector is measured on.
    left_out
        Names of the others: a lesion of theirs is annotated on one slice only.
    """

    series: tuple[CompleteSeries, ...]
    left_out: tuple[str, ...]


def mark_complete(database: Database, series_id: int) -> SeriesRecord:
    """Say that every lesion of a series is annotated in 3D; it joins the part of the test set that its patient is in.

    A series without a lesion is a normal scan, and counts for the false positives.

    Raises
    ------
    StoreError
        If there is no such series, it has no images, its patient is trained on, or one of its lesions is annotated on
        one slice only.
    """
    catalog = Catalog(database)
    record = catalog.series(series_id)
    if record.source is None:
        raise StoreError(
            f"The series {record.name} has no images",
            "A scan to find the lesions in is needed",
            "Add its scan with lens add, then mark it again",
        )
    if record.split is Split.TRAIN:
        raise StoreError(
            f"The series {record.name} belongs to a patient of the train split",
            "A detector is measured on val and test patients only, never on those it learns from",
            "Choose a series of another patient; lens add --split test keeps new patients out of training",
        )
    annotations = Annotations(database).of_series(series_id)
    flat = lesions_on_one_slice(annotations, Decisions(database).current(series_id))
    if flat:
        raise StoreError(
            f"The series {record.name} has {len(flat)} of {len(annotations)} annotations on one slice only",
            "Every lesion of a complete series is annotated in 3D",
            f"{HOW_TO_COMPLETE}, and mark it again",
        )
    catalog.mark_complete(series_id, record.test_set_part or record.split.value)
    return catalog.series(series_id)


def unmark_complete(database: Database, series_id: int) -> SeriesRecord:
    """Say that a series is not completely annotated: it is not measured on any more and leaves the test set.

    Raises
    ------
    StoreError
        If there is no such series.
    """
    catalog = Catalog(database)
    catalog.mark_complete(series_id, None, complete=False)
    return catalog.series(series_id)


def measured_series(database: Database, split: Split) -> MeasuredSeries:
    """Return what a detector is measured on in a split, and what is left out of it although it is marked complete."""
    catalog = Catalog(database)
    complete = catalog.complete_series(split)
    if not complete:
        return MeasuredSeries((), ())
    annotations: dict[int, list[AnnotationRecord]] = {item.id: [] for item in complete}
    for annotation in Annotations(database).all(split=split):
        if annotation.series_id in annotations:
            annotations[annotation.series_id].append(annotation)
    decisions: dict[int, list[DecisionRecord]] = {item.id: [] for item in complete}
    for decision in Decisions(database).current():
        if decision.decision.series_id in decisions:
            decisions[decision.decision.series_id].append(decision)
    flat = {item.id for item in complete if lesions_on_one_slice(annotations[item.id], decisions[item.id])}
    return MeasuredSeries(
        series=tuple(item for item in complete if item.id not in flat),
        left_out=tuple(catalog.series(item.id).name for item in complete if item.id in flat),
    )


def measurable_elsewhere(database: Database, split: Split) -> str:
    """Return what is said where nothing of a held-out split is measured on: that of the other one, if there is any."""
    other = Split.VAL if split is Split.TEST else Split.TEST
    count = len(measured_series(database, other).series)
    if not count:
        return ""
    are = "complete series are" if count > 1 else "complete series is"
    return f"{count} {are} in the {other} part: measure there with 'lens evaluate --split {other}'."


def why_left_out(names: Sequence[str]) -> str:
    """Return what is said of complete series that are neither measured on nor exported; nothing where there is none."""
    if not names:
        return ""
    shown = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
    verb = "is" if len(names) == 1 else "are"
    return (
        f"Left out {verb} {shown}, marked complete with a lesion that is annotated on one slice only. "
        f"{HOW_TO_COMPLETE}."
    )


def known_lesions(database: Database, series_id: int) -> int:
    """Return how many lesions of a series are known in 3D."""
    return len(true_boxes(Annotations(database).of_series(series_id), Decisions(database).current(series_id)))


def true_boxes(annotations: Sequence[AnnotationRecord], decisions: Iterable[DecisionRecord]) -> tuple[Box3D, ...]:
    """Return the lesions of one series that are known in 3D.

    Parameters
    ----------
    annotations
        Of the series, in both roles. Doubtful labels are left out, and those that are annotated on one slice only.
    decisions
        Those that stand in the series.
    """
    references = [item.box for item in annotations if item.role is AnnotationRole.REFERENCE]
    labels = [item.box for item in annotations if _is_label(item) and item.key_slice is None]
    annotated = [*references, *(box for box in labels if not _is_known(box, references))]
    accepted = [item.box for item in accepted_lesions(decisions)]
    return (*annotated, *(box for box in accepted if not _is_known(box, annotated)))


def lesions_on_one_slice(
    annotations: Sequence[AnnotationRecord], decisions: Iterable[DecisionRecord]
) -> tuple[AnnotationRecord, ...]:
    """Return the labels of one series that are annotated on one slice only and lie at no true box."""
    if any(item.origin is AnnotationOrigin.MANUAL_TEST_SET for item in annotations):
        return ()
    flat = [item for item in annotations if _is_label(item) and item.key_slice is not None]
    boxes = true_boxes(annotations, decisions) if flat else ()
    return tuple(item for item in flat if not _is_known(item.box, boxes))


def accepted_lesions(decisions: Iterable[DecisionRecord]) -> tuple[DecisionRecord, ...]:
    """Return the lesions among the decisions that stand in one series.

    An accepted part of another lesion confirms that one and is none of its own; so is the smaller of two boxes of one
    lesion where a reader accepted both.
    """
    lesions = sorted((item for item in decisions if item.verdict in POSITIVE_VERDICTS), key=lambda item: item.id)
    return tuple(item for item in lesions if not any(is_part(item, whole) for whole in lesions))


def type_of_lesion(lesion: DecisionRecord, decisions: Iterable[DecisionRecord]) -> str | None:
    """Return the type that a reader said of a lesion, or else of a part by which it was confirmed last.

    Parameters
    ----------
    decisions
        Those that stand in the series.
    """
    parts = sorted((item for item in decisions if is_part(item, lesion)), key=lambda item: -item.id)
    return next((item.decision.lesion_type for item in (lesion, *parts) if item.decision.lesion_type), None)


def _is_label(annotation: AnnotationRecord) -> bool:
    return annotation.role is AnnotationRole.LABEL and not annotation.is_noisy


def _is_known(box: Box3D, known: Iterable[Box3D]) -> bool:
    return any(is_same_place(box, other) for other in known)
