"""A Ctrl+C in the first moments of a program: while its libraries are loaded, and while one program becomes another."""

import os
import signal
import sys
from types import FrameType


def answer_interrupts_with(words: str) -> None:
    """End with a line and the exit code of a Ctrl+C, until the program has a handler of its own.

    An exception would be half that of a library. One that came since `leave_interrupts_to_the_next` is answered too.
    Only in the main thread.
    """

    def end_at_once(number: int, _frame: FrameType | None) -> None:
        sys.stderr.write(f"{words}\n")
        sys.stderr.flush()
        os._exit(128 + number)

    signal.signal(signal.SIGINT, end_at_once)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def leave_interrupts_to_the_next() -> None:
    """Have a Ctrl+C wait for the program that this one is about to become; it begins with `answer_interrupts_with`."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
