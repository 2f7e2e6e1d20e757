"""Compares what is shown on the series on screen with its complete truth, where the reader wants that.

Nothing is read, matched or drawn before.
"""

from collections.abc import Callable, Sequence
from functools import partial

from qtpy.QtCore import QObject, Signal

from lens_engine.findings import Finding
from lens_engine.store.catalog import SeriesRecord
from lens_engine.store.labels.complete_truth import TrueLesion
from lens_napari.review.box_table import Shown
from lens_napari.review.project_store import message_of
from lens_napari.truth.comparison import Compared, Comparison
from lens_napari.truth.panel import TruthPanel
from lens_napari.viewer.background import Lane

NOT_COMPLETE = "Only a completely annotated series can be compared with the truth."
NOT_KNOWN_IN_3D = "A lesion of this series is annotated on one slice only, so that nothing can be compared."

Truth = tuple[TrueLesion, ...] | None


class TruthOverlay(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The comparison of one series at a time.

    Parameters
    ----------
    read
        Returns every lesion of a series by its id, None where they are not all known; called in the lane.
    lane
        Where decisions are committed: what is read there knows all that was said before.
    key
        The key that begins and ends the comparison, as it stands on a keyboard.
    shown
        Returns what the reader wants to see.
    """

    changed = Signal()
    """The boxes are to be drawn anew."""
    told = Signal(str)
    """Why nothing can be compared, in words."""

    def __init__(self, read: Callable[[int], Truth], lane: Lane, key: str, shown: Callable[[], Shown]) -> None:
        super().__init__()
        self.panel = TruthPanel(key)
        self._read = read
        self._lane = lane
        self._shown = shown
        self._record: SeriesRecord | None = None
        self._findings: tuple[Finding, ...] = ()
        self._comparison: Comparison | None = None
        self.panel.wanted.connect(lambda _: self.read_again())

    def show(self, record: SeriesRecord, findings: Sequence[Finding]) -> None:
        """Go on in the series on screen, whose findings are given in the order of the box table."""
        self._record, self._findings = record, tuple(findings)
        self.read_again()

    def mark(self, record: SeriesRecord) -> None:
        """Go on where a series was marked complete, or its mark was taken back."""
        if self._record is not None and record.id == self._record.id:
            self._record = record
            self.read_again()

    def toggle(self) -> None:
        """Begin the comparison or end it, or say why there is none."""
        if self._is_possible:
            self.panel.box.toggle()
        else:
            self.told.emit(NOT_COMPLETE)

    def read_again(self) -> None:
        """Compare anew, where that is wanted."""
        self._comparison = None
        self.panel.setVisible(self._is_possible)
        self.panel.show_lines(())
        self.refresh()
        self.changed.emit()

    def refresh(self) -> None:
        """Read the truth as it is now, where it is wanted; the boxes stay as they are until then."""
        record = self._record
        if record is not None and self._is_wanted:
            self._lane.submit(partial(self._read, record.id), partial(self._on_truth, record), self._on_error)

    def compared(self, shown: Shown) -> Compared | None:
        """Return what of the boxes shown is true, false and missed; None where nothing is compared."""
        return None if self._comparison is None else self._comparison.of(shown)

    def show_lines(self) -> None:
        """Say in words what came of the comparison."""
        compared = self.compared(self._shown())
        if compared is not None:
            self.panel.show_lines(compared.lines)

    @property
    def _is_possible(self) -> bool:
        return self._record is not None and self._record.is_complete

    @property
    def _is_wanted(self) -> bool:
        return self._is_possible and bool(self.panel.box.isChecked())

    def _on_truth(self, record: SeriesRecord, lesions: Truth) -> None:
        if record is not self._record or not self._is_wanted:
            return
        if lesions is None:
            self.panel.say(NOT_KNOWN_IN_3D)
            return
        self._comparison = Comparison(self._findings, lesions)
        self.show_lines()
        self.changed.emit()

    def _on_error(self, error: Exception) -> None:
        self.panel.say(message_of(error))
