"""The worklist dock: which lesions wait, why, how far the review is, the series, and the legend of boxes."""

from collections.abc import Mapping

from qtpy.QtCore import Signal

from lens_napari.panels.legend import Legend
from lens_napari.panels.parts import Panel, button, heading, label, progress_bar
from lens_napari.panels.series import SeriesBox
from lens_napari.panels.worklist_filters import WorklistFilters
from lens_napari.panels.worklist_table import RowsModel, rows_table
from lens_napari.review.session import Tally
from lens_napari.review.settings import ViewerSettings
from lens_napari.review.wording import NOT_FOR_DIAGNOSIS, progress
from lens_napari.review.worklist.rows import WorklistRows

LEAST_WIDTH = 320


class WorklistPanel(Panel):
    """The queue of lesions, the series and the legend."""

    lesion_chosen = Signal(int)
    reload_requested = Signal()

    def __init__(self, colours: Mapping[str, str], settings: ViewerSettings) -> None:
        super().__init__("lens-worklist")
        self.setMinimumWidth(LEAST_WIDTH)
        self.filters = WorklistFilters()
        self.model = RowsModel()
        self.table = rows_table(self.model)
        self.tally_label = label()
        self.bar = progress_bar()
        self.reload_button = button("Load the new list", "Mining has found new candidates")
        self.reload_button.hide()
        self.series_box = SeriesBox(settings.keys.complete)
        self.legend = Legend(colours, settings)
        for widget in (
            self.filters,
            self.table,
            self.reload_button,
            self.tally_label,
            self.bar,
            heading("Series"),
            self.series_box,
            heading("Boxes: shown from which score"),
            self.legend,
            label(NOT_FOR_DIAGNOSIS, style="color: #E6C15A;"),
        ):
            self.column.addWidget(widget)
        self.table.clicked.connect(lambda index: self.lesion_chosen.emit(self.model.rows[index.row()].candidate_id))
        self.reload_button.clicked.connect(lambda _: self.reload_requested.emit())

    def show_rows(self, rows: WorklistRows, tally: Tally) -> None:
        """Show the list with the lesion asked about marked, and how far the review is."""
        self.model.replace(rows)
        if rows.current_row is None:
            self.table.clearSelection()
        else:
            self.table.selectRow(rows.current_row)
        self.table.executeDelayedItemsLayout()  # now, or the whole window is painted a second time for it
        self.bar.setRange(0, max(1, tally.total))
        self.bar.setValue(tally.total - tally.open)
        self.bar.setFormat("%p % of all")
        self.tally_label.setText(progress(tally.total - tally.open, tally.total, tally.today, tally.pending))
