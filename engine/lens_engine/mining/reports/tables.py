"""Mining reports as text, one row a line."""

from collections.abc import Sequence

from lens_engine.mining.reports.accuracy import Accuracy, RuleAccuracy
from lens_engine.mining.reports.counts import LabelCounts

UNKNOWN = "–"


def counts_table(rows: Sequence[LabelCounts]) -> str:
    """Return counts with the columns of LENS Table IV."""
    heads = ("", "lesions", "2D boxes", "2D uncertain", "slices")
    return _table(
        heads,
        [(row.name, *map(str, (row.lesions, row.boxes, row.uncertain_boxes, row.slices))) for row in rows],
    )


def accuracy_table(rows: Sequence[RuleAccuracy]) -> str:
    """Return precision and recall with the numbers they are made of."""
    heads = ("", "lesions: precision", "recall", "boxes: precision", "recall")
    return _table(heads, [(row.name, *_shares(row.lesions), *_shares(row.boxes)) for row in rows])


def _shares(accuracy: Accuracy) -> tuple[str, str]:
    return (
        _share(accuracy.precision, accuracy.right, accuracy.found),
        _share(accuracy.recall, accuracy.reached, accuracy.wanted),
    )


def _share(value: float | None, part: int, whole: int) -> str:
    return UNKNOWN if value is None else f"{value:.1%} ({part}/{whole})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows with the first column flush left and the others flush right."""
    widths = [max(len(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    lines = [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (heads, *rows)
    ]
    return "\n".join(lines) + "\n"
