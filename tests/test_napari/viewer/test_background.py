"""Lanes that end while something in them does not."""

import time
from threading import Event

from pytestqt.qtbot import QtBot
from support.processes.waiting import FOR_EVER_SECONDS

from lens_napari.viewer.background import Lane


def test_a_lane_that_closes_within_a_time_finishes_what_was_asked_of_it(qtbot: QtBot) -> None:
    lane, done = Lane("test"), []
    for number in range(3):
        lane.submit(lambda number=number: done.append(number), lambda _: None, lambda _: None)
    lane.close_within(5.0)
    assert done == [0, 1, 2]


def test_a_lane_whose_work_hangs_is_left_behind(qtbot: QtBot) -> None:
    lane, never = Lane("test"), Event()
    lane.submit(lambda: never.wait(FOR_EVER_SECONDS), lambda _: None, lambda _: None)
    started = time.monotonic()
    lane.close_within(0.2)
    assert time.monotonic() - started < FOR_EVER_SECONDS
    never.set()  # the interpreter joins its threads at its end
