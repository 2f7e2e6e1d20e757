"""What a reader adds to lesions that he or another one drew: words and axes, said or not; the twin of `Remarks`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lens_engine.findings import Decision, RecistAxes
from lens_engine.store.comments import Comment
from lens_napari.review.saying.unsaid import Remark, Unsaid


@dataclass(frozen=True, slots=True)
class SaidOfDrawn:
    """What stands of a drawn lesion.

    Attributes
    ----------
    comments
        What readers have written about it, as it was read.
    """

    decision: Decision
    comments: tuple[Comment, ...]


class DrawnRemarks:
    """The remarks of one reader on drawn lesions, and on the one in work.

    Parameters
    ----------
    reader
        Who writes and draws.
    find
        Returns what stands of a lesion by its number; None of one in work, or that is not there any more.
    """

    def __init__(self, reader: str, find: Callable[[int], SaidOfDrawn | None]) -> None:
        self._reader = reader
        self._find = find
        self._unsaid = Unsaid()

    def write(self, number: int, comment: str) -> None:
        """Keep what is typed about a lesion until it is said."""
        self._unsaid.write(number, None if comment.strip() == self._said_in_words(number) else comment)

    def draw(self, number: int, axes: RecistAxes | None) -> None:
        """Keep the axes that are drawn of a lesion until they are said."""
        self._unsaid.draw(number, axes)

    def take_axes_off(self, number: int) -> None:
        """Let the axes that were said of a lesion go when it is said again."""
        self._unsaid.take_axes_off(number)

    def waits(self, number: int) -> bool:
        """Return whether words or axes of a lesion are not said yet."""
        return not self._unsaid.of(number).is_empty

    def has_words(self, number: int) -> bool:
        """Return whether words about a lesion are not said yet."""
        return self._unsaid.of(number).comment is not None

    def drawn_axes(self, number: int) -> RecistAxes | None:
        """Return the axes of a lesion that are not said yet."""
        return self._unsaid.of(number).axes

    def comment_on(self, number: int) -> str:
        """Return the reader's own words about a lesion, said or not."""
        typed = self._unsaid.of(number).comment
        return self._said_in_words(number) if typed is None else typed

    def comments_of_others(self, number: int) -> tuple[Comment, ...]:
        """Return what other readers say of a lesion in their own words."""
        found = self._find(number)
        return () if found is None else tuple(one for one in found.comments if one.reader != self._reader)

    def axes_of(self, number: int) -> RecistAxes | None:
        """Return the axes of a lesion, drawn this moment or before."""
        found = self._find(number)
        return self._unsaid.of(number).axes_on(found.decision.axes if found else None)

    def axes_reader(self, number: int) -> str:
        """Return who drew the axes that were kept; empty where none were."""
        found = self._find(number)
        return found.decision.reader if found is not None and found.decision.axes is not None else ""

    def with_remark(self, number: int, said: Decision) -> Decision:
        """Return what is said of a lesion with the words and axes that wait, or else with those that stand."""
        comment, remark = self._said_in_words(number), self._unsaid.take(number)
        axes = remark.axes_on(said.axes)
        if axes is not None and not said.box[2] <= axes.slice_index < said.box[5]:
            axes = None  # the box has left the slice
        return replace(said, comment=(comment if remark.comment is None else remark.comment).strip(), axes=axes)

    def let_wait(self, number: int, said: Decision) -> None:
        """Let words and axes wait again that were not saved, where no others wait."""
        if not self.waits(number):
            comment = None if said.comment == self._said_in_words(number) else said.comment
            self._unsaid.put(number, Remark(comment, said.axes))

    def _said_in_words(self, number: int) -> str:
        found = self._find(number)
        if found is None:
            return ""
        if found.decision.reader == self._reader:
            return found.decision.comment
        return next((one.text for one in found.comments if one.reader == self._reader), "")
