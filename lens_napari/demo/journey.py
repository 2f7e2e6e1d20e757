"""`lens demo`: build the project, then open it on the first candidate or go through the whole loop unattended."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from lens_engine.errors import JobError
from lens_engine.findings import Split
from lens_engine.jobs.inputs import DetectInputs, EvaluateInputs, JobInputs, MineInputs, TrainInputs
from lens_engine.jobs.launcher import ensure_worker
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.results import DetectResult, EvaluateResult, MineResult, TrainResult
from lens_engine.jobs.status import JobState, JobStatus, wait_for
from lens_engine.phantom.simulated_reader import SimulatedReader
from lens_engine.snapshot import LabelSet
from lens_engine.store.catalog import Catalog
from lens_engine.store.exchange.exporting import export_test_set
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models
from lens_napari.application import review
from lens_napari.demo.demo_project import DemoProject, build_demo_project
from lens_napari.demo.report import DemoReport
from lens_napari.demo.review import DemoReview
from lens_napari.demo.test_set_pictures import take_test_set_pictures

TEST_PATIENTS = 8
MOST_REVIEWED = 1000
"""The unattended reader stops after so many lesions: the demo is to end within minutes."""

ARMS = {
    LabelSet.ORIGINAL: "no decisions",
    LabelSet.MINED: "mined labels only",
    LabelSet.CURATED: "mined labels and decisions",
}

Say = Callable[[str], None]


def run_demo(folder: Path, *, is_unattended: bool) -> None:
    """Make the demo project in `folder` and open it, or go through the whole loop and write a report.

    Raises
    ------
    LensError
        If a step fails; what was made so far stays in `folder`.
    """
    console = Console(soft_wrap=True)
    started = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:6.0f} s[/]  {escape(text)}", highlight=False)

    journey = _Journey(folder, say)
    journey.prepare()
    if not is_unattended:
        review(journey.demo.database.project.folder)
        return
    journey.go_on()
    page = journey.report.save(folder)
    console.print(page.read_text(encoding="utf-8"), markup=False, highlight=False)
    say(f"Report: {page}")


class _Journey:
    """The steps of the demo, each timed and told."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._seconds: dict[str, float] = {}
        self.demo: DemoProject
        self.report: DemoReport

    def prepare(self) -> None:
        """Make the project, detect and mine."""
        with self._timed("phantoms and import"):
            self.demo = build_demo_project(self._folder, TEST_PATIENTS, self._say)
        database = self.demo.database
        catalog, model = Catalog(database), Models(database).promoted()
        records = catalog.all_series(with_images=True)
        self.report = DemoReport(model.notice)
        self.report.series = dict(Counter(f"{record.dataset}, {record.split.value}" for record in records))
        self.report.lesions = self.demo.cohort.lesion_count
        self.report.labelled_lesions = self.demo.cohort.labelled_count
        with self._timed("detect"):
            inputs = DetectInputs(series_ids=tuple(record.id for record in records), model_version=model.version)
            detected = DetectResult.model_validate(dict(self._run(inputs).result))
        self.report.boxes_by_expert = detected.boxes
        self.report.findings_by_expert = detected.findings
        with self._timed("mine"):
            mined = MineResult.model_validate(dict(self._run(MineInputs(model_version=model.version)).result))
        self.report.candidates = mined.candidates
        self.report.candidates_by_reason = mined.by_reason
        self.report.distance_limit_note, self.report.threshold_note = mined.limit_note, mined.threshold_note

    def go_on(self) -> None:
        """Review, retrain in three arms, evaluate and export."""
        database = self.demo.database
        first = Models(database).promoted().version
        window = DemoReview(database.project.folder, self._folder / "screenshots")
        try:
            with self._timed("pictures of the panels"):
                window.picture_panels()
            with self._timed("review"):
                outcome = window.review(SimulatedReader(self.demo.true_boxes()), MOST_REVIEWED, self._say)
            self.report.decisions, self.report.candidates_left = dict(outcome.verdicts), outcome.left
            with self._timed("retrain, three arms"):
                versions = self._train_arms(first, window)
            with self._timed("evaluate"):
                inputs = EvaluateInputs(model_versions=(first, *versions), split=Split.TEST)
                self.report.evaluation = EvaluateResult.model_validate(dict(self._run(inputs).result))
            window.show_docks()
        finally:
            window.close()
        with self._timed("pictures of the test set"):
            take_test_set_pictures(self.demo, self._folder / "screenshots")
        self.report.arms = {first: "the model before retraining"} | dict(zip(versions, ARMS.values(), strict=True))
        with self._timed("export"):
            for name, form in (("test_set.pkl", "manual-pickle"), ("test_set.json", "json")):
                target = self._folder / "exports" / name
                target.parent.mkdir(exist_ok=True)
                export_test_set(database, form, target)
                self.report.exports.append(str(target.relative_to(self._folder)))
        pictures = sorted((self._folder / "screenshots").glob("*.png"))
        self.report.screenshots = [str(picture.relative_to(self._folder)) for picture in pictures]
        self.report.seconds = dict(self._seconds)

    def _train_arms(self, first: str, window: DemoReview) -> list[str]:
        """Train the arms without decisions through the queue, the last one through the Retrain button."""
        versions = []
        for labels in (LabelSet.ORIGINAL, LabelSet.MINED):
            snapshot = Snapshots(self.demo.database).freeze(labels)
            self._say(f"Snapshot {snapshot.id}, {ARMS[labels]}: {snapshot.counts}")
            done = self._run(TrainInputs(snapshot_id=snapshot.id, parent_version=first, measure=True))
            versions.append(TrainResult.model_validate(dict(done.result)).model_version)
        result = TrainResult.model_validate(dict(window.retrain(self._say).result))
        self.report.training_steps = result.steps
        return [*versions, result.model_version]

    def _run(self, inputs: JobInputs) -> JobStatus:
        """Queue a job, see that a worker is alive, and wait for its end."""
        queue = open_queue(self.demo.database.project)
        try:
            job_id = queue.submit(inputs)
            ensure_worker(self.demo.database.project)
            status = wait_for(queue, job_id)
        finally:
            queue.close()
        if status.state is not JobState.DONE:
            raise JobError(f"The {inputs.kind} job {status.state}: {status.error}", "", f"See the log of job {job_id}")
        return status

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        self._say(f"{step} …")
        started = time.monotonic()
        yield
        self._seconds[step] = time.monotonic() - started
