"""Make the demo project: phantom patients written as scans and annotations, then added and imported as a user would."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lens_engine.errors import ProjectError
from lens_engine.findings import Box3D, Scope, Split
from lens_engine.phantom.cohort import CohortReport, plan_demo, write_cohort
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.exchange.importing import UNIVERSAL_DATASET
from lens_engine.store.exchange.ingest import add_scans, import_annotations
from lens_engine.store.new_project import create_project
from lens_napari.demo.marker import MARKER

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoProject:
    """The demo on disk.

    Attributes
    ----------
    folder
        Holds `phantoms/`, `project/` and, after a journey, `screenshots/` and the report.
    cohort
        What was written, with the complete truth that the project does not know.
    """

    folder: Path
    database: Database
    cohort: CohortReport

    def true_boxes(self) -> dict[str, tuple[Box3D, ...]]:
        """Return every true lesion by series name."""
        truth = json.loads(self.cohort.truth_file.read_text(encoding="utf-8"))
        return {
            series["sub_volume"]: tuple(tuple(lesion["box"]) for lesion in series["lesions"])
            for series in truth["series"]
        }


def build_demo_project(folder: Path, test_patients: int, say: Say) -> DemoProject:
    """Make the demo project in `folder`, replacing an earlier demo there.

    Raises
    ------
    ProjectError
        If the folder holds anything but an earlier demo.
    LensError
        If the disk refuses.
    """
    _clear(folder)
    say("Making phantom patients")
    cohort = write_cohort(folder / "phantoms", plan_demo(test_patients=test_patients))
    say(f"{len(cohort.series)} series with {cohort.lesion_count} lesions, {cohort.labelled_count} of them labelled")
    database, model = create_project(folder / "project", "phantom demo")
    say(model.notice)
    demo = DemoProject(folder, database, cohort)
    _add_and_import(demo, say)
    return demo


def _clear(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise ProjectError(
            f"{folder} is neither empty nor an earlier demo",
            "A new folder is needed",
            "Choose another one with --folder",
        )
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def _add_and_import(demo: DemoProject, say: Say) -> None:
    catalog = Catalog(demo.database)
    for dataset, files in demo.cohort.annotation_files.items():
        if dataset != UNIVERSAL_DATASET:
            catalog.add_dataset(dataset, Scope.SINGLE_TYPE, dataset)
        for split in Split:
            folder = demo.cohort.rawdata_folder(dataset, split)
            report = add_scans(demo.database, [folder], dataset, split) if folder.is_dir() else None
            for problem in report.problems if report else ():
                say(f"Refused: {problem}")
        for file in files:
            import_annotations(demo.database, file, lesion_type=None if dataset == UNIVERSAL_DATASET else dataset)
    imported = import_annotations(demo.database, demo.cohort.manual_truth_file)
    say(f"{len(catalog.all_series(with_images=True))} series in the project; complete 3D truth: {imported.summary}")
