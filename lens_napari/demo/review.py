"""The review of the demo: the real window, the real widgets, one real key press per lesion."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from lens_engine.errors import JobError
from lens_engine.findings import Rule, Verdict
from lens_engine.jobs.inputs import JobKind
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.status import JobState, JobStatus
from lens_engine.phantom.simulated_reader import SimulatedReader
from lens_engine.project import Project
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.pictures import PanelPictures
from lens_napari.demo.waiting import wait_ready, wait_saved, wait_until
from lens_napari.demo.windows import canvas_in, dock_of, window_of
from lens_napari.workspace import SIZE

KEYS = {Verdict.ACCEPTED: Qt.Key.Key_Y, Verdict.REJECTED: Qt.Key.Key_N, Verdict.UNSURE: Qt.Key.Key_U}
SAID_INSTEAD = {Verdict.ADJUSTED: Verdict.ACCEPTED}
"""The demo presses one key for each lesion: a box that is about a lesion and lies badly is accepted as it is."""
PATIENCE_SECONDS = 60.0
PARTNER_SECONDS = 2.0
"""The scan of a partner is read in the background within this time."""
TRAINING_PATIENCE_SECONDS = 1200.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ReviewOutcome:
    """What was decided; `left` lesions were not asked about because the demo has little time."""

    verdicts: Counter[str]
    left: int


class DemoReview:
    """One opened review that is driven by key presses and clicks.

    Parameters
    ----------
    screenshots
        Folder for pictures of the whole window.
    """

    def __init__(self, project_folder: Path, screenshots: Path) -> None:
        self.controller: ReviewController = open_project(project_folder)
        self._project = Project.open(project_folder)
        self._screenshots = screenshots
        screenshots.mkdir(parents=True, exist_ok=True)
        self._window = window_of(self.controller.viewer)
        self._window.resize(*SIZE)  # napari restores the size of the last session, whatever that was
        self._canvas = canvas_in(self._window)

    def picture(self, name: str) -> None:
        """Save the whole window."""
        QApplication.processEvents()
        self._window.grab().save(str(self._screenshots / f"{name}.png"))

    def picture_panels(self) -> None:
        """Save the window with each panel that a key opens."""
        PanelPictures(self.controller, self._canvas, self.picture).take()

    def review(self, reader: SimulatedReader, at_most: int, say: Say) -> ReviewOutcome:
        """Press one key for each lesion until none is left or `at_most` are decided."""
        verdicts: Counter[str] = Counter()
        pictured: set[Rule] = set()
        wait_until(lambda: self.controller.is_open, PATIENCE_SECONDS)
        while self.controller.is_asking and verdicts.total() < at_most:
            if not wait_ready(self.controller, PATIENCE_SECONDS):
                raise JobError("A lesion did not appear within a minute", "", "See the messages above")
            asked, shown = self.controller.current, self.controller.shown_series
            if asked is None or shown is None:
                break
            for rule in {reason.rule for reason in asked.candidate.reasons} - pictured:
                pictured.add(rule)
                wait_until(lambda: False, PARTNER_SECONDS)
                self.picture(f"review-{rule.value}")
            answer = reader.answer(shown.name, asked.candidate.finding.box)
            verdict = SAID_INSTEAD.get(answer.verdict, answer.verdict)
            QTest.keyClick(self._canvas, KEYS[verdict])
            verdicts[verdict.value] += 1
        if not wait_saved(self.controller, PATIENCE_SECONDS):
            raise JobError("The decisions were not saved within a minute", "", "See the messages above")
        left = self.controller.session.tally().open
        say(f"{verdicts.total()} lesions decided by the simulated reader, {left} left")
        self.picture("after-review")
        return ReviewOutcome(verdicts, left)

    def retrain(self, say: Say) -> JobStatus:
        """Click the Retrain button and wait until the job has ended."""
        panel = self.controller.retrain_panel
        self.controller.jobs.show_retrain()
        wait_until(panel.retrain_button.isEnabled, PATIENCE_SECONDS)
        known = self._known_jobs()
        QTest.mouseClick(panel.retrain_button, Qt.MouseButton.LeftButton)
        wait_until(lambda: self._training(known) is not None, PATIENCE_SECONDS)
        wait_until(lambda: self._is_half_way(known), TRAINING_PATIENCE_SECONDS)
        self.picture("retraining")
        wait_until(lambda: self._has_ended(known), TRAINING_PATIENCE_SECONDS)
        job = self._training(known)
        if job is None or job.state is not JobState.DONE:
            raise JobError(f"Retraining ended as {job.state if job else 'nothing'}", "", "See: lens jobs")
        say(f"The Retrain button made {job.result['model_version']}")
        return job

    def show_docks(self) -> None:
        """Bring the docks forward that no key opens, and picture them: models, all jobs, adding scans."""
        self.controller.jobs.refresh_models()
        dock_of(self.controller.models_panel).raise_()
        wait_until(lambda: False, 3.0)
        self.picture("models")
        QTest.mouseClick(self.controller.jobs_panel.list_button, Qt.MouseButton.LeftButton)
        wait_until(lambda: False, PARTNER_SECONDS)
        self.picture("jobs")
        QTest.mouseClick(self.controller.jobs_panel.list_button, Qt.MouseButton.LeftButton)
        dock_of(self.controller.adding.panel).raise_()
        wait_until(lambda: False, PARTNER_SECONDS)
        self.picture("add-scans")

    def close(self) -> None:
        """Close the window; every decision is on disk."""
        self.controller.close()
        self.controller.viewer.close()

    def _known_jobs(self) -> set[str]:
        """Return every job of the project so far; the window may not have heard of the latest yet."""
        queue = open_queue(self._project)
        try:
            return {job.id for job in queue.jobs()}
        finally:
            queue.close()

    def _training(self, known: set[str]) -> JobStatus | None:
        jobs = self.controller.jobs.jobs
        return next((job for job in jobs if job.kind is JobKind.TRAIN and job.id not in known), None)

    def _is_half_way(self, known: set[str]) -> bool:
        job = self._training(known)
        return job is not None and (job.state.is_final or job.progress.fraction >= 0.5)

    def _has_ended(self, known: set[str]) -> bool:
        job = self._training(known)
        return job is not None and job.state.is_final
