"""What is said of readings of the test set, at the shell and in the viewer."""

from lens_engine.store.readings.records import ReadingRecord, ReadingRound

MINUTE, HOUR = 60, 3600

ROUND_WORDS = {ReadingRound.INDEPENDENT: "reading", ReadingRound.ADJUDICATION: "adjudication"}


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
