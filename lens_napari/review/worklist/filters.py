"""What of the list a reader wants to see, and which lesions that are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import Rule
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.queue.outline import RULES, QueueOutline
from lens_napari.review.box_table import BoxState


class Listed(StrEnum):
    """What the list holds, in words."""

    OPEN = "To review"
    ALL = "All lesions"
    LESIONS = "✓  Lesion"
    NOT_LESIONS = "✕  Not a lesion"
    UNSURE = "?  Unsure"
    WITH_VALIDATION = "Validation patients too"


class Sorting(StrEnum):
    """In which order the list is walked, in words."""

    USEFULNESS = "Most useful first"
    SERIES = "Series by series"


STATE_OF_LISTED = {
    Listed.LESIONS: BoxState.ACCEPTED,
    Listed.NOT_LESIONS: BoxState.REJECTED,
    Listed.UNSURE: BoxState.UNSURE,
}
"""The choices by which decided lesions are looked at again."""


@dataclass(frozen=True, slots=True)
class WorklistFilter:
    """What of the list a reader wants to see.

    Attributes
    ----------
    rule, expert, dataset
        The reason for which a lesion is asked about, the expert that is surest of it, and the data set of its series;
        None for any.
    text
        Words that the patient, the name or the description of the series has, or what readers have written about the
        lesion, each of them; capitals do not matter.
    least_score, greatest_score
        Of the surest expert.
    has_comment
        Whether readers have written about the lesion.
    """

    listed: Listed = Listed.OPEN
    rule: Rule | None = None
    expert: str | None = None
    dataset: str | None = None
    text: str = ""
    least_score: float = 0.0
    greatest_score: float = 1.0
    has_comment: bool = False
    sorting: Sorting = Sorting.USEFULNESS

    @property
    def state(self) -> BoxState | None:
        """The verdict that is looked at again; None where the open lesions are asked about."""
        return STATE_OF_LISTED.get(self.listed)

    @property
    def looks_again(self) -> bool:
        """Whether decided lesions are gone through again, each once."""
        return self.state is not None or (self.has_comment and self.listed is Listed.ALL)

    @property
    def hears_comments(self) -> bool:
        """Whether it depends on what readers have written."""
        return self.has_comment or bool(self.text)

    @property
    def narrows(self) -> bool:
        """Whether lesions are left out because of anything but their state."""
        anything = WorklistFilter(self.listed, sorting=self.sorting)
        return self != anything

    @property
    def only_rule(self) -> Rule | None:
        """The reason, where nothing else narrows the list."""
        is_alone = self == WorklistFilter(self.listed, self.rule, sorting=self.sorting)
        return self.rule if is_alone else None


@dataclass(frozen=True, slots=True)
class SearchedSeries:
    """What filters ask of a series.

    Attributes
    ----------
    text
        What a search looks for its words in, without capitals.
    """

    dataset: str
    text: str

    @classmethod
    def of(cls, record: SeriesRecord) -> "SearchedSeries":
        """Return what filters ask of one series."""
        return cls(record.dataset, f"{record.patient_code} {record.name} {record.description}".casefold())


def fitting(outline: QueueOutline, series: Mapping[int, SearchedSeries], wanted: WorklistFilter) -> NDArray[np.bool_]:
    """Return which lesions a filter leaves, decided or not; the series are given by id."""
    fits = np.ones(len(outline), dtype=np.bool_)
    if wanted.rule is not None:
        fits &= outline.rules[:, RULES.index(wanted.rule)]
    if wanted.expert is not None or wanted.least_score > 0 or wanted.greatest_score < 1:
        fits &= _scores_fit(outline, wanted)
    if wanted.has_comment:
        fits &= _among(outline.ids, outline.comments)
    if wanted.dataset is not None:
        fits &= _among(outline.series_ids, (number for number, one in series.items() if one.dataset == wanted.dataset))
    words = wanted.text.casefold().split()
    if words:
        fits &= _found(outline, series, words)
    return fits


def _found(outline: QueueOutline, series: Mapping[int, SearchedSeries], words: Sequence[str]) -> NDArray[np.bool_]:
    """Return in which lesions every word is found; few are commented, so that only their series is looked up again."""
    found = _among(outline.series_ids, (number for number, one in series.items() if _has(one.text, words)))
    commented = np.flatnonzero(_among(outline.ids, outline.comments))
    for i in commented[~found[commented]].tolist():
        of_series = series.get(int(outline.series_ids[i]))
        text = f"{of_series.text if of_series else ''} {outline.comments[int(outline.ids[i])].casefold()}"
        found[i] = _has(text, words)
    return found


def _has(text: str, words: Sequence[str]) -> bool:
    return all(word in text for word in words)


def _among(ids: NDArray[np.int64], wanted: Iterable[int]) -> NDArray[np.bool_]:
    return np.isin(ids, np.fromiter(wanted, dtype=np.int64))


def _scores_fit(outline: QueueOutline, wanted: WorklistFilter) -> NDArray[np.bool_]:
    surest, scores = outline.surest()
    rounded = scores.round(2)  # as the list shows them
    fits: NDArray[np.bool_] = (rounded >= wanted.least_score) & (rounded <= wanted.greatest_score)
    if wanted.expert is None:
        return fits
    if wanted.expert not in outline.experts:
        return np.zeros(len(outline), dtype=np.bool_)
    fits &= surest == outline.experts.index(wanted.expert)
    return fits
