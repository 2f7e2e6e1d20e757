"""The line that confirms a verdict: "12: not a lesion · vessel ✓", 12 being the lesion's number in the list."""

from dataclasses import dataclass

from lens_engine.findings import Decision
from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import BoxState
from lens_napari.review.entries import STATE_OF_VERDICT
from lens_napari.review.wording import REASON_TEXT, VERDICT_TEXT

MARKS = {SaveState.PENDING: "○", SaveState.SAVED: "✓", SaveState.FAILED: "✕ not saved"}
OPEN_AGAIN = "open again"


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


def said_line(number: int, said: Decision | None, save_state: SaveState) -> SaidLine:
    """Return the line of a lesion by its number in the list; nothing holds for one that is open again."""
    mark = MARKS.get(save_state, "")
    if said is None:
        return SaidLine(f"{number:,}: {OPEN_AGAIN} {mark}".rstrip(), BoxState.PLAIN, save_state)
    reason = REASON_TEXT[said.reason_code] if said.reason_code else ""
    parts = filter(None, [VERDICT_TEXT[said.verdict], reason, said.lesion_type])
    state = STATE_OF_VERDICT.get(said.verdict, BoxState.PLAIN)
    return SaidLine(f"{number:,}: {' · '.join(parts)} {mark}".rstrip(), state, save_state)
