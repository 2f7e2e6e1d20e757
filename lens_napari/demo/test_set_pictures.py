"""The pictures of reading a test set: a reading that has begun, and two that differ, in a project of their own.

The demo's own project is left as it is: what two readers dispute is not measured on.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import floor
from pathlib import Path

from qtpy.QtWidgets import QApplication

from lens_engine.errors import JobError
from lens_engine.findings import Box3D, Decision, SliceBox, Split, Verdict
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.exchange.importing import UNIVERSAL_DATASET
from lens_engine.store.exchange.ingest import add_scans
from lens_engine.store.new_project import create_project
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRecord, ReadingRound
from lens_napari.demo.demo_project import DemoProject
from lens_napari.demo.waiting import wait_until
from lens_napari.demo.windows import window_of
from lens_napari.review.settings import load_settings, settings_file
from lens_napari.test_set.window import open_adjudication, open_test_set
from lens_napari.test_set.workplace import Workplace
from lens_napari.workspace import SIZE

PATIENCE_SECONDS = 60.0
REST_SECONDS = 3.0
SHIFT_VOXELS = 6.0
"""How far beside the first reader's box the second one drew his."""
NAMES = ("test-set", "adjudication")


def take_test_set_pictures(demo: DemoProject, pictures: Path) -> None:
    """Read two scans of the demo's test split for two readers and a third one, and picture both windows.

    Raises
    ------
    JobError
        If no scan comes on screen.
    """
    database, _ = create_project(demo.folder / "test-set-project", "test set of phantoms")
    add_scans(database, [demo.cohort.rawdata_folder(UNIVERSAL_DATASET, Split.TEST)], UNIVERSAL_DATASET, Split.TEST)
    truth = demo.true_boxes()
    marked = [one for one in Catalog(database).all_series(with_images=True) if len(truth.get(one.name, ())) > 1]
    begun, disputed = marked[:2]
    reader = load_settings(settings_file()).reader
    _mark(database, begun.id, reader, truth[begun.name][:1])
    _picture(open_test_set, database.project.folder, _middle(truth[begun.name][0]), pictures / f"{NAMES[0]}.png")
    first, *others = truth[disputed.name]
    for name, boxes in (("Anna", (first, *others)), ("Bert", (_shifted(first), *others[1:]))):
        Readings(database).complete(_mark(database, disputed.id, name, boxes).id)
    _picture(open_adjudication, database.project.folder, None, pictures / f"{NAMES[1]}.png")
    database.close()


def _picture(open_at: Callable[[Path], Workplace], project: Path, slice_index: int | None, file: Path) -> None:
    work = open_at(project)
    window = window_of(work.viewer)
    window.resize(*SIZE)
    try:
        if not wait_until(lambda: work.view.loaded is not None and not work.view.is_loading, PATIENCE_SECONDS):
            raise JobError("A scan did not appear within a minute", "", "See the messages above")
        wait_until(lambda: False, REST_SECONDS)
        if slice_index is not None:
            work.view.go_to_slice(slice_index)
            wait_until(lambda: False, REST_SECONDS)
        QApplication.processEvents()
        window.grab().save(str(file))
    finally:
        work.close()
        work.viewer.close()


def _mark(database: Database, series_id: int, reader: str, boxes: Sequence[Box3D]) -> ReadingRecord:
    reading = Readings(database).start(series_id, reader, ReadingRound.INDEPENDENT)
    for box in boxes:
        decision = Decision(
            series_id,
            None,
            Verdict.ADDED,
            box,
            _sections(box),
            reader,
            datetime.now(UTC),
            round=reading.round,
            scores_hidden=True,
            reading_id=reading.id,
        )
        Decisions(database).add(decision)
    return reading


def _sections(box: Box3D) -> tuple[SliceBox, ...]:
    x1, y1, z1, x2, y2, z2 = box
    return tuple(SliceBox(index, (x1, y1, x2, y2)) for index in range(floor(z1), max(floor(z1) + 1, floor(z2))))


def _shifted(box: Box3D) -> Box3D:
    x1, y1, z1, x2, y2, z2 = box
    return x1 + SHIFT_VOXELS, y1, z1, x2 + SHIFT_VOXELS, y2, z2


def _middle(box: Box3D) -> int:
    return int((box[2] + box[5]) / 2)
