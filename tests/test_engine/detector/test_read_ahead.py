import threading

import pytest

from lens_engine.detector.read_ahead import read_ahead


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_pieces_come_in_order_and_from_one_other_thread():
    made_in = set()

    def make(index):
        made_in.add(threading.current_thread().name)
        return index * index

    assert list(read_ahead(make, 20, 3)) == [index * index for index in range(20)]
    assert len(made_in) == 1
    assert threading.current_thread().name not in made_in
    assert not reading_threads()


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_no_more_than_wanted_is_made_ahead(ahead):
    made = []
    for taken, _ in enumerate(read_ahead(made.append, 12, ahead), start=1):
        assert len(made) <= taken + ahead


def test_an_error_comes_in_its_turn_and_ends_the_thread():
    def make(index):
        if index == 3:
            raise OSError("the disk is gone")
        return index

    pieces, taken = read_ahead(make, 10, 5), []
    with pytest.raises(OSError, match="disk is gone"):
        taken.extend(pieces)
    assert not reading_threads()


def test_closing_early_ends_the_thread():
    pieces = read_ahead(lambda index: index, 1000, 5)
    assert next(pieces) == 0
    pieces.close()
    assert not reading_threads()


def test_nothing_to_make_needs_no_thread():
    assert list(read_ahead(lambda index: index, 0, 5)) == []
