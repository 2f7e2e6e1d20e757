"""The whole loop from a shell: scans in, detection, mining, a reader's decisions, retraining, evaluation, export."""

import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from support.processes import command_line

from lens_engine.findings import Decision, Split, Verdict
from lens_engine.jobs.launcher import workers
from lens_engine.phantom.cohort import CohortPlan, CohortReport, PlannedPatient, write_cohort
from lens_engine.phantom.patient import PhantomSettings
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet, LesionRole
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def lens(project: Path, *arguments: str | Path) -> str:
    """Run one verb and return what it printed."""
    done = command_line.lens("--project", project, *arguments)
    assert done.returncode == 0, f"lens {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> CohortReport:
    settings = PhantomSettings(size=128, coverage_mm=96.0)
    patients = (
        PlannedPatient(number=1, seed=3101, dataset="universal", split=Split.TRAIN, studies=2),
        PlannedPatient(number=2, seed=3102, dataset="universal", split=Split.TRAIN),
        PlannedPatient(number=3, seed=3103, dataset="universal", split=Split.TEST, is_nifti=True),
        PlannedPatient(number=4, seed=3104, dataset="universal", split=Split.TEST),
        PlannedPatient(number=5, seed=3105, dataset="liver", split=Split.TRAIN),
    )
    return write_cohort(tmp_path_factory.mktemp("journey") / "phantoms", CohortPlan(patients, settings))


@pytest.fixture(scope="module")
def project(cohort: CohortReport) -> Iterator[Path]:
    folder = cohort.folder.parent / "project"
    assert command_line.lens("init", folder).returncode == 0
    for split in (Split.TRAIN, Split.TEST):
        lens(folder, "add", cohort.rawdata_folder("universal", split), "--split", split.value)
    liver = cohort.rawdata_folder("liver", Split.TRAIN)
    lens(folder, "add", liver, "--dataset", "liver", "--lesion-type", "liver", "--split", "train")
    for files in cohort.annotation_files.values():
        lens(folder, "import", *files)
    lens(folder, "import", cohort.manual_truth_file)
    yield folder
    for worker in workers(Project.open(folder)):
        if psutil.pid_exists(worker.pid):
            psutil.Process(worker.pid).terminate()


def test_whole_loop_from_scans_to_a_new_model_and_an_export(project: Path, tmp_path: Path) -> None:
    database = Database.open(Project.open(project))
    detected = lens(project, "detect", "--wait")
    assert all(expert in detected for expert in ("universal", "lung", "liver", "lymph node", "fused"))
    lens(project, "mine", "--wait")
    queue = Candidates(database).queue()
    assert queue, "the demo model gives candidates on phantoms"
    splits = {record.id: record.split for record in Catalog(database).all_series()}
    assert {splits[record.candidate.series_id] for record in queue} == {Split.TRAIN}

    rejected, accepted = queue[0], queue[-1]
    for record, verdict in ((rejected, Verdict.REJECTED), (accepted, Verdict.ACCEPTED)):
        finding = record.candidate.finding
        Decisions(database).add(
            Decision(
                series_id=record.candidate.series_id,
                candidate_id=record.id,
                verdict=verdict,
                box=finding.box,
                slices=finding.slices,
                reader="journey",
                decided_at=datetime.now(UTC),
            )
        )
    snapshots = Snapshots(database)
    curated = snapshots.read(snapshots.freeze(LabelSet.CURATED).id)
    roles = {lesion.role for series in curated.series for lesion in series.lesions if lesion.origin == "decision"}
    assert roles >= {LesionRole.POSITIVE, LesionRole.NEGATIVE}

    retrained = lens(project, "retrain", "--steps", "4", "--wait")
    assert "2 test series of 2 patients" in " ".join(retrained.split())
    (first, second) = Models(database).all()
    assert (second.parent, second.is_promoted) == (first.version, False)
    measured = lens(project, "evaluate", "v1", "v2", "--wait")
    assert "2 test series of 2 patients" in " ".join(measured.split())

    lens(project, "mine", "--wait")
    asked_again = {record.id for record in Candidates(database).queue()}
    decided = [record for record in Candidates(database).queue(include_decided=True) if record.decision is not None]
    assert len(decided) >= 2, "a new mining run inherits the decisions"
    assert not asked_again & {record.id for record in decided}

    out = tmp_path / "boxes.pkl"
    lens(project, "export", out)
    parts = pickle.loads(out.read_bytes())
    assert set(parts) == {"val", "test"}
    assert len(parts["test"]) >= 2
    assert all(rows.shape[1] == 6 for part in parts.values() for rows in part.values())
