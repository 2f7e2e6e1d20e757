import gc

import pytest

from lens_engine.store.reading_at_once import collector_at_rest


def test_the_collector_rests_until_the_last_reader_is_done() -> None:
    with collector_at_rest():
        with collector_at_rest():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_works_again_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="half way"), collector_at_rest():
        raise RuntimeError("half way")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_at_rest():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
