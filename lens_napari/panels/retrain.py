"""The retrain dock: what will be learned from and measured on, the button that starts it, and what came of it."""

from typing import Any

from magicgui.widgets import Container, create_widget
from qtpy.QtCore import Qt, Signal
from superqt import QCollapsible

from lens_engine.jobs.inputs import TrainInputs
from lens_engine.jobs.status import JobState, JobStatus
from lens_napari.panels.outdated_list import OutdatedListBox
from lens_napari.panels.parts import Panel, button, heading, label, progress_bar
from lens_napari.review.job_wording import course
from lens_napari.review.versions.learning import FIRST_DURATION, FrozenLabels, LastTraining, LearningPlan, TrainChoices
from lens_napari.viewer.palette import MUTED

RECIPE_STEPS = 0
"""Value of the field for the length that leaves it to the recipe."""
MOST_STEPS = 1_000_000


class RetrainPanel(Panel):
    """Says what will happen and emits that it shall."""

    retrain_requested = Signal(object)
    """`TrainChoices`."""
    cancel_requested = Signal(str)
    promote_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__("lens-retrain")
        self.setMinimumWidth(330)
        self.plan_label = label(style="font-size: 11pt;")
        self.duration_label = label(FIRST_DURATION, style=f"color: {MUTED};")
        self.measure_label = label()
        self.form = _form()
        self.advanced = _collapsed("Advanced", self.form.native)
        self.retrain_button = button("Retrain", "Freeze the decisions, train a new version, measure it")
        self.retrain_button.setStyleSheet("font-weight: bold; padding: 6px;")
        self.retrain_button.setEnabled(False)
        self.bar = progress_bar()
        self.bar.hide()
        self.stop_button = button("Stop", "End this training; it can be continued in the jobs panel")
        self.stop_button.hide()
        self.state_label = label()
        self.frozen_label = label(style=f"color: {MUTED};")
        self.frozen_label.hide()
        self.last_heading = heading("The last training")
        self.last_label = label()
        self.use_button = button("Use this version")
        self.outdated_list = OutdatedListBox()
        self._job_id = ""
        self._last: LastTraining | None = None
        for widget in (
            heading("Will be learned from"),
            self.plan_label,
            heading("Will be measured on"),
            self.measure_label,
            self.duration_label,
            self.retrain_button,
            self.bar,
            self.stop_button,
            self.state_label,
            self.frozen_label,
            self.advanced,
            self.last_heading,
            self.last_label,
            self.use_button,
            self.outdated_list,
        ):
            self.column.addWidget(widget)
        self.column.addStretch(1)
        self.show_last_training(None)
        self.retrain_button.clicked.connect(lambda _: self._start())
        self.stop_button.clicked.connect(lambda _: self.cancel_requested.emit(self._job_id))
        self.use_button.clicked.connect(lambda _: self._use())

    @property
    def choices(self) -> TrainChoices:
        """What the form says."""
        values = self.form.asdict()
        steps = int(values["steps"])
        return TrainChoices(
            steps=None if steps == RECIPE_STEPS else steps,
            seed=int(values["seed"]),
            promote=bool(values["promote"]),
            from_scratch=bool(values["from_scratch"]),
        )

    def show_plan(self, plan: LearningPlan) -> None:
        """Show what a new version would be made of."""
        self.plan_label.setText(plan.in_words)
        self.measure_label.setText(plan.measured_on)
        self.retrain_button.setEnabled(self.bar.isHidden())

    def show_last_training(self, last: LastTraining | None) -> None:
        """Show what the last training has made; None before the first."""
        self._last = last
        self.duration_label.setText((last and last.expected_duration) or FIRST_DURATION)
        self.last_heading.setVisible(last is not None)
        self.last_label.setVisible(last is not None)
        self.use_button.setVisible(last is not None and not last.is_in_use)
        if last is not None:
            self.last_label.setText(last.in_words)
            self.use_button.setText(f"Use {last.version}")
            self.use_button.setToolTip(f"Detect with {last.version} from now on; the models panel goes back")

    def show_job(self, job: JobStatus | None) -> None:
        """Show the latest training; None or one that has ended shows the button again."""
        is_running = job is not None and not job.state.is_final
        self.bar.setVisible(is_running)
        self.stop_button.setVisible(is_running)
        self.frozen_label.setVisible(is_running and bool(self.frozen_label.text()))
        self.retrain_button.setEnabled(not is_running)
        if job is None:
            return
        self._job_id = job.id
        self.bar.setRange(0, job.total)
        self.bar.setValue(job.done)
        if job.state is JobState.FAILED:
            self.state_label.setText(job.error or "The training failed; see its log.")
        elif job.state is JobState.DONE:
            self.state_label.setText("")
        elif job.state is JobState.CANCELLED:
            self.state_label.setText("The training was stopped; “Continue” in the jobs panel goes on with it.")
        else:
            self.state_label.setText(course(job))

    def show_frozen(self, frozen: FrozenLabels) -> None:
        """Show what the training that was just asked for learns from, whatever is decided meanwhile."""
        self.frozen_label.setText(f"Learning from {frozen.in_words}")
        self.frozen_label.show()

    def show_message(self, text: str) -> None:
        """Say why nothing could be started."""
        self.state_label.setText(text)

    def _start(self) -> None:
        self.retrain_button.setEnabled(False)
        self.state_label.setText("freezing the decisions …")
        self.retrain_requested.emit(self.choices)

    def _use(self) -> None:
        if self._last is not None:
            self.promote_requested.emit(self._last.version)


def _collapsed(title: str, content: Any) -> QCollapsible:
    box = QCollapsible(title, expandedIcon="▾", collapsedIcon="▸")
    box.addWidget(content)
    content.setEnabled(False)  # what is folded away has no height, but the keyboard would find it
    box.toggled.connect(content.setEnabled)
    box.collapse(animate=False)
    box.toggleButton().setFocusPolicy(Qt.FocusPolicy.NoFocus)
    box.toggleButton().setToolTip("What a researcher may want to change; nothing here is needed")
    return box


def _form() -> Any:
    """Return the form of `TrainInputs`, in a reader's words; the tips are those of the command line."""
    return Container(
        widgets=[
            _field("promote", bool, False, "Use it at once", {}),
            _field("from_scratch", bool, False, "Begin anew, without what it knows", {}),
            _field("steps", int, RECIPE_STEPS, "Steps (0: recommended)", {"min": RECIPE_STEPS, "max": MOST_STEPS}),
            _field("seed", int, 0, "Random seed", {"min": 0, "max": MOST_STEPS}),
        ],
        labels=True,
    )


def _field(name: str, kind: type, value: object, words: str, limits: dict[str, int]) -> Any:
    tip = TrainInputs.model_fields[name].description or name
    return create_widget(value=value, annotation=kind, name=name, label=words, options={"tooltip": tip, **limits})
