"""What the tour says, step by step, and about which panel. Needs neither Qt nor napari."""

from dataclasses import dataclass
from enum import StrEnum

from lens_napari.review.settings import HELP_KEY, KeySettings, spoken


class About(StrEnum):
    """What a step is about."""

    LIST = "the list"
    PICTURE = "the picture"
    REASON = "why you are asked"
    VERDICT = "your verdict"
    BOXES = "whose boxes you see"
    LEARNING = "what becomes of it"


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes
    ----------
    text
        One or two sentences in the words of a reader.
    """

    about: About
    text: str


def steps(keys: KeySettings) -> tuple[Step, ...]:
    """Return all steps, with the keys as they are bound."""
    k = {name: spoken(key) for name, key in keys.model_dump().items()}
    return (
        Step(
            About.LIST,
            "Lesions that nobody has marked, and that may be some, wait here. You answer one after the other; a click "
            f"chooses one, {k['next_lesion']} and {k['previous_lesion']} go on and back.",
        ),
        Step(
            About.PICTURE,
            "The thick box is the lesion asked about. The wheel moves through the slices, Ctrl+wheel zooms, a drag "
            f"with the right button changes the window; {k['go_to']} brings the lesion back.",
        ),
        Step(
            About.REASON,
            "Here stands why you are asked, how sure each expert is, and, where the patient has another scan with the "
            "lesion marked, both side by side.",
        ),
        Step(
            About.VERDICT,
            f"{k['accept']} it is a lesion, {k['reject']} it is none, {k['unsure']} you are not sure: one key, and the "
            f"next one comes. {k['undo']} takes the last answer back. Everything is saved by itself.",
        ),
        Step(
            About.BOXES,
            "Tick an expert to see all its boxes, move its slider for surer ones only. "
            f"{k['alone_1']} shows the first expert alone, {k['hide_boxes']} hides all boxes.",
        ),
        Step(
            About.LEARNING,
            "From your answers a new version of the detector is trained here when you want it, and measured against "
            f"the one before. {HELP_KEY} lists all keys; this tour is in that list, too.",
        ),
    )
