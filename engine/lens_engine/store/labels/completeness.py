"""Which series count as completely annotated, and what is then true about them.

A complete series of a val or test patient is measured on and exported with the test set. True about it are its
references in the order in which they came, then its labels in 3D where no reference lies, then the lesions that readers
accepted, adjusted or added where neither lies. Marking changes nothing but the mark: unmarking takes all of it back.

Where readers annotated the series for the test set, what they say in their readings takes the place of what the review
says (`store.readings.truth`). A series whose two readings differ keeps its mark and is left out by name until that is
adjudicated.

A lesion that is annotated on one slice only has no true box: what is found there would count as a false positive. A
series with one cannot be marked; where one came later, the series keeps its mark and is left out by name until the
lesion is known in 3D. An imported test set is complete because its authors say so, whatever other files mark in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lens_engine.errors import StoreError
from lens_engine.findings import POSITIVE_VERDICTS, Box3D, Split
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRecord, AnnotationRole, Annotations
from lens_engine.store.catalog import Catalog, CompleteSeries, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decision_rules import is_part, is_same_place
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.labels.left_out import HOW_TO_COMPLETE, HOW_TO_SETTLE
from lens_engine.store.readings.truth import read_series


@dataclass(frozen=True, slots=True)
class MeasuredSeries:
    """The series of one split that are marked complete.

    Attributes
    ----------
    series
        Those that a detector is measured on.
    left_out
        Names of others: a lesion of theirs is annotated on one slice only.
    disputed
        Names of the rest: two readings of theirs differ, and nobody has adjudicated that.
    """

    series: tuple[CompleteSeries, ...]
    left_out: tuple[str, ...]
    disputed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What readers say of a series that counts for the truth about it.

    Attributes
    ----------
    decisions
        Those of the review that stand; in a series with complete readings, the lesions on which these settle.
    is_disputed
        Whether two complete readings differ and nobody has adjudicated that.
    """

    decisions: tuple[DecisionRecord, ...] = ()
    is_disputed: bool = False


def mark_complete(database: Database, series_id: int) -> SeriesRecord:
    """Say that every lesion of a series is annotated in 3D; it joins the part of the test set that its patient is in.

    A series without a lesion is a normal scan, and counts for the false positives.

    Raises
    ------
    StoreError
        If there is no such series, it has no images, its patient is trained on, one of its lesions is annotated on
        one slice only, or two readings of it differ.
    """
    catalog = Catalog(database)
    record = catalog.series(series_id)
    check_may_be_complete(record)
    said = said_of(database, series_id)
    if said.is_disputed:
        raise StoreError(
            f"Two readers have read the series {record.name} and differ", "Readings that agree", HOW_TO_SETTLE
        )
    refuse_flat_lesions(record, Annotations(database).of_series(series_id), said.decisions)
    catalog.mark_complete(series_id, record.test_set_part or record.split.value)
    return catalog.series(series_id)


def check_may_be_complete(record: SeriesRecord) -> None:
    """Refuse a series that can never be one to measure on.

    Raises
    ------
    StoreError
        If it has no images, or its patient is trained on.
    """
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


def refuse_flat_lesions(
    record: SeriesRecord, annotations: Sequence[AnnotationRecord], decisions: Iterable[DecisionRecord]
) -> None:
    """Refuse a series with a lesion that is annotated on one slice only.

    Raises
    ------
    StoreError
        If it has one where neither an annotation nor a decision says how far it reaches.
    """
    flat = lesions_on_one_slice(annotations, decisions)
    if flat:
        raise StoreError(
            f"The series {record.name} has {len(flat)} of {len(annotations)} annotations on one slice only",
            "Every lesion of a complete series is annotated in 3D",
            f"{HOW_TO_COMPLETE}, and mark it again",
        )


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
    said = said_of_all(database, Decisions(database).current_by_series())
    nothing = Said()
    disputed = {item.id for item in complete if said.get(item.id, nothing).is_disputed}
    flat = {
        item.id
        for item in complete
        if item.id not in disputed and lesions_on_one_slice(annotations[item.id], said.get(item.id, nothing).decisions)
    }
    return MeasuredSeries(
        series=tuple(item for item in complete if item.id not in flat | disputed),
        left_out=tuple(catalog.series(item.id).name for item in complete if item.id in flat),
        disputed=tuple(catalog.series(item.id).name for item in complete if item.id in disputed),
    )


def said_of(database: Database, series_id: int) -> Said:
    """Return what readers say of one series that counts for the truth about it."""
    with database.reading() as session:
        read = read_series(session, [series_id]).get(series_id)
    return Said(Decisions(database).current(series_id)) if read is None else Said(read.truth, read.is_disputed)


def said_of_all(database: Database, decisions: Mapping[int, tuple[DecisionRecord, ...]]) -> dict[int, Said]:
    """Return what readers say of every series of which they say anything, by id.

    Parameters
    ----------
    decisions
        `Decisions.current_by_series`.
    """
    with database.reading() as session:
        read = read_series(session)
    return {
        **{series_id: Said(found) for series_id, found in decisions.items()},
        **{series_id: Said(item.truth, item.is_disputed) for series_id, item in read.items()},
    }


def how_to_measure(split: Split) -> str:
    """Return what makes a gain measurable where no series of a held-out split is complete."""
    return (
        f"Read at least 3 {split} series completely: 'lens review --test-set', or 'Read a test set …' in napari under "
        "Plugins > Review a project. Or bring masks or contours with 'lens import FILE' and mark them complete "
        "(Shift-C in the viewer, or 'lens complete SERIES'), or import a manual test set."
    )


def measurable_elsewhere(database: Database, split: Split) -> str:
    """Return what is said where nothing of a held-out split is measured on: that of the other one, if there is any."""
    other = Split.VAL if split is Split.TEST else Split.TEST
    count = len(measured_series(database, other).series)
    if not count:
        return ""
    are = "complete series are" if count > 1 else "complete series is"
    return f"{count} {are} in the {other} part: measure there with 'lens evaluate --split {other}'."


def known_lesions(database: Database, series_id: int) -> int | None:
    """Return how many lesions of a series are known in 3D.

    None while a reading says it that nothing has settled: whoever reads the series next must not hear its count.
    """
    with database.reading() as session:
        read = read_series(session, [series_id]).get(series_id)
    if read is not None and not read.is_settled:
        return None
    decisions = Decisions(database).current(series_id) if read is None else read.truth
    return len(true_boxes(Annotations(database).of_series(series_id), decisions))


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
