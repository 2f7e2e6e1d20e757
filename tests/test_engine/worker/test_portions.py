"""Small tasks share a durable step, large ones have one each; what an older worker recorded counts as it is."""

from typing import Any

from lens_engine.store.catalog import Catalog
from lens_engine.worker.job import PORTION_SECONDS, one_portion, results_of
from lens_engine.worker.steps import detection_tasks


class Work:
    """Tasks that take so many seconds each on a clock of their own."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.now = 0.0

    def do(self, number: int) -> dict[str, Any]:
        self.now += self._seconds
        return {"number": number, "skipped": number > 0}

    def clock(self) -> float:
        return self.now


def test_tasks_that_take_longer_have_a_step_each() -> None:
    work = Work(PORTION_SECONDS)
    recorded = one_portion(work.do, 100, work.clock)
    assert recorded == {"portion": [{"number": 0, "skipped": False}], "skipped": False}


def test_small_tasks_share_a_step_for_a_time() -> None:
    work = Work(PORTION_SECONDS / 8)
    assert len(one_portion(work.do, 100, work.clock)["portion"]) == 8
    assert len(one_portion(work.do, 4, work.clock)["portion"]) == 4


def test_what_an_older_worker_recorded_is_one_task() -> None:
    assert results_of({"skipped": True, "boxes": {}}) == [{"skipped": True, "boxes": {}}]
    assert results_of({"portion": [{"boxes": {}}, {"boxes": {}}]}) == [{"boxes": {}}, {"boxes": {}}]


def test_each_task_says_which_series_comes_then_and_no_series_are_no_tasks(database):
    series = Catalog(database).all_series()
    tasks = [task for _, task in detection_tasks(series, "v1")]
    assert [task.series_id for task in tasks] == [one.id for one in series]
    assert [task.next_series_id for task in tasks] == [*(one.id for one in series[1:]), None]
    assert detection_tasks([], "v1") == []  # a mining that looks first finds everything looked at
