"""The series about which readers differ, and the places of the one on screen."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QWidget

from lens_engine.geometry import VolumeGeometry
from lens_engine.store.readings.places import Place
from lens_napari.panels.parts import Panel, button, heading, label, swatch
from lens_napari.review.readings.adjudication_store import DisputedSeries
from lens_napari.review.readings.wording import NOTHING_DISPUTED, disputed_line, place_line
from lens_napari.review.settings import KeySettings, TestSetKeys, spoken
from lens_napari.test_set.parts import NoticePanel, keys_table
from lens_napari.viewer.palette import READER_COLOURS


class DisputedPanel(Panel):
    """A list of series; emits which one is wanted."""

    chosen = Signal(int)
    """Carries the id of a series."""

    def __init__(self) -> None:
        super().__init__("lens-disputed")
        self.tally_label = label(style="font-weight: bold;")
        self.list = QListWidget()
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.column.addWidget(heading("To adjudicate"))
        self.column.addWidget(self.tally_label)
        self.column.addWidget(self.list, stretch=1)
        self.list.itemClicked.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))

    def show_list(self, items: Sequence[DisputedSeries], shown: int | None) -> None:
        """Show all series, and which one is on screen."""
        left = sum(not item.is_complete for item in items)
        self.tally_label.setText(f"{left} left · {len(items) - left} complete" if items else NOTHING_DISPUTED)
        self.list.clear()
        for item in items:
            row = QListWidgetItem(disputed_line(item))
            row.setData(Qt.ItemDataRole.UserRole, item.series.id)
            self.list.addItem(row)
            if item.series.id == shown:
                self.list.setCurrentItem(row)


class PlacesPanel(NoticePanel):
    """The places where two readers differ; emits what the adjudicator wants.

    Parameters
    ----------
    keys, own
        The keys as they act in this window.
    boxes
        The box in work, which another one shows.
    """

    place_chosen = Signal(int)
    """Carries the number of a place, from 0."""
    box_chosen = Signal(int)
    """Carries whose box is wanted: 0 for A, 1 for B."""
    settled = Signal(bool)
    """Carries whether there is a lesion."""
    complete_requested = Signal()

    def __init__(self, keys: KeySettings, own: TestSetKeys, boxes: QWidget) -> None:
        super().__init__("lens-places")
        self._complete_key = spoken(keys.complete)
        self.title_label = heading("")
        self.list = QListWidget()
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.column.addWidget(self.title_label)
        self.column.addWidget(self.list)
        self.box_buttons = []
        whose = QHBoxLayout()
        for number, (name, key) in enumerate((("A", own.box_of_a), ("B", own.box_of_b))):
            made = button(f"Box of {name} [{spoken(key)}]", "Take this reader's box")
            made.setIcon(swatch(READER_COLOURS[number]))
            made.setCheckable(True)
            made.clicked.connect(lambda _, number=number: self.box_chosen.emit(number))
            self.box_buttons.append(made)
            whose.addWidget(made)
        self.column.addLayout(whose)
        verdicts = QHBoxLayout()
        self.lesion_button = button(f"Lesion [{spoken(keys.accept)}]", "A lesion, with the box that is chosen")
        self.none_button = button(f"None [{spoken(keys.reject)}]", "There is no lesion")
        for made, is_lesion in ((self.lesion_button, True), (self.none_button, False)):
            made.clicked.connect(lambda _, is_lesion=is_lesion: self.settled.emit(is_lesion))
            verdicts.addWidget(made)
        self.column.addLayout(verdicts)
        self.column.addWidget(boxes)
        self.column.addWidget(self.notice_label)
        self.column.addWidget(self.problem_label)
        self.complete_button = button("", "Every place is settled; the series is measured on")
        self.column.addWidget(self.complete_button)
        self.column.addStretch(1)
        self.key_rows = _rows(keys, own)
        self.column.addWidget(keys_table(self.key_rows))
        self.list.itemClicked.connect(lambda item: self.place_chosen.emit(self.list.row(item)))
        self.complete_button.clicked.connect(lambda _: self.complete_requested.emit())
        self.show_places("", (), None, None, None)

    def show_places(
        self,
        name: str,
        places: Sequence[Place],
        geometry: VolumeGeometry | None,
        shown: int | None,
        is_complete: bool | None,
    ) -> None:
        """Show the places of a series; `is_complete` is None where none is open."""
        self.title_label.setText(name or "No series is open")
        self.list.clear()
        if geometry is not None:
            self.list.addItems([place_line(place, geometry) for place in places])
            self.list.setCurrentRow(-1 if shown is None else shown)
        self.complete_button.setVisible(is_complete is not None)
        back = "Not complete after all" if is_complete else "Complete, next series"
        self.complete_button.setText(f"{back} [{self._complete_key}]")

    def show_box(self, place: Place | None, chosen: int) -> None:
        """Show whose box is taken at a place, and whose there is."""
        for number, made in enumerate(self.box_buttons):
            made.setEnabled(place is not None and (place.first, place.second)[number] is not None)
            made.setChecked(place is not None and number == chosen)
        for made in (self.lesion_button, self.none_button):
            made.setEnabled(place is not None)


def _rows(keys: KeySettings, own: TestSetKeys) -> Sequence[tuple[str, str]]:
    return (
        (f"{spoken(own.box_of_a)} {spoken(own.box_of_b)}", "take the box of A, of B"),
        (f"{spoken(keys.accept)} or Enter", "a lesion, with this box; keep the box"),
        (spoken(keys.reject), "no lesion"),
        ("Esc", "drop the box"),
        (spoken(keys.go_to), "back to the place"),
        (spoken(keys.change_box), "change the box first"),
        (spoken(keys.draw_lesion), "draw a lesion that both have missed"),
        (spoken(keys.delete_drawn), "delete the one chosen in the list"),
        (f"{spoken(keys.first_up)} {spoken(keys.first_down)}", "first slice: one more, one less"),
        (f"{spoken(keys.last_up)} {spoken(keys.last_down)}", "last slice: one less, one more"),
        (f"{spoken(keys.next_lesion)} {spoken(keys.previous_lesion)}", "next place, previous one"),
        (f"{spoken(keys.undo)} {spoken(keys.redo_also)}", "take back, do again"),
        (spoken(keys.complete), "complete, and the next series"),
    )
