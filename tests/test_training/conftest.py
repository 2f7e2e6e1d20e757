"""Fixtures of all tests of the training."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def keep_signal_handlers() -> Iterator[None]:
    """Give back the signals that a training takes over."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
