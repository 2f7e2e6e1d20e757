"""What stands over the picture after a verdict."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lens_engine.findings import Decision, ReasonCode, Verdict
from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import BoxState
from lens_napari.review.saying.said_line import said_line

REJECTED = Decision(
    1, 1, Verdict.REJECTED, (1.0, 1.0, 1.0, 2.0, 2.0, 2.0), (), "Reader B", datetime(2026, 3, 1, tzinfo=UTC)
)
VESSEL = replace(REJECTED, reason_code=ReasonCode.VESSEL)
TYPED = replace(REJECTED, verdict=Verdict.ADJUSTED, lesion_type="lung nodule")


@pytest.mark.parametrize(
    ("holds", "save_state", "words"),
    [
        (VESSEL, SaveState.PENDING, "1,012: not a lesion · vessel ○"),
        (VESSEL, SaveState.SAVED, "1,012: not a lesion · vessel ✓"),
        (TYPED, SaveState.SAVED, "1,012: lesion (adjusted) · lung nodule ✓"),
        (None, SaveState.SAVED, "1,012: open again ✓"),
        (None, SaveState.FAILED, "1,012: not saved ✕"),
        (VESSEL, SaveState.FAILED, "1,012: not saved ✕"),
        (REJECTED, SaveState.SETTLED, "1,012: not a lesion, says Reader B"),
    ],
)
def test_the_line_says_what_holds_and_whether_it_is_on_disk(
    holds: Decision | None, save_state: SaveState, words: str
) -> None:
    assert said_line(1012, holds, save_state).words == words


@pytest.mark.parametrize(
    ("holds", "state"), [(None, BoxState.PLAIN), (VESSEL, BoxState.REJECTED), (TYPED, BoxState.ACCEPTED)]
)
def test_the_line_has_the_colour_of_the_box(holds: Decision | None, state: BoxState) -> None:
    assert said_line(1, holds, SaveState.SAVED).state is state
