"""What to do after another version came into use: a sentence, the button that does it, and how far it is."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from lens_engine.jobs.status import JobStatus
from lens_napari.panels.parts import button, label, progress_bar
from lens_napari.review.job_wording import course
from lens_napari.review.versions.learning import OutdatedList
from lens_napari.viewer.palette import UNDECIDED

BAR_STEPS = 1000


class OutdatedListBox(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """Hidden while the list of lesions comes from the version in use."""

    mine_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        self.words_label = label(style=f"color: {UNDECIDED};")
        self.mine_button = button("", "Let the version in use look at the training and validation scans, and mine them")
        self.bar = progress_bar()
        self.stage_label = label()
        for widget in (self.words_label, self.mine_button, self.bar, self.stage_label):
            column.addWidget(widget)
        self.mine_button.clicked.connect(lambda _: self._start())
        self._step: OutdatedList | None = None
        self._job: JobStatus | None = None
        self._show()

    def show_list(self, step: OutdatedList | None) -> None:
        """Show what to do; None where nothing is."""
        self._step = step
        self._show()

    def show_mining(self, job: JobStatus | None) -> None:
        """Show how far the mining is that runs or waits; None for none."""
        self._job = job
        self._show()

    def show_message(self, text: str) -> None:
        """Say why it could not be started."""
        self._show()
        self.stage_label.setText(text)
        self.stage_label.setVisible(bool(text))

    def _start(self) -> None:
        self.mine_button.setEnabled(False)
        self.mine_requested.emit()

    def _show(self) -> None:
        step, job = self._step, self._job
        self.setVisible(step is not None)
        if step is None:
            return
        self.words_label.setText(step.in_words)
        self.mine_button.setText(step.action)
        is_mining = job is not None
        self.mine_button.setEnabled(not is_mining)
        self.bar.setVisible(is_mining)
        self.stage_label.setVisible(is_mining)
        if job is not None:
            self.bar.setRange(0, BAR_STEPS)
            self.bar.setValue(round(job.progress.fraction * BAR_STEPS))
            self.stage_label.setText(course(job))
