"""What a reader adds to his verdicts: words and axes that wait for one, and those that were said with one.

A decision carries the words of the reader who made it and of nobody else. The words of others stand in their own
decisions; see `lens_engine.store.comments`.
"""

from dataclasses import replace

from lens_engine.findings import Decision, RecistAxes
from lens_engine.store.comments import Comment
from lens_napari.review.entries import Entries
from lens_napari.review.saying.unsaid import Remark, Unsaid
from lens_napari.review.worklist.listing import Listing


class Remarks:
    """The remarks of one reader on the lesions of one queue.

    Parameters
    ----------
    entries, listing
        The lesions, and the walk through them, which finds lesions by words too.
    reader
        Who writes and draws.
    """

    def __init__(self, entries: Entries, listing: Listing, reader: str) -> None:
        self._entries = entries
        self._listing = listing
        self._reader = reader
        self._unsaid = Unsaid()

    def go_on_with(self, unsaid: Unsaid) -> None:
        """Let what waits since another list, or since yesterday, wait here too."""
        self._unsaid = unsaid

    def write(self, candidate_id: int, comment: str) -> None:
        """Keep what is typed about a lesion until it is said."""
        position = self._entries.position_of[candidate_id]
        self._unsaid.write(candidate_id, None if comment.strip() == self._said_in_words(position) else comment)
        self.tell_list(position)

    def draw(self, candidate_id: int, axes: RecistAxes | None) -> None:
        """Keep the axes that are drawn of a lesion until they are said."""
        self._unsaid.draw(candidate_id, axes)

    def take_axes_off(self, candidate_id: int) -> None:
        """Let the axes that were said of a lesion go when it is said again."""
        self._unsaid.take_axes_off(candidate_id)

    def waits(self, candidate_id: int) -> bool:
        """Return whether words or axes of a lesion are not said yet."""
        return not self._unsaid.of(candidate_id).is_empty

    def has_words(self, candidate_id: int) -> bool:
        """Return whether words about a lesion are not said yet."""
        return self._unsaid.of(candidate_id).comment is not None

    def drawn_axes(self, candidate_id: int) -> RecistAxes | None:
        """Return the axes of a lesion that are not said yet."""
        return self._unsaid.of(candidate_id).axes

    def comment_on(self, candidate_id: int) -> str:
        """Return the reader's own words about a lesion, said or not."""
        typed = self._unsaid.of(candidate_id).comment
        return self._said_in_words(self._entries.position_of[candidate_id]) if typed is None else typed

    def comments_of_others(self, candidate_id: int) -> tuple[Comment, ...]:
        """Return what other readers say of a lesion in their own words."""
        position = self._entries.position_of[candidate_id]
        if position not in self._entries or self._entries[position].decision is None:
            return ()
        return tuple(one for one in self._entries[position].record.comments if one.reader != self._reader)

    def axes_of(self, candidate_id: int) -> RecistAxes | None:
        """Return the axes of a lesion, drawn this moment or decided."""
        position = self._entries.position_of[candidate_id]
        known = self._entries[position].decision if position in self._entries else None
        return self._unsaid.of(candidate_id).axes_on(known.axes if known else None)

    def axes_reader(self, candidate_id: int) -> str:
        """Return who drew the axes that were decided; empty where none were."""
        entry = self._entries[self._entries.position_of[candidate_id]]
        if entry.decision is None or entry.decision.axes is None:
            return ""
        stored = entry.record.decision
        is_as_stored = stored is not None and stored.axes == entry.decision.axes
        return entry.record.axes_reader if is_as_stored else entry.decision.reader

    def with_remark(self, position: int, said: Decision) -> Decision:
        """Return a decision with the words and axes that wait for it, or else with those that were said before."""
        entry = self._entries[position]
        remark, known = self._unsaid.take(entry.record.id), entry.decision
        axes = remark.axes_on(known.axes if known else None)
        if axes is not None and not said.box[2] <= axes.slice_index < said.box[5]:
            axes = None  # the box has left the slice
        comment = self._said_in_words(position) if remark.comment is None else remark.comment
        return replace(said, comment=comment.strip(), axes=axes)

    def _said_in_words(self, position: int) -> str:
        """Return the reader's own words about a lesion, as far as they were said."""
        if position not in self._entries:
            return ""
        entry = self._entries[position]
        if entry.decision is None:
            return ""
        if entry.decision.reader == self._reader:
            return entry.decision.comment
        return next((one.text for one in entry.record.comments if one.reader == self._reader), "")

    def drop(self, position: int) -> None:
        """Let nothing wait for a lesion."""
        self._unsaid.take(int(self._entries.outline.ids[position]))

    def let_wait(self, position: int, said: Decision | None, holds: Decision | None) -> None:
        """Let words and axes wait again that were said and do not hold any more, where no others wait."""
        number = self._entries[position].record.id
        if said is None or not self._unsaid.of(number).is_empty:
            return
        comment = None if said.comment == self._said_in_words(position) else said.comment
        axes = None if holds is not None and said.axes == holds.axes else said.axes
        self._unsaid.put(number, Remark(comment, axes))
        self.tell_list(position)

    def tell_list(self, position: int) -> None:
        """Let the list know what is said of a lesion in words now."""
        number = int(self._entries.outline.ids[position])
        words = [*(one.text for one in self.comments_of_others(number)), self.comment_on(number)]
        self._listing.hear(number, "\n".join(filter(None, words)))
