"""Which series count as completely annotated, and what is then true about them.

A complete series of a val or test patient is measured on and exported with the test set. True about it are its
references in the order in which they came, then its labels in 3D where no reference lies, then the lesions that readers
accepted, adjusted or added where neither lies. Marking changes nothing but the mark: unmarking takes all of it back.
"""

from collections.abc import Iterable, Sequence

from lens_engine.errors import StoreError
from lens_engine.findings import Box3D, Split, Verdict
from lens_engine.store.annotations import AnnotationRecord, AnnotationRole, Annotations
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decision_rules import covers, is_same_place
from lens_engine.store.decisions import DecisionRecord, Decisions

POSITIVE_VERDICTS = frozenset({Verdict.ACCEPTED, Verdict.ADDED, Verdict.ADJUSTED})
"""Decisions by which a place is a lesion."""


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
    flat = _lesions_on_one_slice(annotations, true_boxes(annotations, Decisions(database).current(series_id)))
    if flat:
        raise StoreError(
            f"The series {record.name} has {len(flat)} of {len(annotations)} annotations on one slice only",
            "Every lesion of a complete series is annotated in 3D",
            "Import its lesions as a mask or RTSTRUCT, or accept what continues them in the review, and mark it again",
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


def accepted_lesions(decisions: Iterable[DecisionRecord]) -> tuple[DecisionRecord, ...]:
    """Return the lesions among the decisions that stand in one series.

    An accepted part of a lesion that was decided before confirms that lesion and is none of its own.
    """
    lesions = sorted((item for item in decisions if item.verdict in POSITIVE_VERDICTS), key=lambda item: item.id)
    return tuple(
        item
        for number, item in enumerate(lesions)
        if item.verdict is not Verdict.ACCEPTED or not any(covers(whole.box, item.box) for whole in lesions[:number])
    )


def _is_label(annotation: AnnotationRecord) -> bool:
    return annotation.role is AnnotationRole.LABEL and not annotation.is_noisy


def _is_known(box: Box3D, known: Iterable[Box3D]) -> bool:
    return any(is_same_place(box, other) for other in known)


def _lesions_on_one_slice(
    annotations: Iterable[AnnotationRecord], boxes: Sequence[Box3D]
) -> tuple[AnnotationRecord, ...]:
    return tuple(
        item
        for item in annotations
        if _is_label(item) and item.key_slice is not None and not _is_known(item.box, boxes)
    )
