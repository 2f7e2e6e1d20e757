import threading
from collections.abc import Iterator

import pytest

from lens_engine.read_ahead import read_ahead


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_all_items_come_in_their_order(ahead: int):
    assert list(read_ahead(iter(range(50)), ahead)) == list(range(50))
    assert list(read_ahead(iter(()), ahead)) == []
    assert not reading_threads()


def test_an_item_may_be_nothing_at_all():
    assert list(read_ahead(iter([None, 0, None]), 1)) == [None, 0, None]


def test_all_items_are_read_in_one_other_thread():
    read_in = set()

    def items() -> Iterator[int]:
        for number in range(20):
            read_in.add(threading.current_thread().name)
            yield number

    assert list(read_ahead(items(), 3)) == list(range(20))
    assert len(read_in) == 1
    assert threading.current_thread().name not in read_in


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_no_more_than_wanted_is_read_ahead(ahead: int):
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(12):
            read.append(number)
            yield number

    for taken, _ in enumerate(read_ahead(items(), ahead), start=1):
        assert len(read) <= taken + ahead


def test_the_next_item_is_read_while_the_caller_works():
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    ahead = read_ahead(items(), 1)
    next(ahead)
    assert second.wait(timeout=10)
    ahead.close()


def test_an_error_of_the_reader_comes_in_its_turn_and_ends_the_thread():
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the drive is gone")

    ahead = read_ahead(items(), 5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="the drive is gone"):
        next(ahead)
    assert not reading_threads()


def test_closing_early_ends_the_thread():
    ahead = read_ahead(iter(range(1000)), 5)
    assert next(ahead) == 0
    ahead.close()
    assert not reading_threads()
