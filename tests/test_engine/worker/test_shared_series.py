"""Jobs that share series, each with its meter, on one store and one clock that the test sets."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from support.projects.store_samples import detections_of, new_series

from lens_engine.findings import Split
from lens_engine.jobs.inputs import DetectInputs
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.worker.job import Meter
from lens_engine.worker.shared_series import SPEED_SECONDS, SharedSeries


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Worker:
    """Does the series of a job as a worker does: those with detections are skipped, those of others come last."""

    detections: Detections
    order: Sequence[int]
    clock: Clock
    meter: Meter
    shared: SharedSeries

    @classmethod
    def on(cls, database: Database, order: Sequence[int], clock: Clock) -> "Worker":
        detections = Detections(database)
        return cls(detections, order, clock, Meter(len(order), clock), SharedSeries(detections, "v1", order, clock))

    def seconds(self, claimed: set[int]) -> Iterator[None]:
        """Detect in one series each second, and yield when another second has to pass."""
        left = deque(self.order)
        while left:
            series_id = left.popleft()
            if series_id in claimed:
                left.append(series_id)
                yield
                continue
            self.meter.start_unit()
            is_done = self.detections.exists(series_id, "v1")
            if not is_done:
                claimed.add(series_id)
                yield
                self.detections.write(series_id, "v1", detections_of(1))
                claimed.remove(series_id)
            self.meter.finish_unit(worked=not is_done)
            self.shared.come_to(series_id, detected=not is_done)

    @property
    def progress(self) -> dict[str, float]:
        """What the job publishes after a look at the others."""
        self.shared.look()
        self.meter.see_others(self.shared.ahead, self.shared.others_per_second)
        return self.meter.progress("stage")


def run_for(seconds: int, clock: Clock, *running: Iterator[None]) -> None:
    """Let workers go on side by side; what they yielded for before is done a second later."""
    for _ in range(seconds):
        clock.now += 1
        for worker in running:
            next(worker, None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def claimed() -> set[int]:
    return set()


@pytest.fixture
def ids(database: Database) -> list[int]:
    return [
        Catalog(database).add_series(new_series(f"series {number}"), "universal", Split.TRAIN)[0].id
        for number in range(20)
    ]


def begun(*workers: Worker, claimed: set[int]) -> list[Iterator[None]]:
    """Let workers begin with their first series; what they are at is `claimed`."""
    running = [worker.seconds(claimed) for worker in workers]
    for one in running:
        next(one)
    return running


def test_two_jobs_say_from_the_start_when_both_will_have_ended(
    database: Database, ids: list[int], clock: Clock, claimed: set[int]
):
    shares = DetectInputs(series_ids=tuple(ids), model_version="v1").shared_by(2)
    workers = [Worker.on(database, share.series_ids, clock) for share in shares]
    running = begun(*workers, claimed=claimed)
    for second in (2, 4, 6, 8):
        run_for(2, clock, *running)
        for worker in workers:
            assert worker.progress["done"] == 2 * second
            assert worker.progress["eta_seconds"] == pytest.approx(10 - second)
    run_for(2, clock, *running)
    assert [worker.progress["done"] for worker in workers] == [20, 20]
    run_for(1, clock, *running)
    assert [worker.meter.done for worker in workers] == [20, 20]  # nothing is counted twice


def test_a_job_that_comes_late_begins_where_the_others_are(
    database: Database, ids: list[int], clock: Clock, claimed: set[int]
):
    first, second = DetectInputs(series_ids=tuple(ids), model_version="v1").shared_by(2)
    early = Worker.on(database, first.series_ids, clock)
    (running,) = begun(early, claimed=claimed)
    run_for(10, clock, running)
    late = Worker.on(database, second.series_ids, clock)
    assert (late.progress["done"], late.progress["eta_seconds"]) == (10, None)
    (coming,) = begun(late, claimed=claimed)
    run_for(4, clock, running, coming)
    assert late.progress["done"] == early.progress["done"] == 18
    assert late.progress["eta_seconds"] == pytest.approx(1.0)


def test_a_job_alone_says_what_its_own_units_say_also_when_it_goes_on(
    database: Database, ids: list[int], clock: Clock, claimed: set[int]
):
    for done in ids[:5]:
        Detections(database).write(done, "v1", detections_of(1))
    worker = Worker.on(database, ids, clock)
    (running,) = begun(worker, claimed=claimed)
    run_for(6, clock, running)
    assert (worker.progress["done"], worker.progress["eta_seconds"]) == (11, pytest.approx(9.0))
    assert (worker.shared.ahead, worker.shared.others_per_second) == (0, 0.0)


def test_of_jobs_that_overlap_only_the_series_of_both_count(
    database: Database, ids: list[int], clock: Clock, claimed: set[int]
):
    one, other = Worker.on(database, ids[:12], clock), Worker.on(database, ids[8:], clock)
    running = begun(one, other, claimed=claimed)
    run_for(8, clock, *running)
    assert (one.progress["done"], other.progress["done"]) == (12, 8)
    run_for(4, clock, *running)
    assert (one.meter.done, other.progress["done"]) == (12, 12)


def test_the_speed_of_others_that_are_gone_is_forgotten(
    database: Database, ids: list[int], clock: Clock, claimed: set[int]
):
    worker, other = Worker.on(database, ids, clock), Worker.on(database, ids[::-1], clock)
    own, gone = begun(worker, other, claimed=claimed)
    run_for(4, clock, own, gone)
    assert worker.progress["eta_seconds"] == pytest.approx(6)
    clock.now += SPEED_SECONDS
    worker.shared.look()
    clock.now += 2
    worker.shared.look()
    assert worker.shared.others_per_second == 0.0
    assert worker.shared.ahead == 4


def test_a_look_too_soon_asks_nothing(database: Database, ids: list[int], clock: Clock):
    shared = SharedSeries(Detections(database), "v1", ids, clock)
    Detections(database).write(ids[3], "v1", detections_of(1))
    clock.now = 1.0
    shared.look()
    assert shared.ahead == 0
    clock.now = 2.0
    shared.look()
    assert shared.ahead == 1


def test_what_this_job_stored_itself_is_never_taken_for_the_work_of_others(
    database: Database, ids: list[int], clock: Clock
):
    shared = SharedSeries(Detections(database), "v1", ids, clock)
    Detections(database).write(ids[0], "v1", detections_of(1))
    clock.now = 2.0
    shared.look()  # between storing and counting
    shared.come_to(ids[0], detected=True)
    clock.now = 4.0
    shared.look()
    assert (shared.ahead, shared.others_per_second) == (0, 0.0)
