"""What readers say of one place in their own words: the latest of each of them, as far as it still stands."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Worded(Protocol):
    """What is asked of a decision: who made it, and what he said in his own words."""

    @property
    def reader(self) -> str:
        """Who decided."""

    @property
    def comment(self) -> str:
        """His words, empty without any."""


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
