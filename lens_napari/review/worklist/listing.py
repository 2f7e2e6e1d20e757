"""The walk through a list of lesions: which of them, in which order, and which is next.

Lesions are named by their position in the queue. Everything is a pass over columns, so that a list of very many lesions
is walked like a short one.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.queue.outline import QueueOutline
from lens_napari.review.box_table import BoxState
from lens_napari.review.worklist.filters import Listed, SearchedSeries, Sorting, WorklistFilter, fitting

Positions = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Listing:
    """What of a queue is walked over.

    Parameters
    ----------
    outline
        The queue.
    series
        The series of its lesions, by id.
    states
        int8 (n,), the `BoxState` of each lesion; the session changes it.
    """

    def __init__(self, outline: QueueOutline, series: Mapping[int, SeriesRecord], states: NDArray[np.int8]) -> None:
        self._comments = dict(outline.comments)
        self._outline = replace(outline, comments=self._comments)
        self._series = {number: SearchedSeries.of(record) for number, record in series.items()}
        self._states = states
        self.filter = WorklistFilter()
        """What the reader wants to see."""
        self._fitting = np.ones(len(outline), dtype=np.bool_)
        self._order = np.arange(len(outline))
        self._rank = self._order

    def narrow(self, wanted: WorklistFilter) -> None:
        """Walk only over what a filter leaves, in the order it names."""
        self.filter = wanted
        self._fitting = fitting(self._outline, self._series, wanted)
        self._order = self._sorted(wanted.sorting)
        self._rank = np.empty_like(self._order)
        self._rank[self._order] = np.arange(len(self._order))

    def hear(self, candidate_id: int, comments: str) -> None:
        """Know from now on what readers say of a lesion in their own words; empty where nobody says anything."""
        if comments == self._comments.get(candidate_id, ""):
            return
        self._comments.pop(candidate_id, None)
        if comments:
            self._comments[candidate_id] = comments
        if self.filter.hears_comments:
            self._fitting = fitting(self._outline, self._series, self.filter)

    def rank(self, position: int) -> int:
        """Return the place of a lesion in the whole list as it is sorted, from 0."""
        return int(self._rank[position])

    def fits(self, position: int) -> bool:
        """Return whether the filter leaves a lesion."""
        return bool(self._walked()[position])

    def counts(self) -> tuple[int, int]:
        """Return how many lesions the filter leaves, and how many of them wait."""
        walked = self._walked()
        return int(walked.sum()), int((walked & self._is_open()).sum())

    def following(self, after: int | None) -> int | None:
        """Return the next lesion to ask about, behind one or from the start, at the end from the start again.

        Where decided ones are looked at again, each comes once.
        """
        return self._following(self._wanted(), after)

    def following_elsewhere(self, after: int) -> int | None:
        """Return the next lesion to ask about that lies in another series than this one."""
        wanted = self._wanted() & (self._outline.series_ids != self._outline.series_ids[after])
        return self._following(wanted, after)

    def neighbour(self, position: int | None, step: int) -> int | None:
        """Return the next lesion of the list (step 1) or the one before (-1), decided or not; None at its end."""
        ranks = np.flatnonzero(self._walked()[self._order])
        if step > 0:
            index = int(np.searchsorted(ranks, -1 if position is None else self._rank[position], side="right"))
        else:
            behind = len(self._order) if position is None else self._rank[position]
            index = int(np.searchsorted(ranks, behind, side="left")) - 1
        return int(self._order[ranks[index]]) if 0 <= index < len(ranks) else None

    def neighbour_series(self, position: int | None, step: int) -> int | None:
        """Return the first lesion to ask about of the next series of the list (step 1) or of the one before (-1).

        None where no other series with such a lesion lies on that side.
        """
        wanted = self._wanted()
        if position is not None:
            wanted = wanted & (self._outline.series_ids != self._outline.series_ids[position])
        ranks = np.flatnonzero(wanted[self._order])
        series_ids = self._outline.series_ids[self._order[ranks]]
        here = (-1 if step > 0 else len(self._order)) if position is None else self._rank[position]
        index = int(np.searchsorted(ranks, here)) - (0 if step > 0 else 1)
        if not 0 <= index < len(ranks):
            return None
        first = np.flatnonzero(series_ids == series_ids[index])[0]
        return int(self._order[ranks[first]])

    def shown(self, current: int | None) -> Positions:
        """Return the lesions that the list shows, in its order; the one asked about is always among those that fit."""
        shown = self._fitting.copy()
        if self.filter.state is not None:
            shown &= self._states == self.filter.state
        elif self.filter.listed is not Listed.ALL:
            shown &= self._is_open()
        if current is not None:
            shown[current] = self._fitting[current]
        return self._order[shown[self._order]]

    def _walked(self) -> Mask:
        """Return what J and K go through: with an eye on open lesions, decided ones too."""
        return self._fitting if self.filter.state is None else self._fitting & (self._states == self.filter.state)

    def _wanted(self) -> Mask:
        return self._walked() if self.filter.looks_again else self._fitting & self._is_open()

    def _is_open(self) -> Mask:
        is_open: Mask = self._states == BoxState.PLAIN
        return is_open

    def _following(self, wanted: Mask, after: int | None) -> int | None:
        ranks = np.flatnonzero(wanted[self._order])
        index = int(np.searchsorted(ranks, -1 if after is None else self._rank[after], side="right"))
        if index == len(ranks):
            if not len(ranks) or self.filter.looks_again:
                return None
            index = 0
        return int(self._order[ranks[index]])

    def _sorted(self, sorting: Sorting) -> Positions:
        if sorting is Sorting.USEFULNESS:
            return np.arange(len(self._outline))
        return np.lexsort((self._outline.middle_slices(), self._outline.series_ids))
