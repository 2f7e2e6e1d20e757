"""Words and axes in one viewer: which lesion they are about, when they are said, and that none of them is lost.

They go with the next verdict about the lesion. On a decided one they are a decision more, as soon as the reader keeps
them or goes on to something else. Words about an open lesion wait for its verdict, also while the window is closed.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from lens_napari.boxes_controller import BoxesController
from lens_napari.editing.drawn_remarks import DrawnRemarks
from lens_napari.review.project_store import message_of
from lens_napari.review.saying import remark_card
from lens_napari.review.saying.remark_card import RemarkCard
from lens_napari.review.saying.remarks import Remarks
from lens_napari.review.saying.unsaid import Unsaid
from lens_napari.review.saying.unsaid_file import load_unsaid, save_unsaid
from lens_napari.review.session import ReviewSession
from lens_napari.saying.comment_box import CommentBox
from lens_napari.viewer.background import Lane


class RemarksController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """What a reader adds to his verdicts.

    Parameters
    ----------
    box
        Where he types.
    unsaid
        What waits for verdicts about candidates, whichever list they are in.
    session
        Returns the review as it is now.
    boxes
        The drawn lesions, and the box in work.
    commits, file
        The lane in which everything is written, and where words without a verdict are kept.
    """

    said = Signal(object)
    """A `Write` of the session that is to be committed."""
    told = Signal(str)
    failed = Signal(str)
    changed = Signal()
    """Something is to be shown differently."""
    begun = Signal()
    """The reader is about to type: the field is to be seen."""
    ended = Signal()
    """The keys are the picture's again."""

    def __init__(
        self,
        box: CommentBox,
        unsaid: Unsaid,
        session: Callable[[], ReviewSession],
        boxes: BoxesController,
        commits: Lane,
        file: Path,
    ) -> None:
        super().__init__()
        self._box = box
        self._unsaid = unsaid
        self._session = session
        self._boxes = boxes
        self._commits = commits
        self._file: Path | None = file
        self._on_disk: dict[int, str] = {}
        self._about: int | None = None
        self._before = ""
        box.field.typed.connect(self._write)
        box.field.entered.connect(self._remember)
        box.field.kept.connect(self._keep)
        box.field.left.connect(self._leave_field)

    @property
    def about(self) -> int | None:
        """Number of the lesion that words and axes are about: a drawn one is negative; None where there is none."""
        draft = self._boxes.draft
        if draft is not None:
            return draft.lesion
        return self._session().asked_id if self._boxes.chosen is None else self._boxes.chosen

    def of(self, about: int) -> Remarks | DrawnRemarks:
        """Return the remarks among which those on a lesion are, by its number."""
        remarks: Remarks | DrawnRemarks = self._session().remarks if about > 0 else self._boxes.drawn.remarks
        return remarks

    def is_decided(self, about: int) -> bool:
        """Return whether a lesion is decided, or drawn and kept."""
        return self._session().is_decided(about) if about > 0 else self._boxes.drawn.find(about) is not None

    def open(self) -> None:
        """Read the words that were left without a verdict."""
        if self._file is not None:
            self._commits.submit(partial(load_unsaid, self._file), self._on_loaded, self._on_not_loaded)

    def begin(self) -> None:
        """Put the cursor into the field."""
        if self.about is None:
            self.told.emit(remark_card.NOBODY_TO_COMMENT)
            return
        self.told.emit("")
        self.begun.emit()
        self._remember()
        self._box.field.setFocus()

    def say(self, about: int) -> bool:
        """Say what waits for a decided lesion; return whether there was anything."""
        if about > 0:
            write = self._session().say_remark(about)
            if write is not None:
                self.said.emit(write)
            return write is not None
        return self._boxes.say_remark(about)

    def show(self) -> None:
        """Show what is said of the lesion that keys are about; the words about another one are not left behind."""
        about = self.about
        if about != self._about:
            self._leave_lesion()
            self._about = about
            self._remember()
            self._save()
        self._box.show_remark(None if about is None else self._card(about))

    def close(self) -> None:
        """Say what can be said, and keep what waits."""
        self._leave_lesion()
        self._save()

    def _card(self, about: int) -> RemarkCard:
        remarks = self.of(about)
        return RemarkCard(
            about=remark_card.COMMENT if about > 0 else remark_card.COMMENT_ON_DRAWN,
            comment=remarks.comment_on(about),
            state=_state(is_new=remarks.has_words(about), is_decided=self.is_decided(about)),
            others=remarks.comments_of_others(about),
        )

    def _write(self, text: str) -> None:
        about = self.about
        if about is not None:
            self.of(about).write(about, text)
            self._box.show_remark(self._card(about))

    def _remember(self) -> None:
        """Note what Escape goes back to."""
        self._before = "" if self.about is None else self.of(self.about).comment_on(self.about)

    def _keep(self) -> None:
        about = self.about
        if about is None:
            return
        waits = self.of(about).has_words(about)
        if self.say(about):
            self.told.emit(remark_card.ADDED)
        elif waits:
            self.told.emit(remark_card.KEPT if about > 0 else remark_card.KEPT_FOR_BOX)
        self._remember()
        self._save()
        self.ended.emit()
        self.changed.emit()

    def _leave_field(self) -> None:
        self._write(self._before)
        if self.about is not None:
            self._box.field.show_text(self._before)
        self.ended.emit()

    def _leave_lesion(self) -> None:
        left, session = self._about, self._session()
        if left is None:
            return
        if left < 0:
            self.say(left)
        elif left in session and session.remarks.waits(left):
            in_words = remark_card.added_behind if self.say(left) else remark_card.left_behind
            self.told.emit(in_words(session.number_of(left)))

    def _save(self) -> None:
        comments = self._unsaid.comments()
        if self._file is not None and comments != self._on_disk:
            self._on_disk = comments
            self._commits.submit(partial(save_unsaid, self._file, comments), lambda _: None, self._on_failed)

    def _on_loaded(self, comments: dict[int, str]) -> None:
        self._on_disk = comments
        for number, text in comments.items():
            if self._unsaid.of(number).comment is None:
                self._unsaid.write(number, text)
        self.changed.emit()

    def _on_not_loaded(self, error: Exception) -> None:
        self._file = None  # what cannot be read is not overwritten
        self._on_failed(error)

    def _on_failed(self, error: Exception) -> None:
        self.failed.emit(message_of(error))


def _state(*, is_new: bool, is_decided: bool) -> str:
    if not is_new:
        return ""
    return remark_card.IS_NEW if is_decided else remark_card.WAITS
