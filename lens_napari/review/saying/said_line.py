"""The line that confirms a verdict: "12: not a lesion · vessel ✓", 12 being the lesion's number in the list."""

from dataclasses import dataclass

from lens_engine.findings import Decision
from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import BoxState
from lens_napari.review.entries import STATE_OF_VERDICT
from lens_napari.review.wording import REASON_TEXT, VERDICT_TEXT

MARKS = {SaveState.PENDING: "○", SaveState.SAVED: "✓"}
OPEN_AGAIN, NOT_SAVED = "open again", "not saved ✕"


@dataclass(frozen=True, slots=True)
class SaidLine:
    """What was said of one lesion.

    Attributes
    ----------
    state
        How its box is drawn from now on; the line has its colour.
    """

    words: str
    state: BoxState
    save_state: SaveState


def said_line(number: int, holds: Decision | None, save_state: SaveState) -> SaidLine:
    """Return the line of a lesion by its number in the list; nothing holds for one that is open."""
    state = BoxState.PLAIN if holds is None else STATE_OF_VERDICT.get(holds.verdict, BoxState.PLAIN)
    if save_state is SaveState.FAILED:
        words = NOT_SAVED
    elif holds is None:
        words = OPEN_AGAIN
    elif save_state is SaveState.SETTLED:
        words = f"{VERDICT_TEXT[holds.verdict]}, says {holds.reader}"
    else:
        reason = REASON_TEXT[holds.reason_code] if holds.reason_code else ""
        words = " · ".join(filter(None, [VERDICT_TEXT[holds.verdict], reason, holds.lesion_type]))
    return SaidLine(f"{number:,}: {words} {MARKS.get(save_state, '')}".rstrip(), state, save_state)
