"""Follows and starts the jobs of a project: detect, mine, retrain, measure, export; keeps models and plan up to date.

Every question to the queue goes through one background lane, so that a slow database or a starting worker never stops
the picture.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from lens_engine.errors import JobError
from lens_engine.findings import Split
from lens_engine.jobs.inputs import DetectInputs, EvaluateInputs, JobInputs, JobKind, MineInputs, TrainInputs
from lens_engine.jobs.launcher import ensure_worker, hand_over, resume_job
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.results import ExportResult
from lens_engine.jobs.status import JobQueue, JobState, JobStatus, Urgency
from lens_engine.jobs.watching import WorkerWatch
from lens_napari.panels.jobs import JobsPanel
from lens_napari.panels.models import ModelsPanel
from lens_napari.panels.outdated_list import OutdatedListBox
from lens_napari.panels.retrain import RetrainPanel
from lens_napari.review.project_store import ProjectStore, message_of
from lens_napari.review.versions.learning import FrozenLabels, LastTraining, LearningPlan, OutdatedList, TrainChoices
from lens_napari.review.versions.models_view import ModelsView, models_view
from lens_napari.review.wording import export_words
from lens_napari.viewer.background import Lane

POLL_MS = 1000
PATIENCE_SECONDS = 5.0
"""How long closing waits for what was asked of the queue."""
PAUSE_MS = 1000
"""So long after the last decision what would be learned from is counted: counting slows the next picture down."""
SHOWN_JOBS = 30
LOG_TAIL_BYTES = 20_000


class JobsController(QObject):  # type: ignore[misc]  # qtpy carries no types
    """The jobs, models and retrain docks of one project.

    Parameters
    ----------
    store
        The opened project.
    commits
        The lane in which decisions are committed: a snapshot is frozen behind all of them.
    start_worker
        Whether a worker is started where none is alive.
    """

    candidates_changed = Signal()
    jobs_changed = Signal()
    """The queue was asked again; `jobs` holds its answer."""
    retrain_shown = Signal()

    def __init__(self, store: ProjectStore, commits: Lane, *, start_worker: bool) -> None:
        super().__init__()
        self._store = store
        self._commits = commits
        self._lane = Lane("jobs")
        self._counting = Lane("counting")
        self._is_plan_old = False
        self._may_start_worker = start_worker
        self._queue: JobQueue | None = None
        self._watch = WorkerWatch(store.project)
        self._states: dict[str, JobState] = {}
        self._is_freezing = False
        self.jobs: tuple[JobStatus, ...] = ()
        """The latest jobs, newest first, as of the last answer."""
        self.jobs_panel = JobsPanel()
        self.models_panel = ModelsPanel()
        self.retrain_panel = RetrainPanel()
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self.refresh_plan)
        self._connect()

    def start(self) -> None:
        """Begin to follow the queue."""
        self.refresh_plan()
        self.refresh_models()
        self._poll()
        self._timer.start()

    def close(self) -> None:
        """Stop following; jobs go on. A database that does not answer is not waited for."""
        self._timer.stop()
        self._pause.stop()
        if self._queue is not None:
            self._lane.submit(self._queue.close, lambda _: None, lambda _: None)
        self._lane.submit(self._watch.close, lambda _: None, lambda _: None)
        self._lane.close_within(PATIENCE_SECONDS)
        self._counting.close_within(PATIENCE_SECONDS)

    def show_retrain(self) -> None:
        """Ask for the retrain dock to come forward."""
        self.refresh_plan()
        self.retrain_shown.emit()

    def refresh_plan(self) -> None:
        """Count again what would be learned from: no verdict waits for it, and what comes meanwhile is counted once."""
        self._is_plan_old = True
        if self._counting.waiting == 0:
            self._is_plan_old = False
            self._counting.submit(self._store.learning_plan, self._on_plan, self._say)

    def refresh_plan_in_pause(self) -> None:
        """Count again what would be learned from, once, when the reader pauses."""
        self._pause.start()

    def refresh_models(self) -> None:
        """Read versions and evaluations again, what the last training has made, and what comes next."""
        self._lane.submit(self._read_models, self._show_models, self._say)
        self._lane.submit(self._last_training, self.retrain_panel.show_last_training, self._say)
        self._lane.submit(self._store.outdated_list, self._show_outdated_list, self._say)

    def submit(self, make_inputs: Callable[[], JobInputs]) -> None:
        """Queue a job whose inputs are made in the background, with a worker to run it."""
        self._lane.submit(partial(self._submit, make_inputs), self._on_submitted, self._say)

    def retrain(self, choices: TrainChoices) -> None:
        """Freeze the labels behind every decision made so far, then train on them."""
        self._is_freezing = True
        self._commits.submit(self._store.freeze, partial(self._train, choices), self._on_training_refused)

    def mine_again(self) -> None:
        """Let the version in use look at what it has not seen, and mine all of it, as one job."""
        self._lane.submit(
            partial(self._submit, lambda: MineInputs(model_version=self._version(), detect=True)),
            self._on_submitted,
            self._on_mining_refused,
        )

    def _train(self, choices: TrainChoices, frozen: FrozenLabels) -> None:
        self.retrain_panel.show_frozen(frozen)
        self._lane.submit(
            partial(self._submit, partial(self._train_inputs, choices, frozen.snapshot_id)),
            self._on_training,
            self._on_training_refused,
        )

    def _on_training(self, job_id: str) -> None:
        self._is_freezing = False
        self._on_submitted(job_id)

    def _on_training_refused(self, error: Exception) -> None:
        self._is_freezing = False
        self.retrain_panel.show_job(None)
        self.retrain_panel.show_message(message_of(error))

    # -- in the lane --------------------------------------------------------------------------------------------------

    def _opened_queue(self) -> JobQueue:
        if self._queue is None:
            self._queue = open_queue(self._store.project)
        return self._queue

    def _last_training(self) -> LastTraining | None:
        last = self._opened_queue().last_done(JobKind.TRAIN)
        return None if last is None else self._store.last_training(last)

    def _seen_jobs(self) -> tuple[JobStatus, ...]:
        """Return the latest jobs; those whose worker died are interrupted."""
        return self._watch.look(self._opened_queue().jobs(SHOWN_JOBS))

    def _submit(self, make_inputs: Callable[[], JobInputs]) -> str:
        job_id = self._opened_queue().submit(make_inputs(), Urgency.READER)
        if self._may_start_worker:
            ensure_worker(self._store.project)
        return job_id

    def _train_inputs(self, choices: TrainChoices, snapshot_id: str) -> TrainInputs:
        return TrainInputs(
            snapshot_id=snapshot_id,
            parent_version=self._version(),
            steps=choices.steps,
            seed=choices.seed,
            promote=choices.promote,
            from_scratch=choices.from_scratch,
            measure=True,
        )

    def _detect_inputs(self) -> DetectInputs:
        version = self._version()
        series = self._store.unseen_series(version)
        if not series:
            raise JobError(f"Model {version} has looked at every series", "", "Add series, or run Mine")
        return DetectInputs(series_ids=series, model_version=version)

    def _mine_inputs(self) -> MineInputs:
        return MineInputs(model_version=self._version())

    def _version(self) -> str:
        promoted = self._store.promoted()
        if promoted is None:
            raise JobError("The project has no model yet", "A model version in use is needed", "See: lens models")
        return promoted.version

    def _read_models(self) -> ModelsView:
        records = self._store.models.all()
        evaluations: dict[str, Sequence[Mapping[str, Any]]] = {
            record.version: [measured.result for measured in self._store.models.evaluations(record.version)]
            for record in records
        }
        return models_view(records, evaluations)

    def _read_log(self, job_id: str) -> str:
        path: Path = self._opened_queue().log_file(job_id)
        if not path.is_file():
            return "Nothing is written yet."
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")

    # -- in the window ------------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        if self._lane.waiting == 0:
            self._lane.submit(self._seen_jobs, self._on_jobs, self._say)

    def _on_jobs(self, jobs: Sequence[JobStatus]) -> None:
        self.jobs = tuple(jobs)
        self.jobs_panel.show_jobs(jobs)
        self.jobs_changed.emit()
        if self._may_start_worker:  # as after a crash of the machine, or of the worker
            self._lane.submit(lambda: self._watch.revive(jobs), lambda _: None, self._say)
        training = next((job for job in jobs if job.kind is JobKind.TRAIN), None)
        if training is not None and not self._is_freezing:
            self.retrain_panel.show_job(training)
        mining = next((job for job in jobs if job.kind is JobKind.MINE and not job.state.is_final), None)
        for box in self._outdated_list_boxes:
            box.show_mining(mining)
        for job in jobs:
            before = self._states.get(job.id)
            self._states[job.id] = job.state
            if job.state is JobState.DONE and before is not None and before is not JobState.DONE:
                self._on_done(job)
            if job.state is JobState.FAILED and job.kind is JobKind.MINE and before not in (None, JobState.FAILED):
                self._show_mining_message(job.error or "")

    def _on_done(self, job: JobStatus) -> None:
        if job.kind is JobKind.MINE:
            self.candidates_changed.emit()
        if job.kind in (JobKind.TRAIN, JobKind.EVALUATE, JobKind.MINE):
            self.refresh_models()
            self.refresh_plan()
        if job.kind is JobKind.EXPORT:
            folder = self._store.project.exports_folder
            self.jobs_panel.show_message(export_words(folder, ExportResult.model_validate(job.result)))

    def _on_plan(self, plan: LearningPlan) -> None:
        self.retrain_panel.show_plan(plan)
        if self._is_plan_old:
            self.refresh_plan()

    def _on_submitted(self, job_id: str) -> None:
        self._states[job_id] = JobState.QUEUED
        self.jobs_panel.show_message("")
        self._poll()

    def _show_models(self, view: ModelsView) -> None:
        self.models_panel.show_models(view.lines)
        self.models_panel.show_figure(view.froc.figure, view.froc.words, view.froc.details)

    @property
    def _outdated_list_boxes(self) -> tuple[OutdatedListBox, ...]:
        return self.models_panel.outdated_list, self.retrain_panel.outdated_list

    def _show_outdated_list(self, step: OutdatedList | None) -> None:
        for box in self._outdated_list_boxes:
            box.show_list(step)

    def _on_mining_refused(self, error: Exception) -> None:
        self._show_mining_message(message_of(error))

    def _show_mining_message(self, text: str) -> None:
        for box in self._outdated_list_boxes:
            box.show_message(text)

    def _say(self, error: Exception) -> None:
        self.jobs_panel.show_message(message_of(error))

    def _connect(self) -> None:
        jobs, models, retrain = self.jobs_panel, self.models_panel, self.retrain_panel
        jobs.cancel_requested.connect(self._cancel)
        jobs.resume_requested.connect(self._resume)
        jobs.log_requested.connect(self._show_log)
        jobs.detect_requested.connect(lambda: self.submit(self._detect_inputs))
        jobs.mine_requested.connect(lambda: self.submit(self._mine_inputs))
        jobs.export_requested.connect(lambda inputs: self.submit(lambda: inputs))
        models.promote_requested.connect(self._promote)
        models.evaluate_requested.connect(self._evaluate)
        retrain.retrain_requested.connect(self.retrain)
        retrain.cancel_requested.connect(self._cancel)
        retrain.promote_requested.connect(self._promote)
        for box in self._outdated_list_boxes:
            box.mine_requested.connect(self.mine_again)

    def _cancel(self, job_id: str) -> None:
        self._lane.submit(lambda: self._opened_queue().cancel(job_id), lambda _: self._poll(), self._say)

    def _resume(self, job_id: str) -> None:
        self._lane.submit(lambda: self._resume_in_lane(job_id), self._on_submitted, self._say)

    def _resume_in_lane(self, job_id: str) -> str:
        queue = self._opened_queue()
        go_on = resume_job if self._may_start_worker else hand_over
        return go_on(self._store.project, queue, job_id)

    def _show_log(self, job_id: str) -> None:
        self._lane.submit(lambda: self._read_log(job_id), self.jobs_panel.show_log, self._say)

    def _promote(self, version: str) -> None:
        self._lane.submit(lambda: self._store.models.promote(version), lambda _: self.refresh_models(), self._say)

    def _evaluate(self, version: str) -> None:
        self.submit(lambda: EvaluateInputs(model_versions=self._store.compared_versions(version), split=Split.TEST))
