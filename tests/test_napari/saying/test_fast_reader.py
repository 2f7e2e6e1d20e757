"""A reader who presses 600 keys as fast as they come, in a window that moves under his hands."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from support.projects.review_project import history_on_disk

from lens_engine.findings import ReasonCode, Verdict
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_saved
from lens_napari.review.box_table import CANDIDATES

PRESSES = 600
PATIENCE_SECONDS = 120.0
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
NONE = Qt.KeyboardModifier.NoModifier
VERDICTS = {
    Qt.Key.Key_Y: Verdict.ACCEPTED,
    Qt.Key.Key_N: Verdict.REJECTED,
    Qt.Key.Key_U: Verdict.UNSURE,
}
REASONS = {Qt.Key.Key_V: ReasonCode.VESSEL, Qt.Key.Key_C: ReasonCode.DUPLICATE}
MOVES = (Qt.Key.Key_J, Qt.Key.Key_K, Qt.Key.Key_G)
Press = Callable[..., None]
Said = tuple[Verdict, ReasonCode | None]


@dataclass
class Notes:
    """What the reader would write down: every word that must be on disk, in order, and what holds for each lesion."""

    words: list[tuple[int, Verdict, ReasonCode | None]] = field(default_factory=list)
    holds: dict[int, Said | None] = field(default_factory=dict)
    done: list[tuple[int, Said | None, Said]] = field(default_factory=list)
    undone: list[tuple[int, Said | None, Said]] = field(default_factory=list)
    rejected: int | None = None

    def say(self, lesion: int, verdict: Verdict) -> None:
        self.done.append((lesion, self.holds.get(lesion), (verdict, None)))
        self.undone.clear()
        self._write(lesion, (verdict, None))
        self.rejected = lesion if verdict is Verdict.REJECTED else None

    def add_reason(self, reason: ReasonCode, seen: int | None) -> None:
        """Say why the lesion just rejected is none, or else the rejected one on screen; again takes it away."""
        lesion = seen if self.rejected is None else self.rejected
        known = None if lesion is None else self.holds.get(lesion)
        if lesion is None or known is None or known[0] is not Verdict.REJECTED:
            return
        said = Verdict.REJECTED, None if known[1] is reason else reason
        before = known if self.rejected is None else self.done.pop()[1]
        self.done.append((lesion, before, said))
        self.undone.clear()
        self._write(lesion, said)

    def undo(self) -> None:
        if self.done:
            step = self.done.pop()
            self.undone.append(step)
            self._write(step[0], step[1])
            self.rejected = None

    def redo(self) -> None:
        if self.undone:
            step = self.undone.pop()
            self.done.append(step)
            self._write(step[0], step[2])
            self.rejected = None

    def _write(self, lesion: int, said: Said | None) -> None:
        self.holds[lesion] = said
        self.words.append((lesion, *(said or (Verdict.WITHDRAWN, None))))


def displayed(review: ReviewController) -> int | None:
    """Return the lesion whose thick box is drawn inside the window: what a reader sees, asked of napari alone."""
    layers, viewer, lesion = review.view.layers, review.viewer, review.current
    boxes = layers.boxes[CANDIDATES]
    shown, scan = review.shown_series, lesion.candidate.series_id if lesion else None
    if lesion is None or shown is None or shown.id != scan or not boxes.visible or not boxes.nshapes:
        return None
    corners = boxes.data[-1]
    here = [one.box for one in lesion.candidate.finding.slices if one.slice_index == viewer.dims.current_step[0]]
    low = corners[:, 1:].min(axis=0) + 0.5
    if not here or abs(low - [here[0][1], here[0][0]]).max() > 1e-3:
        return None
    middle = corners[:, 1:].mean(axis=0) * boxes.scale[1:]
    half = [side / viewer.scene.camera.zoom / 2 for side in viewer.canvas.size]
    return lesion.id if (abs(middle - viewer.scene.camera.center[-2:]) < half).all() else None


def disturb(review: ReviewController, press: Press, chance: random.Random) -> bool:
    """Do something that moves or hides the picture; return whether the reader chose another lesion by it."""
    viewer = review.viewer
    last = viewer.dims.nsteps[0] - 1
    other = chance.choice(sorted(review._series))
    doings: list[Callable[[], object]] = [
        lambda: viewer.dims.set_current_step(0, chance.randint(0, last)),
        lambda: setattr(viewer.scene.camera, "center", (0.0, chance.uniform(-900, 900), chance.uniform(-900, 900))),
        lambda: press(Qt.Key.Key_H),
        lambda: setattr(review.view.layers.boxes[CANDIDATES], "visible", False),
        lambda: review.worklist.series_box.series_chosen.emit(other),
        lambda: review.worklist.lesion_chosen.emit(chance.choice(review.session.outline.ids.tolist())),
    ]
    chosen = chance.choice(doings)
    chosen()
    return chosen is doings[-1]


@pytest.mark.slow
def test_of_600_keys_none_is_lost_doubled_or_applied_to_what_was_not_displayed(
    review: ReviewController, press: Press, project_folder: Path
) -> None:
    chance, notes = random.Random(7), Notes()
    assert wait_ready(review, PATIENCE_SECONDS)
    blind = 0
    for _ in range(PRESSES):
        if chance.random() < 0.15 and disturb(review, press, chance):
            notes.rejected = None
        kind = chance.choices(["verdict", "move", "reason", "undo", "redo"], [60, 16, 10, 9, 5])[0]
        if kind == "verdict":
            key = chance.choice(list(VERDICTS))
            seen = displayed(review) if review.is_ready else None
            blind += seen is None
            press(key)
            if seen is not None:
                notes.say(seen, VERDICTS[key])
        elif kind == "move":
            key = chance.choice(MOVES)
            press(key)
            notes.rejected = notes.rejected if key == Qt.Key.Key_G else None
        elif kind == "reason":
            key = chance.choice(list(REASONS))
            seen = displayed(review) if review.is_ready else None
            press(key)
            notes.add_reason(REASONS[key], seen)
        elif kind == "undo":
            press(Qt.Key.Key_Z, CONTROL)
            notes.undo()
        else:
            press(Qt.Key.Key_Z, CONTROL | SHIFT)
            notes.redo()
        QTest.qWait(chance.choice([0, 0, 1, 20, 60]))
    assert wait_saved(review, PATIENCE_SECONDS)
    stored = [(one.candidate_id, one.verdict, one.reason_code) for one in history_on_disk(project_folder)]
    assert stored == notes.words
    assert blind > PRESSES // 20
    assert len(stored) > PRESSES // 8  # the rest came too early, or changed nothing
    known = {entry.record.id: entry.decision for entry in review.session.entries}
    for lesion, holds in notes.holds.items():
        decision = known[lesion]
        assert (None if decision is None else (decision.verdict, decision.reason_code)) == holds
