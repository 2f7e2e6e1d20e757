"""The list of lesions of a large project: read as columns against read as records, and what a verdict costs in it."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.measure import Comparison, Growth, compare
from benchmarks.review.viewer_project import EXPERTS
from benchmarks.review.worklist_project import CANDIDATES_OF_SERIES, DECIDED_SHARE, make_worklist_project
from lens_engine.findings import FUSED, Rule, Split, Verdict
from lens_engine.project import Project
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.queue.outline import KINDS, OPEN, QueueOutline
from lens_napari.review.session import ReviewSession
from lens_napari.review.worklist.filters import WorklistFilter

LINES_ON_SCREEN = 30
VERDICTS = 50
VERY_MANY = 1_000_000
PAGE_SECONDS = 0.05


def run(*, full: bool) -> list[Comparison]:
    """Return what opening the list costs, relative to reading everything that is stored of its lesions."""
    series = 10_000 if full else 1_000
    with _opened(series) as database:
        candidates = Candidates(database)
        row = compare(
            f"the list of {series * CANDIDATES_OF_SERIES} lesions, {series} series",
            "their records",
            lambda: candidates.queue(split=Split.TRAIN, include_decided=True),
            lambda: candidates.outline(Split.TRAIN),
            repeats=1 if full else 3,
        )
    return [row.wanted(5.0), _page(VERY_MANY)]


def _page(lesions: int) -> Comparison:
    """Return how long a page of a list of very many takes after a step to the next lesion; the baseline is the most."""
    session = ReviewSession(_outline_of(lesions), "Reader A")
    seconds, cpu_seconds = [], []
    for _ in range(VERDICTS):
        started, cpu_started = time.perf_counter(), time.process_time()
        session.go_next()
        _show(session)
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    page, cpu = statistics.median(seconds), statistics.median(cpu_seconds)
    name = f"a page of the list of {lesions} lesions"
    return Comparison(name, "the most", PAGE_SECONDS, page, PAGE_SECONDS, cpu, goal=1.0)


def _outline_of(lesions: int) -> QueueOutline:
    """Return a list as it is read, ten lesions in each series and a tenth of them decided, without a database."""
    generator = np.random.default_rng(0)
    low = generator.uniform((15, 15, 2), (90, 90, 40), (lesions, 3))
    return QueueOutline(
        mining_run=1,
        model_version="v1",
        experts=(FUSED, *EXPERTS),
        ids=np.arange(1, lesions + 1),
        series_ids=np.arange(lesions) // CANDIDATES_OF_SERIES + 1,
        kinds=generator.integers(0, len(KINDS), lesions).astype(np.int8),
        rules=generator.random((lesions, len(Rule))) < 1 / len(Rule),
        scores=generator.random((lesions, 1 + len(EXPERTS))),
        boxes=np.hstack([low, low + 10]),
        verdicts=np.where(generator.random(lesions) < DECIDED_SHARE, 0, OPEN).astype(np.int8),
        comments={},
    )


def growth(*, full: bool) -> list[Growth]:
    """Return how a verdict and a filter grow with the list: a verdict hardly, a filter not more than the list."""
    few, many = 100, 10_000 if full else 1_000
    costs: list[tuple[float, float]] = []
    for series in (few, many):
        with _opened(series) as database:
            costs.append((_verdict_ms(database), _filter_ms(database)))
    names = f"{few * CANDIDATES_OF_SERIES} lesions", f"{many * CANDIDATES_OF_SERIES} lesions"
    limits = many / few / 4, many / few
    return [
        Growth(what, names[0], costs[0][i], names[1], costs[1][i], "ms", limits[i])
        for i, what in enumerate(("a verdict, until the list is shown", "a filter, until the list is shown"))
    ]


@contextmanager
def _opened(series: int) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Project.open(make_worklist_project(Path(folder), series)))
        yield database
        database.close()


def _session(database: Database) -> ReviewSession:
    series = {record.id: record for record in Catalog(database).all_series(with_images=True)}
    return ReviewSession(Candidates(database).outline(), "Reader A", series=series)


def _verdict_ms(database: Database) -> float:
    session, candidates, seconds = _session(database), Candidates(database), 0.0
    for _ in range(VERDICTS):
        session.learn(candidates.of_series(session.asked_series or 0, session.outline.mining_run or 0))
        started = time.perf_counter()
        session.decide(Verdict.ACCEPTED)
        _show(session)
        seconds += time.perf_counter() - started
    return seconds / VERDICTS * 1000


def _filter_ms(database: Database) -> float:
    session = _session(database)
    wanted = [WorklistFilter(rule=rule, text="chest", least_score=0.5) for rule in Rule]
    started = time.perf_counter()
    for one in wanted:
        session.narrow(one)
        _show(session)
    return (time.perf_counter() - started) / len(wanted) * 1000


def _show(session: ReviewSession) -> None:
    session.tally()
    _ = session.rows()[:LINES_ON_SCREEN]
