"""The `lens` command: everything a button does, from a shell.

Run inside a project folder or with `--project DIR`. Exit codes: 0 all done, 1 something was refused or failed (said in
one message each), 2 the command line is wrong, 130 interrupted.
"""

import signal

from lens_engine.jobs.interrupts import answer_interrupts_with


def main() -> None:
    """Run the command line and leave with its exit code."""
    answer_interrupts_with("Interrupted.")
    # Only here: the libraries take a second to load, in which a Ctrl+C is to be understood already.
    from lens_napari.cli.app import run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
