"""What is said about boxes in work, drawn lesions and lengths, in a reader's words."""

from dataclasses import dataclass

from lens_engine.findings import Verdict, box_from_slices
from lens_engine.geometry import VolumeGeometry
from lens_napari.editing.draft import Draft, Purpose, Slices
from lens_napari.editing.drawn import DrawnLesion, DrawnWrite
from lens_napari.review.acts import SaveState
from lens_napari.review.box_table import BoxState
from lens_napari.review.saying.said_line import MARKS, SaidLine
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.review.wording import NOTHING_SAID, size_mm

TITLES = {
    Purpose.ADJUST: "Box in work",
    Purpose.DRAW: "New lesion",
    Purpose.CHANGE: "Drawn lesion",
}
NO_SCAN = f"No scan is on screen. {NOTHING_SAID}"
SCAN_LOADS = "Still loading the scan. Nothing was changed: press again when it is on screen."
BEGIN_INSIDE = "Begin inside the scan. Nothing was drawn."
TOO_SMALL = "The box is smaller than a voxel. Nothing was drawn: drag again."
NOT_DRAWN_YET = f"Nothing is drawn yet: drag a box over the lesion, or leave with Esc. {NOTHING_SAID}"
NO_LENGTH = "Nothing was measured: drag from one end to the other."
ANOTHER_SERIES = "A box is in work in another series: going back to it. Nothing was said."
ANOTHER_LESION = "The box of another lesion is in work: going back to it. Nothing was said."
IN_ANOTHER_SERIES = "A box is in work in another series."
CHANGED, DELETED = "The drawn lesion was changed.", "The drawn lesion was deleted."
TAKEN_BACK, DONE_AGAIN = "Taken back: what was drawn last.", "Done again: what was drawn last."
NO_BOX = "No box is in work."
DETECTOR_SEES_NOTHING = "The detector sees nothing here: move the ends by hand. Nothing was changed."
DETECTOR_ADDS_NOTHING = "The detector sees it on no further slice. Nothing was changed."
NOT_CHOSEN = "Choose a drawn lesion in the list first. Nothing was deleted."
MEASURE = "Drag from one end to the other."
SAVED_MARKS = {SaveState.PENDING: "○", SaveState.SAVED: "●", SaveState.FAILED: "✕"}


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """A drawn lesion as a line of the list."""

    number: int
    text: str


def drawn_line(write: DrawnWrite, save_state: SaveState) -> SaidLine:
    """Return the line that confirms what was said of a drawn lesion."""
    is_deleted = write.said.verdict is Verdict.WITHDRAWN
    done = "deleted" if is_deleted else "changed" if write.was_there else "added"
    words = "not saved ✕" if save_state is SaveState.FAILED else f"{done} {MARKS.get(save_state, '')}".rstrip()
    kind = f" · {write.said.lesion_type}" if write.said.lesion_type else ""
    state = BoxState.PLAIN if is_deleted else BoxState.ACCEPTED
    return SaidLine(f"drawn lesion, {slices_in_words(write.said.slices)}{kind}: {words}", state, save_state)


def how_to(purpose: Purpose, keys: KeySettings) -> str:
    """Return what to do with a box that has just come into work."""
    end = f"{spoken(keys.accept)} keeps it, Esc drops it."
    if purpose is Purpose.DRAW:
        return f"Drag a box over the lesion on this slice. {end}"
    return f"Drag edge, corner or inside, slice by slice. {end}"


def finish_first(keys: KeySettings) -> str:
    """Return what is said when something else is wanted while a box is in work."""
    return f"A box is in work: {spoken(keys.accept)} keeps it, Esc drops it. {NOTHING_SAID}"


def drawn_is_chosen(keys: KeySettings) -> str:
    """Return what is said when a verdict is given while a drawn lesion is chosen."""
    types = f"{spoken(keys.lesion_types[0])} to {spoken(keys.lesion_types[-1])} type"
    ways = f"{spoken(keys.change_box)} box, {spoken(keys.delete_drawn)} delete, {types}, Esc back"
    return f"A drawn lesion is chosen: {ways}. {NOTHING_SAID}"


def added_words(slices: Slices) -> str:
    """Return what is said when a lesion was drawn."""
    return f"Lesion added on {slices_in_words(slices)}."


def followed_words(slices: Slices) -> str:
    """Return what is said when a box has got the slices on which the detector sees it."""
    return f"Now on {slices_in_words(slices)}, as the detector sees it: look through them."


def slices_in_words(slices: Slices) -> str:
    """Return first and last slice, counted from 1."""
    first, last = slices[0].slice_index + 1, slices[-1].slice_index + 1
    return f"slice {first}" if first == last else f"slices {first} to {last}"


def draft_words(draft: Draft, geometry: VolumeGeometry) -> str:
    """Return what box is in work, and its size."""
    size = f": {size_mm(box_from_slices(draft.slices), geometry)}" if draft.slices else ""
    return f"{TITLES[draft.purpose]}{size}"


def drawn_row(lesion: DrawnLesion, geometry: VolumeGeometry) -> DrawnRow:
    """Return a drawn lesion as a line of the list."""
    decision = lesion.decision
    where = slices_in_words(decision.slices) if decision.slices else ""
    words = filter(None, [where, size_mm(decision.box, geometry), decision.lesion_type])
    return DrawnRow(lesion.number, f"{SAVED_MARKS.get(lesion.save_state, '')} {' · '.join(words)}")
