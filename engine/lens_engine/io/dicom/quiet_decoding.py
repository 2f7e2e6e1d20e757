"""Decode without the lines that the decoders write to the console by themselves: what is wrong is said in our words.

OpenJPEG and GDCM write to the standard error of the process, below Python; so it is turned away as a whole, by one
thread at a time and for the milliseconds that a slice takes.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_STANDARD_ERROR = 2
_turning = Lock()


@contextmanager
def quiet_decoding() -> Iterator[None]:
    """Turn away what is written to the standard error of the process within the block."""
    with _turning:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            kept = os.dup(_STANDARD_ERROR)
        except OSError:  # a program without a console, as started from a desktop, has none to turn away
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, _STANDARD_ERROR)
            yield
        finally:
            os.dup2(kept, _STANDARD_ERROR)
            os.close(kept)
            os.close(nowhere)
