"""The retrain dock: what will be learned from, what it will be measured on, and the button that starts it."""

from typing import Any

from magicgui.widgets import Container, create_widget
from qtpy.QtCore import Signal

from lens_engine.jobs.inputs import TrainInputs
from lens_engine.jobs.status import JobState, JobStatus
from lens_napari.panels.parts import Panel, button, heading, label, progress_bar
from lens_napari.review.learning import LearningPlan, TrainChoices, last_training_in_words
from lens_napari.viewer.palette import MUTED

RECIPE_STEPS = 0
"""Value of the steps field that leaves the number to the recipe."""
MOST_STEPS = 1_000_000


class RetrainPanel(Panel):
    """Says what will happen and emits that it shall."""

    retrain_requested = Signal(object)
    """`TrainChoices`."""
    cancel_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__("lens-retrain")
        self.setMinimumWidth(330)
        self.plan_label = label(style="font-size: 11pt;")
        self.duration_label = label(style=f"color: {MUTED};")
        self.measure_label = label()
        self.form = _form()
        self.retrain_button = button("Retrain", "Freeze the decisions, train a new version, measure it")
        self.retrain_button.setStyleSheet("font-weight: bold; padding: 6px;")
        self.retrain_button.setEnabled(False)
        self.bar = progress_bar()
        self.bar.hide()
        self.stop_button = button("Stop")
        self.stop_button.hide()
        self.state_label = label()
        self._job_id = ""
        for widget in (
            heading("Learned from"),
            self.plan_label,
            self.duration_label,
            heading("Measured on"),
            self.measure_label,
            self.form.native,
            self.retrain_button,
            self.bar,
            self.stop_button,
            self.state_label,
            label("The new version is not used before it is promoted in “Models”.", style=f"color: {MUTED};"),
        ):
            self.column.addWidget(widget)
        self.column.addStretch(1)
        self.retrain_button.clicked.connect(lambda _: self._start())
        self.stop_button.clicked.connect(lambda _: self.cancel_requested.emit(self._job_id))

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
        self.retrain_button.setEnabled(not self.bar.isVisible())

    def show_last_duration(self, seconds: float | None) -> None:
        """Show how long the last training took; None before the first."""
        self.duration_label.setText(last_training_in_words(seconds))

    def show_job(self, job: JobStatus | None) -> None:
        """Show the training that runs; None or a finished one shows the button again."""
        is_running = job is not None and not job.state.is_final
        self.bar.setVisible(is_running)
        self.stop_button.setVisible(is_running)
        self.retrain_button.setEnabled(not is_running)
        if job is None:
            return
        self._job_id = job.id
        self.bar.setRange(0, job.total)
        self.bar.setValue(job.done)
        if job.state is JobState.FAILED:
            self.state_label.setText(job.error or "The training failed; see its log.")
        elif job.state is JobState.DONE:
            self.state_label.setText(f"{job.result.get('model_version', 'A new version')} is ready.")
        else:
            self.state_label.setText(job.stage or job.state.value)

    def show_message(self, text: str) -> None:
        """Say why nothing could be started."""
        self.state_label.setText(text)

    def _start(self) -> None:
        self.retrain_button.setEnabled(False)
        self.state_label.setText("freezing the decisions …")
        self.retrain_requested.emit(self.choices)


def _form() -> Any:
    """Return the form of `TrainInputs`, with the titles and tips of the same model as the command line."""
    return Container(
        widgets=[
            _field("steps", int, RECIPE_STEPS, {"min": RECIPE_STEPS, "max": MOST_STEPS}),
            _field("seed", int, 0, {"min": 0, "max": MOST_STEPS}),
            _field("promote", bool, False, {}),
            _field("from_scratch", bool, False, {}),
        ],
        labels=True,
    )


def _field(name: str, kind: type, value: object, limits: dict[str, int]) -> Any:
    tip = TrainInputs.model_fields[name].description or name
    if name == "steps":
        tip = f"{tip} (0)"
    return create_widget(value=value, annotation=kind, name=name, options={"tooltip": tip, **limits})
