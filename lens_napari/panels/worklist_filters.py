"""What of the list of lesions is shown, and in which order: boxes above the list that take no keys from the picture."""

from collections.abc import Iterable, Sequence

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from lens_engine.findings import Rule
from lens_engine.store.catalog import SeriesRecord
from lens_napari.panels.parts import button
from lens_napari.review.wording import SYMBOLS
from lens_napari.review.worklist.filters import Listed, Sorting, WorklistFilter

TYPING_MS = 300
"""The list follows a search once the reader has paused for so long."""
MORE, MORE_CHOSEN = "More", "More ●"
ORDER_TIP = (
    "Most useful first: what has most likely been missed is asked about early, for there an answer\n"
    "teaches the detector most; lesions of one scan come together, so that few are loaded again.\n"
    "Series by series: one scan after the other as they were added, each from head to feet."
)
LEAST = tuple(step / 10 for step in range(10))
GREATEST = tuple(step / 10 for step in range(10, 0, -1))


class SearchField(QLineEdit):  # type: ignore[misc]  # qtpy carries no types
    """A field for words; Return and Escape give the keys back to the picture."""

    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText("Search patient, series, comment …")
        self.setToolTip(
            "Every word has to be in the patient's number, the name or the description of the series,\n"
            "or in what readers have written about the lesion"
        )
        self.setClearButtonEnabled(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # Qt's name
        """Type, or leave."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape):
            self.left.emit()
        else:
            super().keyPressEvent(event)


class WorklistFilters(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """The boxes above the list."""

    changed = Signal(object)
    """Carries the `WorklistFilter`."""
    typing_ended = Signal()
    """The keys are the picture's again."""

    def __init__(self) -> None:
        super().__init__()
        self._are_scores_hidden = False
        self.show_box = _choices(*((listed.value, listed) for listed in Listed))
        self.rule_box = _choices(("Any reason", None), *((f"{SYMBOLS[rule]}  {rule}", rule) for rule in Rule))
        self.search_field = SearchField()
        self.more_button = button(MORE, "Choose by expert, data set and score; change the order")
        self.more_button.setCheckable(True)
        self.expert_box = _choices(("Any expert", None))
        self.expert_box.setToolTip("The expert that is surest of the lesion")
        self.dataset_box = _choices(("Any data set", None))
        self.dataset_box.setToolTip("The data set that the scan was added to")
        self.least_box = _choices(("Any score", 0.0), *((f"from {score:.1f}", score) for score in LEAST[1:]))
        self.greatest_box = _choices(("up to 1.0", 1.0), *((f"up to {score:.1f}", score) for score in GREATEST[1:]))
        self.comment_box = _choices(("With and without a comment", False), ("With a comment", True))
        self.comment_box.setToolTip("What readers have written about lesions; decided ones are listed too")
        self.sorting_box = _choices(*((sorting.value, sorting) for sorting in Sorting))
        self.sorting_box.setToolTip(ORDER_TIP)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._arrange()
        self.comment_box.activated.connect(lambda _: self._list_decided())  # first, for the others emit
        for box in self.findChildren(QComboBox):
            box.activated.connect(lambda _: self._emit())
        self.more_button.toggled.connect(self.more.setVisible)
        self.search_field.textChanged.connect(lambda _: self._typing.start())
        self.search_field.left.connect(self._leave)
        self._typing.timeout.connect(self._emit)

    @property
    def filter(self) -> WorklistFilter:
        """What the reader has chosen; nothing by scores while they are hidden."""
        by_scores = not self._are_scores_hidden
        return WorklistFilter(
            listed=self.show_box.currentData(),
            rule=self.rule_box.currentData(),
            expert=self.expert_box.currentData() if by_scores else None,
            dataset=self.dataset_box.currentData(),
            text=self.search_field.text().strip(),
            least_score=self.least_box.currentData() if by_scores else 0.0,
            greatest_score=self.greatest_box.currentData() if by_scores else 1.0,
            has_comment=self.comment_box.currentData(),
            sorting=self.sorting_box.currentData(),
        )

    def show_choices(self, experts: Sequence[str], series: Iterable[SeriesRecord]) -> None:
        """Offer the experts and data sets that there are; what was chosen stays where it still exists."""
        _offer(self.expert_box, sorted(experts))
        _offer(self.dataset_box, sorted({record.dataset for record in series}))
        self._show_more()

    def hide_scores(self, hidden: bool) -> None:  # a state, not a mode
        """Let nothing be chosen by scores while the reader does not want to see them."""
        before = self.filter
        self._are_scores_hidden = hidden
        for box in (self.expert_box, self.least_box, self.greatest_box):
            box.setEnabled(not hidden)
        if self.filter != before:
            self._emit()

    def list_as(self, listed: Listed) -> None:
        """List these lesions, as if the reader had chosen that."""
        self.show_box.setCurrentIndex(self.show_box.findData(listed))
        self._emit()

    def take_off(self) -> None:
        """List every lesion again that waits, as if the reader had chosen that; the order stays."""
        if self.filter.state is not None:
            self.show_box.setCurrentIndex(self.show_box.findData(Listed.OPEN))
        narrowing = self.rule_box, self.expert_box, self.dataset_box, self.least_box, self.greatest_box
        for box in (*narrowing, self.comment_box):
            box.setCurrentIndex(0)
        self.search_field.clear()
        self._emit()

    def _arrange(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.more = QWidget()
        self.more.hide()
        inside = QVBoxLayout(self.more)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4)
        inside.addLayout(_row(self.expert_box, self.dataset_box))
        inside.addLayout(_row(self.least_box, self.greatest_box))
        inside.addWidget(self.comment_box)
        inside.addWidget(self.sorting_box)
        column.addLayout(_row(self.show_box, self.rule_box))
        searching = QHBoxLayout()
        searching.addWidget(self.search_field, 1)
        searching.addWidget(self.more_button)
        column.addLayout(searching)
        column.addWidget(self.more)

    def _list_decided(self) -> None:
        """List decided lesions beside open ones: it is on those that readers have written."""
        if self.comment_box.currentData() and self.show_box.currentData() is Listed.OPEN:
            self.show_box.setCurrentIndex(self.show_box.findData(Listed.ALL))

    def _leave(self) -> None:
        self.search_field.clearFocus()
        if self._typing.isActive():
            self._emit()
        self.typing_ended.emit()

    def _emit(self) -> None:
        self._typing.stop()
        self._show_more()
        self.changed.emit(self.filter)

    def _show_more(self) -> None:
        """Say on the button that something is chosen behind it."""
        chosen = self.filter
        plain = WorklistFilter(chosen.listed, chosen.rule, text=chosen.text)
        self.more_button.setText(MORE if chosen == plain else MORE_CHOSEN)


def _row(*boxes: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for box in boxes:
        row.addWidget(box, 1)
    return row


def _offer(box: QComboBox, names: Sequence[str]) -> None:
    chosen, anything = box.currentData(), box.itemText(0)
    box.clear()
    box.addItem(anything, None)
    for name in names:
        box.addItem(name, name)
    box.setCurrentIndex(max(box.findData(chosen), 0))


def _choices(*entries: tuple[str, object]) -> QComboBox:
    box = QComboBox()
    box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    box.setMinimumContentsLength(6)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    for text, value in entries:
        box.addItem(text, value)
    return box
