"""A real project for each replicate, driven as a user would: scans in, jobs queued, decisions stored."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lens_engine.errors import JobError
from lens_engine.findings import Box3D, Decision, Scope, SliceBox, Split, Verdict, slices_of_box
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.jobs.inputs import JobInputs
from lens_engine.jobs.launcher import ensure_worker, resume_job
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.status import JobState, JobStatus, wait_for
from lens_engine.phantom.cohort import folder_name
from lens_engine.phantom.patient import DATASETS, UNIVERSAL
from lens_engine.phantom.simulated_reader import SimulatedReader
from lens_engine.project import Project
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.exchange.ingest import add_scans, import_annotations
from lens_engine.store.new_project import create_project
from lens_training.loop.design import Order

READER = "simulated reader"
JOBS_FILE = "loop-jobs.json"
"""In the project folder: the job of every step, so that a run that was ended goes on with the same ones."""

Lesion3D = tuple[Box3D, tuple[SliceBox, ...]]


@dataclass(frozen=True, slots=True)
class LoopProject:
    """One project of the experiment."""

    database: Database

    @property
    def folder(self) -> Path:
        """Folder of the project."""
        return self.database.project.folder

    def series_ids(self, split: Split) -> tuple[int, ...]:
        """Return the series of one split."""
        records = Catalog(self.database).all_series(with_images=True)
        return tuple(record.id for record in records if record.split is split)

    def job(self, step: str, inputs: JobInputs) -> JobStatus:
        """Return the finished job of a step: done before, gone on with, or queued now.

        Raises
        ------
        JobError
            If it fails.
        """
        queue = open_queue(self.database.project)
        try:
            known = self._jobs()
            if step not in known:
                known[step] = queue.submit(inputs)
                write_text_atomically(self._jobs_file, json.dumps(known, indent=1))
            job_id = known[step]
            if queue.status(job_id).state in (JobState.FAILED, JobState.CANCELLED):
                job_id = resume_job(self.database.project, queue, job_id)
            elif not queue.status(job_id).state.is_final:
                ensure_worker(self.database.project)
            status = wait_for(queue, job_id)
        finally:
            queue.close()
        if status.state is not JobState.DONE:
            raise JobError(
                f"{step}: the {inputs.kind} job {status.state}: {status.error}",
                "Every job of the experiment has to succeed",
                f"See the log of job {job_id} in {self.folder}, then start the experiment again with --resume",
            )
        return status

    def asked(self, order: Order, seed: int) -> tuple[CandidateRecord, ...]:
        """Return the open candidates of the training patients in one order; `seed` draws the random one."""
        as_asked = Candidates(self.database).queue()
        if order is Order.BY_SCORE:
            return tuple(sorted(as_asked, key=lambda asked: -asked.candidate.finding.score))
        if order is Order.AT_RANDOM:
            return tuple(as_asked[row] for row in np.random.default_rng(seed).permutation(len(as_asked)))
        return as_asked

    def decide(self, reader: SimulatedReader, asked: Sequence[CandidateRecord]) -> dict[str, int]:
        """Let the reader answer these candidates; return how often which answer stands then."""
        names = {record.id: record.name for record in Catalog(self.database).all_series(with_images=True)}
        decisions = Decisions(self.database)
        for record in asked:
            finding, series_id = record.candidate.finding, record.candidate.series_id
            answer = reader.answer(names[series_id], finding.box)
            slices = finding.slices if answer.box == finding.box else slices_of_box(answer.box)
            decisions.add(_decision(series_id, record.id, answer.verdict, (answer.box, slices)))
        return {verdict.value: count for verdict, count in decisions.counts().items()}

    def take_back_all(self) -> None:
        """Withdraw every decision, so that each candidate is open again."""
        decisions = Decisions(self.database)
        for record in decisions.current():
            said = record.decision
            decisions.add(replace(said, verdict=Verdict.WITHDRAWN, previous_id=record.id, decided_at=datetime.now(UTC)))

    def draw_all(self, lesions: Mapping[str, Sequence[Lesion3D]]) -> None:
        """Let a reader who overlooks nothing draw these lesions of each series, those that are not drawn yet."""
        catalog, decisions = Catalog(self.database), Decisions(self.database)
        for name, wanted in lesions.items():
            series = catalog.by_name(name)
            drawn = {record.box for record in decisions.current(series.id)}
            for lesion in wanted:
                if lesion[0] not in drawn:
                    decisions.add(_decision(series.id, None, Verdict.ADDED, lesion))

    @property
    def _jobs_file(self) -> Path:
        return self.folder / JOBS_FILE

    def _jobs(self) -> dict[str, str]:
        if not self._jobs_file.exists():
            return {}
        known: dict[str, str] = json.loads(self._jobs_file.read_text(encoding="utf-8"))
        return known


def open_or_make(folder: Path, cohort: Path, test: Path | None, *, with_annotations: bool) -> LoopProject:
    """Return the project in `folder`, made with the scans of a cohort where there is none: completely or not at all.

    Parameters
    ----------
    cohort
        Folder with the scans to learn from, as `write_cohort` leaves it.
    test
        The same with those to measure on; None leaves them out.
    with_annotations
        Whether the universal annotations are imported; those of the single-type data sets always are.
    """
    if not folder.exists():
        begun = folder.with_name(f"{folder.name}.begun")
        shutil.rmtree(begun, ignore_errors=True)
        _make(begun, cohort, test, with_annotations=with_annotations)
        begun.rename(folder)
    return LoopProject(Database.open(Project.open(folder)))


def _make(folder: Path, cohort: Path, test: Path | None, *, with_annotations: bool) -> None:
    database, _ = create_project(folder, folder.name.removesuffix(".begun"))
    catalog = Catalog(database)
    for dataset in DATASETS:
        if dataset != UNIVERSAL:
            catalog.add_dataset(dataset, Scope.SINGLE_TYPE, dataset)
        home = cohort / folder_name(dataset)
        add_scans(database, [home / "rawdata" / Split.TRAIN.value], dataset, Split.TRAIN)
        if dataset != UNIVERSAL or with_annotations:
            for file in sorted((home / "annotations").iterdir()):
                import_annotations(database, file, lesion_type=None if dataset == UNIVERSAL else dataset)
    if test is not None:
        add_scans(database, [test / folder_name(UNIVERSAL) / "rawdata" / Split.TEST.value], UNIVERSAL, Split.TEST)
        import_annotations(database, test / "truth" / "manual_truth.pkl")
    database.close()


def _decision(series_id: int, candidate_id: int | None, verdict: Verdict, lesion: Lesion3D) -> Decision:
    return Decision(series_id, candidate_id, verdict, *lesion, reader=READER, decided_at=datetime.now(UTC))
