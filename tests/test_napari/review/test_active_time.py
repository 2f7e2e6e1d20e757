from lens_napari.review.readings.active_time import IDLE_SECONDS, ActiveTime


class Clock:
    """Seconds as the test says."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_counts_from_one_act_to_the_next_but_not_over_a_pause() -> None:
    clock = Clock()
    time = ActiveTime(clock)
    time.act()
    clock.now += 10
    time.act()
    clock.now += IDLE_SECONDS + 1
    time.act()
    clock.now += 5
    time.act()
    assert time.take() == 15.0
    assert time.take() == 0.0


def test_another_window_is_no_work() -> None:
    clock = Clock()
    time = ActiveTime(clock)
    time.act()
    clock.now += 10
    time.pause()
    clock.now += 20
    time.act()
    assert time.take() == 10.0
