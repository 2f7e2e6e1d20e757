"""`python -m soak.reader PROJECT NOTES SEED`: a viewer whose keys are pressed, and what the reader in front of it saw.

Each line of the notes is a word, the number of a lesion, and a verdict. `pressed` is written before the key is, `saved`
once the screen says that the verdict is on disk: whoever reads that relies on it. A line is flushed to the disk, so
that the process may be killed at any moment.
"""

import os
import random
import sys
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from lens_engine.findings import Verdict
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until
from lens_napari.review.acts import SaveState

KEYS = {Verdict.ACCEPTED: Qt.Key.Key_Y, Verdict.REJECTED: Qt.Key.Key_N, Verdict.UNSURE: Qt.Key.Key_U}
PATIENCE_SECONDS = 120.0
SAVE_SECONDS = 30.0
READY, PRESSED, SAVED = "ready", "pressed", "saved"


class Notes:
    """Lines that outlive a kill."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, word: str, lesion: int, verdict: str) -> None:
        """Add a line; it is on the disk when this returns."""
        self._file.write(f"{word} {lesion} {verdict}\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read(review: ReviewController, notes: Notes, numbers: random.Random) -> int:
    """Press keys until nothing is left to be asked; return an exit code that says whether a lesion failed to come."""
    canvas: QWidget = review.viewer.window._qt_viewer.canvas.native
    while wait_ready(review, PATIENCE_SECONDS):
        if review.current is None:
            return 0
        lesion, verdict = review.current.id, numbers.choice(list(KEYS))
        notes.write(PRESSED, lesion, verdict.value)
        QTest.keyClick(canvas, KEYS[verdict])
        wait_until(lambda lesion=lesion: _state(review, lesion) is not SaveState.PENDING, SAVE_SECONDS)
        if _state(review, lesion) is SaveState.SAVED:
            notes.write(SAVED, lesion, verdict.value)
    return 3


def _state(review: ReviewController, lesion: int) -> SaveState:
    return review.session.said_line(lesion).save_state


if __name__ == "__main__":
    folder, kept, seed = Path(sys.argv[1]), Notes(Path(sys.argv[2])), int(sys.argv[3])
    opened = open_project(folder, start_worker=False)
    wait_ready(opened, PATIENCE_SECONDS)
    kept.write(READY, 0, "")
    sys.exit(read(opened, kept, random.Random(seed)))
