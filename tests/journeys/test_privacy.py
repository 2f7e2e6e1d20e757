"""A name of a patient in headers, files and folders: after a whole journey it stands where the user guide says only."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from support.files.planted_names import MAY_HOLD_PATHS, NAMES, has_name, traces_below, write_named_dicom
from support.processes.command_line import lens
from support.processes.waiting import wait_for_end
from support.projects.worker_project import LESION, SHAPE, start_worker, tiny_checkpoint, write_scan

from lens_engine.findings import Split
from lens_engine.jobs.inputs import DetectInputs, MineInputs
from lens_engine.jobs.queue import open_queue
from lens_engine.jobs.status import JobState
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models

__all__ = ["start_worker", "tiny_checkpoint"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MAY_HOLD_PATHS_TOO = ("snapshots/",)
"""Files that must find the scans again, as the user guide lists them."""
GUIDE = Path(__file__).parents[2] / "docs" / "user-guide.md"


def write_named_mask(path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    x1, y1, z1, x2, y2, z2 = (int(edge) for edge in LESION)
    labels[z1:z2, y1:y2, x1:x2] = 1
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((2.0, 2.0, 4.0))
    sitk.WriteImage(image, str(path))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Return a folder with two scans of named patients, and a mask."""
    folder = tmp_path / f"{NAMES[0]}_{NAMES[1]}"
    write_named_dicom(folder / f"{NAMES[0]} CT", 1)
    write_scan(folder / f"{NAMES[1]}.nii.gz", 2)
    write_named_mask(folder / f"{NAMES[0]}_mask.nii.gz")
    return folder


@pytest.fixture
def database(tmp_path: Path) -> Database:
    assert lens("init", tmp_path / "project").returncode == 0
    return Database.open(Project.open(tmp_path / "project"))


def test_names_of_patients_stand_in_the_listed_columns_and_nowhere_else(
    database: Database, scans: Path, tiny_checkpoint: Path, start_worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    project = database.project
    added = lens("--project", project.folder, "add", scans / f"{NAMES[0]} CT", "--split", "train")
    assert added.returncode == 0
    assert "Thorax … 1.0 B30f" in added.stdout
    assert lens("--project", project.folder, "add", scans / f"{NAMES[1]}.nii.gz", "--split", "val").returncode == 0
    first, second = Catalog(database).all_series()
    mask = scans / f"{NAMES[0]}_mask.nii.gz"
    imported = lens("--project", project.folder, "import", mask, "--series", first.name)
    assert imported.returncode == 0, imported.stdout + imported.stderr
    models = Models(database)
    models.promote(models.register(tiny_checkpoint).version)
    Catalog(database).mark_complete(second.id, Split.VAL.value)
    Snapshots(database).freeze(LabelSet.ORIGINAL)

    start_worker()
    jobs = open_queue(project)
    detected = jobs.submit(DetectInputs(series_ids=(first.id, second.id), model_version="v1"))
    assert wait_for_end(jobs, detected, 240).state is JobState.DONE
    wait_for_end(jobs, jobs.submit(MineInputs(model_version="v1")), 240)
    for path in second.source.paths if second.source is not None else ():
        path.unlink()
    models.register(tiny_checkpoint)
    failed = wait_for_end(jobs, jobs.submit(DetectInputs(series_ids=(second.id,), model_version="v2")), 240)
    assert failed.state is JobState.FAILED
    jobs.close()
    for name in ("set.json", "set.pkl"):
        form = "json" if name.endswith("json") else "manual-pickle"
        exported = lens("--project", project.folder, "export", project.exports_folder / name, "--format", form)
        assert exported.returncode == 0, exported.stdout + exported.stderr
        assert not has_name(exported.stdout + exported.stderr)
    for verb in (["jobs"], ["models"], ["testset"], ["complete"], ["doctor"]):
        said = lens("--project", project.folder, *verb)
        assert not has_name(said.stdout + said.stderr), verb
    database.close()
    told = traces_below(project.folder)
    assert [place for place in told if not place.startswith(MAY_HOLD_PATHS_TOO)] == []


def test_the_guide_lists_the_columns_that_may_hold_a_path() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    places = [f"`{table}.{column}`" for table, column in MAY_HOLD_PATHS]
    assert [place for place in [*places, "`snapshots`", "`exports/…_mapping.csv`"] if place not in guide] == []
