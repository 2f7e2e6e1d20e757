import pytest

from lens_engine.worker.job import Meter


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def finish(meter, clock, seconds, worked=True):
    meter.start_unit()
    clock.now += seconds
    meter.finish_unit(worked)


def test_the_expected_end_comes_from_the_units_so_far(clock):
    meter = Meter(5, clock)
    finish(meter, clock, 10)
    finish(meter, clock, 20)
    progress = meter.progress("stage")
    assert (progress["done"], progress["total"]) == (2, 5)
    assert progress["eta_seconds"] == pytest.approx(3 * 15)


def test_units_done_before_do_not_make_the_rest_look_fast(clock):
    meter = Meter(4, clock)
    finish(meter, clock, 0.01, worked=False)
    finish(meter, clock, 10)
    assert meter.progress("stage")["eta_seconds"] == pytest.approx(20)


def test_part_of_the_first_unit_is_enough_for_an_expectation(clock):
    meter = Meter(2, clock)
    meter.start_unit()
    assert meter.progress("stage")["eta_seconds"] is None
    clock.now += 5
    assert meter.progress("stage", partial=0.5)["eta_seconds"] == pytest.approx(15)


def test_steps_before_a_resume_do_not_count_for_speed(clock):
    meter = Meter(0, clock)
    meter.total = 100
    clock.now = 30
    meter.catch_up(50)
    assert meter.progress("stage")["eta_seconds"] is None
    clock.now += 10
    meter.catch_up(60)
    assert meter.progress("stage")["eta_seconds"] == pytest.approx(40)


def test_what_others_do_counts_as_done_and_brings_the_end_nearer(clock):
    meter = Meter(10, clock)
    finish(meter, clock, 4)
    meter.see_others(ahead=3, per_second=0.5)
    progress = meter.progress("stage")
    assert progress["done"] == 4
    assert progress["eta_seconds"] == pytest.approx(6 / (1 / 4 + 0.5))


def test_others_alone_are_enough_for_an_expectation(clock):
    meter = Meter(10, clock)
    finish(meter, clock, 0.01, worked=False)
    meter.see_others(ahead=1, per_second=2.0)
    assert meter.progress("stage")["eta_seconds"] == pytest.approx(4)


def test_a_unit_in_work_that_is_stored_already_leaves_nothing_to_wait_for(clock):
    meter = Meter(1, clock)
    meter.start_unit()
    clock.now += 5
    meter.see_others(ahead=1, per_second=0.0)
    assert meter.progress("stage", partial=0.9)["eta_seconds"] == 0.0
