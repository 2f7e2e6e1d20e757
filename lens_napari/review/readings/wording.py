"""What is said of readings of the test set, at the shell and in the viewer."""

from collections.abc import Iterable

from lens_engine.findings import POSITIVE_VERDICTS
from lens_engine.geometry import VolumeGeometry
from lens_engine.store.readings.places import Place
from lens_engine.store.readings.records import ReadingRecord, ReadingRound
from lens_napari.editing.wording import slices_in_words
from lens_napari.review.readings.adjudication_store import DisputedSeries, slices_of
from lens_napari.review.readings.store import ReadingState, SubVolume
from lens_napari.review.settings import KeySettings, spoken
from lens_napari.review.wording import size_mm

MINUTE, HOUR = 60, 3600

ROUND_WORDS = {ReadingRound.INDEPENDENT: "reading", ReadingRound.ADJUDICATION: "adjudication"}

MARK_OF_STATE = {
    ReadingState.UNTOUCHED: "○",
    ReadingState.IN_PROGRESS: "◐",
    ReadingState.COMPLETE: "●",
    ReadingState.CLOSED: "–",
}
NO_SUB_VOLUMES = "No scan of a val or test patient in this project: lens add --split test adds some."
NOTHING_OPEN = "Choose a sub-volume in the list first."
NOTHING_LEFT = "Nothing is left for you in this test set."
STILL_LOADING = "Still loading the scan. Nothing was said: press again when it is on screen."
REOPENED = "In progress again: it is not measured on until it is complete."
BLIND = "Blind: no box of a model, none of another reader."
PRESS_AGAIN = "Press again to show it. That it was shown is recorded with this reading and exported."
SHOW_AIDS = "Show what the model found …"
NOT_SEARCHED = "No model has looked at this scan."

NOTHING_DISPUTED = "No series to adjudicate: readers agree about all that two have read."
ADJUDICATED = "Everything is adjudicated."
NO_PLACE = "Choose a place in the list first."
STILL_SAVING = "Still saving. Nothing was said: press again."
ALREADY_COMPLETE = "This series is complete. Take that back first; then go on. Nothing was changed."
NOT_MARKED = "This reader has marked nothing here."
ALL_SETTLED = "Every place is settled:"
SETTLED_BACK, SETTLED_AGAIN = "Taken back: what was said of this place.", "Said again: what was taken back."


def disputed_line(item: DisputedSeries) -> str:
    """Return a series to adjudicate as a line of the list."""
    if item.is_complete:
        return f"● {item.series.name} · complete"
    mark = "○" if item.reading is None else "◐"
    return f"{mark} {item.series.name} · {item.open_places} of {item.places} to settle"


def place_line(place: Place, geometry: VolumeGeometry) -> str:
    """Return a place where readers differ as a line of the list: where, who marked it, what is said of it."""
    first = place.first or place.second
    where = f"{slices_in_words(slices_of(first))} · {size_mm(first.box, geometry)}" if first is not None else ""
    who = "A and B" if len(place.marked) > 1 else "A only" if place.first is not None else "B only"
    return f"{_settled_words(place)} {who} · {where}"


def _settled_words(place: Place) -> str:
    if place.settled is None:
        return "○"
    return "✓" if place.settled.verdict in POSITIVE_VERDICTS else "✕"


def sub_volume_line(item: SubVolume) -> str:
    """Return a sub-volume as a line of the list."""
    time = f" · {time_words(item.reading.seconds)}" if item.reading is not None and item.reading.seconds >= 1 else ""
    return f"{MARK_OF_STATE[item.state]} {item.series.name} · {item.state}{time}"


def tally_words(items: Iterable[SubVolume]) -> str:
    """Return what is left for this reader."""
    states = [item.state for item in items]
    left = sum(state.is_left for state in states)
    complete, begun = states.count(ReadingState.COMPLETE), states.count(ReadingState.IN_PROGRESS)
    return f"{left} left · {begun} in progress · {complete} complete"


def completed_words(name: str, lesions: int) -> str:
    """Return what is said when a sub-volume was marked complete."""
    found = "no lesion: a normal scan" if lesions == 0 else f"{lesions} lesion{'s' if lesions > 1 else ''}"
    return f"● {name} is complete: {found}."


def is_complete_words(keys: KeySettings) -> str:
    """Return what is said to who changes something in a complete reading."""
    return f"This sub-volume is complete. {spoken(keys.complete)} takes that back; then go on. Nothing was changed."


def box_again(keys: KeySettings) -> str:
    """Return what is said when a box that could not be written is in work again."""
    return f"The box is in work again: {spoken(keys.accept)} tries once more, Esc drops it."


def lock_words(reading: ReadingRecord) -> str:
    """Return whether a reading is blind, for the reader himself."""
    shown = reading.aids_shown_at
    return BLIND if shown is None else f"Not blind since {shown:%Y-%m-%d %H:%M} UTC: the model's boxes were shown."


def time_words(seconds: float) -> str:
    """Return how long somebody worked: `45 s`, `12 min`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"


def blindness_words(reading: ReadingRecord) -> str:
    """Return whether a reading is blind, or since when it is not."""
    shown = reading.aids_shown_at
    return "yes" if shown is None else f"not since {shown:%Y-%m-%d %H:%M} UTC"
