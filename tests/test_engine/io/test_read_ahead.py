from collections.abc import Iterator

import pytest

from lens_engine.read_ahead import one_ahead


def test_all_items_come_in_their_order():
    assert list(one_ahead(iter(range(50)))) == list(range(50))
    assert list(one_ahead(iter(()))) == []


def test_only_one_item_is_read_before_it_is_asked_for():
    begun = []

    def items() -> Iterator[int]:
        for number in range(10):
            begun.append(number)
            yield number

    ahead = one_ahead(items())
    next(ahead)
    ahead.close()
    assert len(begun) <= 2


def test_an_error_of_the_reader_reaches_the_caller_after_what_came_before_it():
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the drive is gone")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the drive is gone"):
        next(ahead)
