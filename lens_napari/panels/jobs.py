"""The jobs dock: what runs, how far it is, how long it still takes, its log, and how to stop it."""

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from lens_engine.io.annotations.manual_test_set import ExportFormat
from lens_engine.jobs.inputs import ExportInputs, JobKind
from lens_engine.jobs.results import TrainResult
from lens_engine.jobs.status import JobState, JobStatus
from lens_napari.panels.parts import Panel, button, label, progress_bar
from lens_napari.review.job_wording import INTERRUPTED, remaining
from lens_napari.review.versions.learning import short_gain
from lens_napari.viewer.palette import BAD, GOOD, MUTED

COLOUR_OF_STATE = {JobState.DONE: GOOD, JobState.FAILED: BAD, JobState.CANCELLED: MUTED, JobState.INTERRUPTED: BAD}
CAN_GO_ON = (JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED)
BAR_STEPS = 1000
OPEN_HEIGHT = 96
RESULTS = {
    JobKind.DETECT: "{series} series, {skipped} of them seen before",
    JobKind.MINE: "{candidates} candidates in {series} series",
    JobKind.TRAIN: "made {model_version} from {parent_version}",
    JobKind.EVALUATE: "measured on {series} series of {patients} patients",
    JobKind.EXPORT: "wrote exports/{file}: {series} series, {lesions} lesions",
}
"""What a finished job says, filled from its result."""
EXPORTS = (
    ("In the published form", ExportInputs(format=ExportFormat.MANUAL_PICKLE, target="test-set.pkl")),
    ("As JSON", ExportInputs(format=ExportFormat.JSON, target="test-set.json")),
)


