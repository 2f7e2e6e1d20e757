"""How much a mining strategy yields, in the form of LENS Table IV.

Boxes are cross-sections on slices of the series, as the published numbers count slices of the original scans.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lens_engine.mining.strategies.labels import LabelRule, MinedLabel, MinedLabels


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """One row of the table.

    Attributes
    ----------
    name
        What the rule, the step or the data set is called.
    lesions, boxes
        What is taught as a lesion, in 3D and in 2D.
    uncertain_boxes
        What is ignored, in 2D.
    slices
        Slices that teach anything.
    """

    name: str
    lesions: int
    boxes: int
    uncertain_boxes: int
    slices: int


STEPS: Mapping[str, frozenset[LabelRule]] = {
    "no mining": frozenset({LabelRule.ANNOTATION}),
    "+ cross-slice": frozenset({LabelRule.CROSS_SLICE}),
    "+ intra-patient": frozenset({LabelRule.INTRA_PATIENT}),
    "+ cross-dataset": frozenset({LabelRule.CROSS_DATASET}),
    "+ unlabelled": frozenset({LabelRule.UNLABELLED}),
}
"""The rows of LENS Table IV and the rule that each adds to those above it."""


def count_all(name: str, labels: Iterable[MinedLabels]) -> LabelCounts:
    """Return what all series together teach."""
    counts = [_count(series, series.positives, series.ignored, with_negatives=True) for series in labels]
    return _sum(name, counts)


def count_datasets(labels: Mapping[str, Sequence[MinedLabels]]) -> tuple[LabelCounts, ...]:
    """Return one row for each data set, and their sum where there are several."""
    rows = tuple(count_all(name, series) for name, series in labels.items())
    return rows if len(rows) < 2 else (*rows, _sum("all", rows))


def count_rules(labels: Sequence[MinedLabels]) -> tuple[LabelCounts, ...]:
    """Return what each rule adds by itself, for the rules that add anything, in the order of `LabelRule`."""
    rows = []
    for rule in LabelRule:
        counts = [
            _count(
                MinedLabels(series.series_id, negatives=tuple(item for item in series.negatives if item.rule is rule)),
                [label for label in series.positives if label.rule is rule],
                [label for label in series.ignored if label.rule is rule],
                with_negatives=True,
            )
            for series in labels
        ]
        row = _sum(rule.value, counts)
        if row.slices:
            rows.append(row)
    return tuple(rows)


def count_steps(labels: Sequence[MinedLabels]) -> tuple[LabelCounts, ...]:
    """Return the rows of LENS Table IV from labels that LENS mined to the last step.

    Each row counts what mining up to that step would have given: uncertain places only on slices with a positive label,
    before the slices without any are added.
    """
    rows, rules = [], frozenset[LabelRule]()
    for name, added in STEPS.items():
        rules |= added
        counts = []
        for series in labels:
            positives = [label for label in series.positives if label.rule in rules]
            ignored = [label for label in series.ignored if label.rule in rules]
            counts.append(_count(series, positives, ignored, with_negatives=LabelRule.UNLABELLED in rules))
        rows.append(_sum(name, counts))
    return tuple(rows)


def sum_counts(parts: Sequence[Sequence[LabelCounts]]) -> tuple[LabelCounts, ...]:
    """Return the rows of several tables with the same names, added up."""
    return tuple(_sum(rows[0].name, rows) for rows in zip(*parts, strict=True))


def _count(
    series: MinedLabels, positives: Sequence[MinedLabel], ignored: Sequence[MinedLabel], *, with_negatives: bool
) -> LabelCounts:
    shown = {section.slice_index for label in positives for section in label.slices}
    uncertain = [section.slice_index for label in ignored for section in label.slices]
    if with_negatives:
        slices = shown | {item.slice_index for item in series.negatives} | set(uncertain)
    else:
        slices, uncertain = shown, [index for index in uncertain if index in shown]
    return LabelCounts(
        "",
        len({label.lesion for label in positives}),
        sum(len(label.slices) for label in positives),
        len(uncertain),
        len(slices),
    )


def _sum(name: str, counts: Sequence[LabelCounts]) -> LabelCounts:
    return LabelCounts(
        name,
        sum(row.lesions for row in counts),
        sum(row.boxes for row in counts),
        sum(row.uncertain_boxes for row in counts),
        sum(row.slices for row in counts),
    )
