"""What is left after a storm: decisions that a reader saw saved, jobs, files, and how a project starts again."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from lens_engine.jobs.heartbeat import living_workers
from lens_engine.jobs.queue import open_queue
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.workers import Workers
from soak.reader import PRESSED, SAVED
from soak.storm import Toll

TEMPORARY = ("*.part", "*.tmp", "*.partial")


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What was counted, and what is wrong.

    Attributes
    ----------
    saved
        Verdicts that the reader saw on disk.
    stored
        Decisions in the database.
    wrong
        One line for each thing that is missing, doubled, stuck or left over; nothing where all is well.
    """

    saved: int
    stored: int
    wrong: tuple[str, ...] = field(default=())


def reckon(project: Project, notes: Path, toll: Toll) -> Reckoning:
    """Look at a project in which nothing runs any more, after the sweep that workers make of files that are old."""
    database = Database.open(project)
    try:
        Detections(database).sweep_orphans(older_than_seconds=0)
        stored = [one for series in Catalog(database).all_series() for one in Decisions(database).history(series.id)]
        words = [line.split() for line in notes.read_text(encoding="utf-8").splitlines()] if notes.exists() else []
        saved = [(int(word[1]), word[2]) for word in words if word[0] == SAVED]
        pressed = Counter(int(word[1]) for word in words if word[0] == PRESSED)
        wrong = [
            *_missing(saved, stored),
            *_doubled(pressed, stored),
            *_stuck(project, toll),
            *(f"worker {row.worker_id} is still said to be alive" for row in living_workers(Workers(database))),
            *(f"left over: {path.relative_to(project.folder)}" for path in _left_over(project)),
        ]
    finally:
        database.close()
    return Reckoning(len(saved), len(stored), tuple(wrong))


def _missing(saved: list[tuple[int, str]], stored: list[DecisionRecord]) -> list[str]:
    there = {(record.candidate_id, record.verdict.value) for record in stored}
    lost = [(lesion, verdict) for lesion, verdict in saved if (lesion, verdict) not in there]
    return [f"lesion {lesion}: {verdict} was saved, and is not there" for lesion, verdict in lost]


def _doubled(pressed: Counter[int], stored: list[DecisionRecord]) -> list[str]:
    counts = Counter(record.candidate_id for record in stored if record.candidate_id is not None)
    return [
        f"lesion {lesion}: {count} decisions of {pressed[lesion]} key presses"
        for lesion, count in counts.items()
        if count > pressed[lesion]
    ]


def _stuck(project: Project, toll: Toll) -> list[str]:
    queue = open_queue(project)
    try:
        still_open = [f"{count} jobs are still {state}" for state, count in queue.open_job_counts().items()]
    finally:
        queue.close()
    return still_open + [f"job {job_id} ended as {state}" for job_id, state in toll.jobs.items() if state != "done"]


def _left_over(project: Project) -> list[Path]:
    return sorted(path for pattern in TEMPORARY for path in project.folder.rglob(pattern))