class JobRow(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """One job in one line."""

    cancel_requested = Signal(str)
    resume_requested = Signal(str)
    log_requested = Signal(str)

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.kind_label = QLabel()
        self.kind_label.setFixedWidth(76)
        self.stage_label = QLabel()
        self.stage_label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = progress_bar()
        self.bar.setFixedWidth(130)
        self.eta_label = QLabel()
        self.eta_label.setFixedWidth(78)
        self.stop_button = button("Stop", "End this job; it can be continued later")
        self.resume_button = button("Continue", "Let this job go on behind what it had finished")
        self.log_button = button("Log", "Show or hide what this job has written")
        for widget in (self.kind_label, self.bar, self.eta_label):
            row.addWidget(widget)
        row.addWidget(self.stage_label, 1)
        for widget in (self.stop_button, self.resume_button, self.log_button):
            row.addWidget(widget)
        self.stop_button.clicked.connect(lambda _: self.cancel_requested.emit(self.job_id))
        self.resume_button.clicked.connect(lambda _: self.resume_requested.emit(self.job_id))
        self.log_button.clicked.connect(lambda _: self.log_requested.emit(self.job_id))

    def show_status(self, status: JobStatus) -> None:
        """Show how the job stands."""
        self.kind_label.setText(f"<b>{status.kind.value}</b>")
        progress = status.progress
        is_busy = status.state is JobState.RUNNING and not progress.total
        self.bar.setRange(0, 0 if is_busy else BAR_STEPS)
        self.bar.setValue(BAR_STEPS if status.state is JobState.DONE else round(progress.fraction * BAR_STEPS))
        self.bar.setFormat(f"{progress.done} / {progress.total}" if progress.total else "")
        text = _in_words(status)
        self.stage_label.setText(text)
        self.stage_label.setToolTip(f"{text}\n{status.worker or 'no worker yet'}")
        self.stage_label.setStyleSheet(
            f"color: {COLOUR_OF_STATE[status.state]};" if status.state in COLOUR_OF_STATE else ""
        )
        self.eta_label.setText(remaining(status))
        self.stop_button.setVisible(not status.state.is_final)
        self.resume_button.setVisible(status.state in CAN_GO_ON)


class JobsPanel(Panel):
    """All jobs of the project, newest first."""

    cancel_requested = Signal(str)
    resume_requested = Signal(str)
    log_requested = Signal(str)
    detect_requested = Signal()
    mine_requested = Signal()
    export_requested = Signal(object)
    """Carries the `ExportInputs`."""

    def __init__(self) -> None:
        super().__init__("lens-jobs")
        top = QHBoxLayout()
        self.detect_button = button("Find lesions", "Let the detector look at every scan that it has not seen")
        self.mine_button = button("Mine", "Find lesions that were not marked, from what was detected")
        self.export_button = button(
            "Export test set", "Write the 3D boxes of every complete series into the exports folder of the project"
        )
        self.export_menu = self._make_export_menu()
        self.export_button.setMenu(self.export_menu)
        self.message_label = label(wrap=False)
        self.message_label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.list_button = button("All jobs", "Show or hide what was done before")
        self.list_button.setCheckable(True)
        for widget in (self.detect_button, self.mine_button, self.export_button):
            top.addWidget(widget)
        top.addWidget(self.message_label, 1)
        top.addWidget(self.list_button)
        self._message = ""
        self._jobs: Sequence[JobStatus] = ()
        self.rows: dict[str, JobRow] = {}
        holder = QWidget()
        self._list = QVBoxLayout(holder)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(2)
        self._list.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(holder)
        self.log_view = QPlainTextEdit()
        self.log_view.setReadOnly(True)
        self.log_view.hide()
        self.column.addLayout(top)
        self.list_area = QWidget()
        below = QHBoxLayout(self.list_area)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(area, 1)
        below.addWidget(self.log_view, 1)
        self.column.addWidget(self.list_area, 1)
        self.column.addStretch(0)  # the line stays above where the list is folded away
        self._fold()
        self.list_button.toggled.connect(lambda _: self._fold())
        self.detect_button.clicked.connect(lambda _: self.detect_requested.emit())
        self.mine_button.clicked.connect(lambda _: self.mine_requested.emit())

    def show_jobs(self, jobs: Sequence[JobStatus]) -> None:
        """Show these jobs in this order."""
        wanted = {job.id for job in jobs}
        for job_id in [job_id for job_id in self.rows if job_id not in wanted]:
            self.rows.pop(job_id).deleteLater()
        for place, job in enumerate(jobs):
            row = self.rows.get(job.id) or self._new_row(job.id)
            row.show_status(job)
            if self._list.indexOf(row) != place:
                self._list.removeWidget(row)
                self._list.insertWidget(place, row)
        self._jobs = tuple(jobs)
        self._fold()

    def show_message(self, text: str) -> None:
        """Say something about the queue itself, for example that no worker can be started."""
        self._message = text
        self._fold()

    def show_export_menu(self) -> None:
        """Ask in which form the test set is to be written."""
        self.export_menu.popup(self.export_button.mapToGlobal(self.export_button.rect().bottomLeft()))

    def show_log(self, text: str) -> None:
        """Show a log, or hide it again when it is shown already."""
        self.log_view.setVisible(self.log_view.isHidden() or self.log_view.toPlainText() != text)
        self.log_view.setPlainText(text)
        self.log_view.verticalScrollBar().setValue(self.log_view.verticalScrollBar().maximum())

    def _fold(self) -> None:
        """Leave one line where nothing runs or waits to be continued."""
        is_at_rest = all(job.state.is_final for job in self._jobs)
        is_done = is_at_rest and all(job.state is JobState.DONE for job in self._jobs[:1])
        is_open = self.list_button.isChecked() or not is_done
        self.list_area.setVisible(is_open)
        self.list_button.setVisible(bool(self._jobs) and is_done)
        self.setMinimumHeight(OPEN_HEIGHT if is_open else 0)
        last = "" if is_open or not self._jobs else f"Last job: {self._jobs[0].kind.value}, {_in_words(self._jobs[0])}"
        text = self._message or last
        self.message_label.setText(text)
        self.message_label.setToolTip(text)

    def _make_export_menu(self) -> QMenu:
        menu = QMenu(self)
        for words, inputs in EXPORTS:
            action = menu.addAction(f"{words}  ({inputs.target})")
            action.triggered.connect(lambda _, wanted=inputs: self.export_requested.emit(wanted))
        return menu

    def _new_row(self, job_id: str) -> JobRow:
        row = JobRow(job_id)
        row.cancel_requested.connect(self.cancel_requested.emit)
        row.resume_requested.connect(self.resume_requested.emit)
        row.log_requested.connect(self.log_requested.emit)
        self.rows[job_id] = row
        return row


def _in_words(status: JobStatus) -> str:
    if status.error:
        return status.error
    if status.state is JobState.INTERRUPTED:
        return INTERRUPTED
    if status.state is JobState.DONE and status.result.get("measurable", True):
        return ", ".join(filter(None, [f"done: {RESULTS[status.kind].format_map(status.result)}", _gain(status)]))
    if status.state is JobState.DONE:
        return f"done: {status.result.get('what_to_do', 'not measurable')}"
    return status.state.value if status.state.is_final else status.stage


def _gain(status: JobStatus) -> str:
    """Return what a training was worth, as far as it was measured."""
    if status.kind is not JobKind.TRAIN:
        return ""
    result = TrainResult.model_validate(dict(status.result))
    return short_gain(result.evaluation, result.parent_version, result.model_version)
