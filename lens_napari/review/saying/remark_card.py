"""What the panel says of a reader's words about a lesion, and of its axes."""

from dataclasses import dataclass

from lens_engine.store.comments import Comment

COMMENT, COMMENT_ON_DRAWN = "comment", "comment on the drawn lesion"
WAITS, IS_NEW = ": goes with your verdict", ": Enter adds it"
ADDED = "Your words were added."
KEPT = "Kept: it goes with your verdict."
KEPT_FOR_BOX = "Kept: it goes with the box."
NOBODY_TO_COMMENT = "No lesion is asked about, and none is chosen: there is nothing to comment on."


@dataclass(frozen=True, slots=True)
class RemarkCard:
    """What is said of one lesion beside the verdict.

    Attributes
    ----------
    about
        What the field is for.
    comment
        The reader's own words, said or not.
    state
        What becomes of them, where they were not said yet.
    others
        What other readers have written.
    """

    about: str
    comment: str
    state: str
    others: tuple[Comment, ...]


def left_behind(number: int) -> str:
    """Return what is said when a reader goes on from an open lesion with words or axes that are not said."""
    return f"What you typed or drew about lesion {number:,} waits for your verdict there."


def added_behind(number: int) -> str:
    """Return what is said when he goes on from a decided one."""
    return f"What you typed or drew about lesion {number:,} was added to what was said of it."
