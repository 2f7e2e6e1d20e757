"""What a reader sees of a scan whose files carry a patient's name: none of it, on any widget and in any layer."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QAbstractListModel, Qt
from qtpy.QtWidgets import QAbstractItemView, QApplication, QComboBox
from support.files.planted_names import NAMES, has_name, write_named_dicom
from support.projects.worker_project import write_scan

from lens_engine.findings import Split
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.exchange.ingest import add_scans
from lens_engine.store.new_project import create_project
from lens_napari.application import open_project
from lens_napari.controller import ReviewController
from lens_napari.demo.waiting import wait_ready, wait_until

PATIENCE_SECONDS = 60.0
TEXTS = ("text", "toolTip", "windowTitle", "placeholderText", "title", "statusTip", "toPlainText", "accessibleName")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / f"{NAMES[0]}_{NAMES[1]}"
    write_named_dicom(folder / f"{NAMES[0]} CT", 1)
    write_scan(folder / f"{NAMES[1]} chest.nii.gz", 2)
    return folder


@pytest.fixture
def named(viewer: Any, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReviewController]:
    """Return the review of a project with two scans of named patients."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    database, _ = create_project(tmp_path / "project")
    assert len(add_scans(database, [scans], "universal", Split.TRAIN).added) == 2
    database.close()
    controller = open_project(tmp_path / "project", viewer, start_worker=False)
    assert wait_ready(controller, PATIENCE_SECONDS)
    yield controller
    controller.close()


def series_of(scans: Path) -> tuple[SeriesRecord, ...]:
    database = Database.open(Project.open(scans.parent / "project"))
    records = Catalog(database).all_series()
    database.close()
    return records


def is_on_screen(review: ReviewController, record: SeriesRecord) -> bool:
    return review.view.loaded is not None and review.view.loaded.record.id == record.id


def shown_texts(viewer: Any) -> list[str]:
    """Return every text of every widget there is, of the lines of lists, and of the layers."""
    texts = [str(layer.name) + repr(layer.metadata) for layer in viewer.layers] + [
        viewer.title,
        viewer.text_overlay.text,
    ]
    for widget in QApplication.allWidgets():
        texts += [str(getattr(widget, name)()) for name in TEXTS if callable(getattr(widget, name, None))]
        if isinstance(widget, QComboBox | QAbstractItemView) and widget.model() is not None:
            model = widget.model()
            for row in range(model.rowCount()):
                for column in range(1 if isinstance(model, QAbstractListModel) else model.columnCount()):
                    index = model.index(row, column)
                    texts += [str(index.data(role)) for role in (Qt.DisplayRole, Qt.ToolTipRole, Qt.UserRole)]
    return texts


def test_no_widget_and_no_layer_shows_the_name_of_a_patient(named: ReviewController, scans: Path) -> None:
    for record in series_of(scans):
        named.show_series(record.id)
        assert wait_until(partial(is_on_screen, named, record), PATIENCE_SECONDS)
        seen = shown_texts(named.viewer)
        assert any(record.name in text for text in seen)
        assert [text for text in seen if has_name(text)] == []


def test_a_scan_whose_files_are_gone_is_told_without_the_name_of_a_patient(
    named: ReviewController, scans: Path
) -> None:
    for path in sorted(scans.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    named.show_series(series_of(scans)[1].id)
    assert wait_until(lambda: any("are gone" in text for text in shown_texts(named.viewer)), PATIENCE_SECONDS)
    assert [text for text in shown_texts(named.viewer) if has_name(text)] == []
