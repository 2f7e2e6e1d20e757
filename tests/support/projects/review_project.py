"""A small real project for the viewer's tests: phantom scans on disk, a model, detections and candidates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from lens_engine.checkpoint_card import DEMO_NOTICE, CheckpointCard, TrainedOn
from lens_engine.findings import (
    FUSED,
    Candidate,
    CandidateKind,
    Decision,
    Finding,
    Reason,
    Rule,
    Scope,
    SliceBox,
    Split,
    Verdict,
)
from lens_engine.io.series import SeriesFormat, SeriesSource
from lens_engine.phantom.patient import PhantomLesion, PhantomSeries, PhantomSettings, make_patient
from lens_engine.phantom.write_nifti import write_nifti_series
from lens_engine.project import Project
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.catalog import Catalog, NewSeries, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.models.model_versions import Models

EXPERTS = ("universal", "lung", "liver", "lymph node")
SMALL = PhantomSettings(size=96, slice_spacing_mm=8.0, coverage_mm=240.0)
SEED = 3_000
MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class ReviewProject:
    """Where the project lies and what it holds."""

    folder: Path
    series: tuple[SeriesRecord, ...]
    candidates: int


def make_review_project(folder: Path, patients: int = 2, settings: PhantomSettings = SMALL) -> ReviewProject:
    """Make a project in which every lesion but the first of each series waits for a reader."""
    database = Database.create(Project.create(folder / "project"))
    catalog = Catalog(database)
    catalog.add_dataset("universal", Scope.UNIVERSAL)
    version = Models(database).register(_checkpoint(folder / "checkpoint"))
    Models(database).promote(version.version)
    records: list[SeriesRecord] = []
    candidates: list[Candidate] = []
    for number in range(patients):
        patient = make_patient(SEED + number, "universal", settings)
        first_annotation: int | None = None
        for series in patient.series:
            path = folder / "scans" / f"{number}_{series.study_number}_{series.series_number}.nii.gz"
            write_nifti_series(path, series)
            record = _add(catalog, path, number, series)
            records.append(record)
            _detect(database, record.id, version.version, series)
            marked, waiting = series.lesions[:1], series.lesions[1:]
            annotation = _annotate(database, record.id, marked)
            first_annotation = first_annotation or annotation
            candidates += [_candidate(record.id, lesion, first_annotation, i) for i, lesion in enumerate(waiting)]
    Candidates(database).replace_open(
        version.version, candidates, [1 - i / (len(candidates) + 1) for i in range(len(candidates))]
    )
    database.close()
    return ReviewProject(folder / "project", tuple(records), len(candidates))


def add_held_out_series(folder: Path, split: Split = Split.TEST) -> SeriesRecord:
    """Add the scan and the labels of the first series as those of a patient that no detector learns from."""
    database = Database.open(Project.open(folder))
    catalog, annotations = Catalog(database), Annotations(database)
    first = catalog.all_series()[0]
    assert first.geometry is not None
    new = NewSeries(
        patient_key="held out",
        study_key="held out",
        series_key="held out",
        first_slice_number=1,
        last_slice_number=first.geometry.shape[0],
        geometry=first.geometry,
        source=first.source,
    )
    record, _ = catalog.add_series(new, "universal", split)
    labels = annotations.of_series(first.id)
    annotations.add([NewAnnotation(record.id, label.box, label.slices, label.role, label.origin) for label in labels])
    database.close()
    return record


def add_reconstruction(folder: Path) -> tuple[int, int]:
    """Add the first scan once more, as another series of its examination in the same coordinates, and mine both anew.

    The ids of the first candidate and of the same one in the new series come back.
    """
    database = Database.open(Project.open(folder))
    catalog = Catalog(database)
    first = catalog.all_series()[0]
    assert first.geometry is not None
    assert first.source is not None
    new = NewSeries(
        patient_key="patient 0",
        study_key=f"study 0 {first.study_number}",
        series_key=first.source.paths[0].name,
        first_slice_number=1,
        last_slice_number=first.geometry.shape[0],
        geometry=first.geometry,
        source=first.source,
        frame_key="one frame",
    )
    catalog.add_series(new, "universal")
    second, is_new = catalog.add_series(replace(new, series_key="sharp kernel"), "universal")
    assert is_new
    found = list(Candidates(database).latest().values())
    lesion = next(one for one in found if one.series_id == first.id)
    others = [one for one in found if one is not lesion]
    mined = [lesion, replace(lesion, series_id=second.id), *others]
    Candidates(database).replace_open("v1", mined, [1 - i / len(mined) for i in range(len(mined))])
    asked, again, *_ = Candidates(database).latest()
    database.close()
    return asked, again


def mine_in(folder: Path, series_id: int) -> None:
    """Store a mining run that finds in one more series what the latest one found first."""
    database = Database.open(Project.open(folder))
    found = list(Candidates(database).latest().values())
    found.append(replace(found[0], series_id=series_id))
    Candidates(database).replace_open("v1", found, [1 - i / (len(found) + 1) for i in range(len(found))])
    database.close()


def mine_twins(folder: Path) -> tuple[int, int]:
    """Store a run that finds a lesion and, as a lesion of its own, the same half a voxel aside; return their ids."""
    database = Database.open(Project.open(folder))
    first = Candidates(database).queue()[0].candidate
    x1, y1, z1, x2, y2, z2 = first.finding.box
    slices = tuple(
        SliceBox(one.slice_index, (one.box[0] + 0.5, one.box[1], one.box[2] + 0.5, one.box[3]))
        for one in first.finding.slices
    )
    twin = replace(first.finding, box=(x1 + 0.5, y1, z1, x2 + 0.5, y2, z2), slices=slices, score=0.5)
    Candidates(database).replace_open("v1", [first, replace(first, finding=twin)], [0.9, 0.8])
    lesion_id, twin_id = Candidates(database).latest()
    database.close()
    return lesion_id, twin_id


def decide_as(folder: Path, reader: str, candidate_id: int, verdict: Verdict, comment: str = "") -> None:
    """Let another reader decide about a candidate, over a connection of his own."""
    database = Database.open(Project.open(folder))
    asked = Candidates(database).get(candidate_id).candidate
    box, slices = asked.finding.box, asked.finding.slices
    decided_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    said = Decision(asked.series_id, candidate_id, verdict, box, slices, reader, decided_at, comment=comment)
    Decisions(database).add(said)
    database.close()


def match_with_a_decision(folder: Path) -> None:
    """Accept the last candidate of the first series, then store a run that matches another one of the patient to it."""
    database = Database.open(Project.open(folder))
    records = [record for record in Candidates(database).queue() if record.candidate.series_id == 1]
    then, now = records[-1], records[0]
    finding = then.candidate.finding
    decided_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    decision = Decision(1, then.id, Verdict.ACCEPTED, finding.box, finding.slices, "Reader A", decided_at)
    reason = Reason(Rule.INTRA_PATIENT, decision_id=Decisions(database).add(decision).id, distance=0.11)
    Candidates(database).replace_open("v1", [replace(now.candidate, reasons=(reason,))], [0.5])
    database.close()


def series_on_disk(folder: Path, series_id: int) -> SeriesRecord:
    """Read one series with a connection of its own."""
    database = Database.open(Project.open(folder))
    record = Catalog(database).series(series_id)
    database.close()
    return record


def lesions_on_disk(folder: Path) -> tuple[CandidateRecord, ...]:
    """Read every lesion that is asked about with a connection of its own, in the order of the queue."""
    database = Database.open(Project.open(folder))
    found = Candidates(database).queue()
    database.close()
    return found


def decisions_on_disk(folder: Path) -> list[DecisionRecord]:
    """Read every decision with a connection of its own, oldest first."""
    database = Database.open(Project.open(folder))
    series = {record.decision.series_id for record in Decisions(database).current()}
    history = [record for series_id in sorted(series) for record in Decisions(database).history(series_id)]
    database.close()
    return sorted(history, key=lambda record: record.id)


def history_on_disk(folder: Path) -> list[DecisionRecord]:
    """Read every decision of every series with a connection of its own, oldest first, taken back or not."""
    database = Database.open(Project.open(folder))
    history = [one for series in Catalog(database).all_series() for one in Decisions(database).history(series.id)]
    database.close()
    return sorted(history, key=lambda record: record.id)


def _checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"no weights are needed to look at boxes")
    card = CheckpointCard(experts=EXPERTS, trained_on=TrainedOn.PHANTOMS, notice=DEMO_NOTICE)
    (folder / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
    return folder


def _add(catalog: Catalog, path: Path, number: int, series: PhantomSeries) -> SeriesRecord:
    new = NewSeries(
        patient_key=f"patient {number}",
        study_key=f"study {number} {series.study_number}",
        series_key=path.name,
        first_slice_number=1,
        last_slice_number=series.volume.geometry.shape[0],
        study_date=date(2023, 5, 3 + series.study_number),
        description="phantom, chest and abdomen",
        geometry=series.volume.geometry,
        source=SeriesSource(SeriesFormat.NIFTI, (path.resolve(),), None),
    )
    return catalog.add_series(new, "universal", Split.TRAIN)[0]


def _detect(database: Database, series_id: int, version: str, series: PhantomSeries) -> None:
    findings = tuple(
        _finding(lesion, expert, score)
        for i, lesion in enumerate(series.lesions)
        for expert, score in (("universal", 0.9 - 0.07 * i), (EXPERTS[1 + i % 3], 0.85 - 0.05 * i), (FUSED, 0.88))
    )
    empty = Proposals(
        experts=(*EXPERTS, FUSED),
        grid_spacing_mm=2.0,
        slice_spacing_mm=series.volume.geometry.spacing_mm[0],
        expert_index=np.zeros(0, np.int16),
        grid_index=np.zeros(0, np.int32),
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        embeddings=np.zeros((0, 0), np.float32),
    )
    Detections(database).write(series_id, version, SeriesDetections(empty, findings))


def _annotate(database: Database, series_id: int, lesions: Sequence[PhantomLesion]) -> int | None:
    annotations = Annotations(database)
    annotations.add(
        [
            NewAnnotation(series_id, lesion.box, lesion.slices, AnnotationRole.LABEL, AnnotationOrigin.DRAWN)
            for lesion in lesions
        ]
    )
    stored = annotations.of_series(series_id)
    return stored[0].id if stored else None


def _candidate(series_id: int, lesion: PhantomLesion, annotation_id: int | None, number: int) -> Candidate:
    finding = _finding(lesion, FUSED, 0.8 - 0.03 * number)
    finding = replace(finding, expert_scores={"universal": 0.62, EXPERTS[1 + number % 3]: 0.81})
    if number % 2 == 0:
        reason = Reason(Rule.INTRA_PATIENT, annotation_id=annotation_id, distance=0.11, distance_limit=0.15)
        return Candidate(series_id, finding, CandidateKind.MISSING_ANNOTATION, (reason,))
    uncertain = Reason(Rule.CROSS_DATASET, expert=EXPERTS[1 + number % 3], score=0.81)
    return Candidate(series_id, finding, CandidateKind.UNCERTAIN, (uncertain,))


def _finding(lesion: PhantomLesion, expert: str, score: float) -> Finding:
    shift = 0.0 if expert == FUSED else 1.0
    grown = MARGIN + shift
    slices = tuple(
        SliceBox(one.slice_index, (x1 - grown, y1 - grown, x2 + MARGIN - shift, y2 + MARGIN - shift))
        for one in lesion.slices
        for x1, y1, x2, y2 in [one.box]
    )
    x1, y1, z1, x2, y2, z2 = lesion.box
    return Finding(expert, (x1 - MARGIN, y1 - MARGIN, z1, x2 + MARGIN, y2 + MARGIN, z2), slices, max(score, 0.1))
