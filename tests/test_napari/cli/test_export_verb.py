"""`lens export`: which form a name means."""

import json
import pickle
from pathlib import Path

import pytest
from support.processes.command_line import lens
from support.projects.store_samples import new_series

from lens_engine.findings import Split
from lens_engine.store.catalog import Catalog
from lens_engine.store.labels.completeness import mark_complete
from lens_engine.store.new_project import create_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    database, _ = create_project(tmp_path / "study")
    record, _ = Catalog(database).add_series(new_series("a"), "universal", Split.TEST)
    mark_complete(database, record.id)
    database.close()
    return tmp_path / "study"


def test_the_name_says_the_form(folder: Path) -> None:
    for name in ("boxes.json", "boxes.pkl"):
        assert lens("export", name, folder=folder).returncode == 0
    assert isinstance(json.loads((folder / "boxes.json").read_text()), dict)
    assert set(pickle.loads((folder / "boxes.pkl").read_bytes())) == {"val", "test"}


def test_a_name_that_says_no_form_is_a_wrong_command_line_until_the_form_is_named(folder: Path) -> None:
    refused = lens("export", "boxes.csv", folder=folder)
    assert refused.returncode == 2
    assert "--format" in refused.stderr
    assert not (folder / "boxes.csv").exists()
    assert lens("export", "--format", "json", "boxes.csv", folder=folder).returncode == 0
