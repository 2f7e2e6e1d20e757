"""Run a module as a program that ends with its parent.

`python -m lens_engine.worker.end_with_parent MODULE [ARGUMENT...]`

The parent holds our standard input open; when it dies, the input closes and our whole process group is killed. This
works on every system, and for programs that know nothing of it.
"""

import os
import runpy
import sys
import threading

from lens_engine.worker.process import kill_group

PARENT_DIED = 137


def end_with_parent() -> None:
    """Start the thread that waits for the end of the standard input, and with it of our parent."""
    threading.Thread(target=_wait_for_end_of_input, name="parent-watch", daemon=True).start()


def die() -> None:
    """End this process and its group at once."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        kill_group(os.getpid())
    os._exit(PARENT_DIED)


def _wait_for_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        continue
    die()


if __name__ == "__main__":
    end_with_parent()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
