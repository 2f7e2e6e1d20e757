"""How far the readers of a project agree: for each series that was read twice, and for each two readers in total.

The sensitivity of a reader is measured against what is true of the series whose differences are settled; both readers
made that truth, so it says who overlooked what, not how good a reader is elsewhere.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from lens_engine.evaluation.agreement import Agreement, ReadTwice, agreement_of, found_lesions
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.readings.places import box_array
from lens_engine.store.readings.truth import ReadSeries, read_series

SEED = 0
"""Of the draws for the intervals: the same readings give the same figures."""


@dataclass(frozen=True, slots=True)
class ReaderSensitivity:
    """How many of the true lesions a reader marked."""

    found: int
    lesions: int

    @property
    def value(self) -> float:
        """The share, NaN without a lesion."""
        return self.found / self.lesions if self.lesions else float("nan")


@dataclass(frozen=True, slots=True)
class SeriesAgreement:
    """Two readings of one series.

    Attributes
    ----------
    readers
        In alphabetical order; the figures call them first and second.
    open_places
        Where they differ and nobody has settled it.
    """

    series: SeriesRecord
    readers: tuple[str, str]
    figures: Agreement
    open_places: int


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two readers over all series that both have read.

    Attributes
    ----------
    settled
        Series whose truth is known; `sensitivities` are over these.
    sensitivities
        Of each reader, against that truth.
    """

    readers: tuple[str, str]
    figures: Agreement
    settled: int
    sensitivities: tuple[ReaderSensitivity, ReaderSensitivity]


def series_agreements(database: Database) -> tuple[SeriesAgreement, ...]:
    """Return how far the readers of every series with two complete readings agree, in the order of the series."""
    return tuple(
        SeriesAgreement(
            series=record,
            readers=_readers(read),
            figures=agreement_of([_twice(record, read)], np.random.default_rng(SEED)),
            open_places=read.comparison.open_places if read.comparison else 0,
        )
        for record, read in _read_twice(database)
    )


def pair_agreements(database: Database) -> tuple[PairAgreement, ...]:
    """Return how far each two readers agree over all series that both have read, in alphabetical order."""
    together: dict[tuple[str, str], list[tuple[SeriesRecord, ReadSeries]]] = defaultdict(list)
    for record, read in _read_twice(database):
        together[_readers(read)].append((record, read))
    return tuple(_pair(readers, together[readers]) for readers in sorted(together))


def _read_twice(database: Database) -> list[tuple[SeriesRecord, ReadSeries]]:
    with database.reading() as session:
        found = {series_id: item for series_id, item in read_series(session).items() if item.comparison is not None}
    ids = sorted(found)
    return list(zip(Catalog(database).some_series(ids), (found[number] for number in ids), strict=True))


def _readers(read: ReadSeries) -> tuple[str, str]:
    first, second = sorted(item.reader for item in read.readings)
    return first, second


def _twice(record: SeriesRecord, read: ReadSeries) -> ReadTwice:
    marked = {reading.reader: box_array(lesions) for reading, lesions in zip(read.readings, read.lesions, strict=True)}
    first, second = _readers(read)
    return ReadTwice(record.patient_code, marked[first], marked[second])


def _pair(readers: tuple[str, str], series: list[tuple[SeriesRecord, ReadSeries]]) -> PairAgreement:
    read = [_twice(record, item) for record, item in series]
    settled = [
        (box_array(item.truth), one) for one, (_, item) in zip(read, series, strict=True) if not item.is_disputed
    ]
    lesions = sum(len(truth) for truth, _ in settled)
    return PairAgreement(
        readers=readers,
        figures=agreement_of(read, np.random.default_rng(SEED)),
        settled=len(settled),
        sensitivities=(
            ReaderSensitivity(sum(found_lesions(truth, one.first) for truth, one in settled), lesions),
            ReaderSensitivity(sum(found_lesions(truth, one.second) for truth, one in settled), lesions),
        ),
    )
