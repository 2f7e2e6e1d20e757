"""What readers say of one place beside their verdicts: the latest words of each, and who drew the axes that stand."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lens_engine.findings import RecistAxes


class Worded(Protocol):
    """What is asked of a decision: who made it, and what he said in his own words."""

    @property
    def reader(self) -> str:
        """Who decided."""

    @property
    def comment(self) -> str:
        """His words, empty without any."""

    @property
    def axes(self) -> RecistAxes | None:
        """The diameters of the lesion, drawn by him or taken over."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A reader's own words about a place."""

    reader: str
    text: str


def comments_of(said: Iterable[Worded]) -> tuple[Comment, ...]:
    """Return what readers say, the earliest first, of the decisions about one place from the latest one back.

    The latest words of each reader count, whoever has decided since; one who took them back says nothing.
    """
    latest: dict[str, str] = {}
    for one in said:
        latest.setdefault(one.reader, one.comment)
    return tuple(Comment(reader, text) for reader, text in reversed(latest.items()) if text)


def axes_reader(said: Iterable[Worded]) -> str:
    """Return who drew the axes of the latest decision, given as for `comments_of`; empty where it has none."""
    reader, axes = "", None
    for one in said:
        axes = axes or one.axes
        if one.axes is None or one.axes != axes:
            break
        reader = one.reader
    return reader
