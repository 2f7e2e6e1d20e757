import os
from pathlib import Path

import pytest
from sqlalchemy import text
from support.projects.store_samples import AddSeries, MakeDecision, detections_of

from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.findings import Verdict
from lens_engine.snapshot import LabelSet
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.keeping.integrity import damages, left_overs
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.models.model_versions import Models


@pytest.fixture
def filled(database: Database, add_series: AddSeries, make_decision: MakeDecision) -> Database:
    for key in "abcd":
        Detections(database).write(add_series(key).id, "v1", detections_of(3))
    Decisions(database).add(make_decision(1, Verdict.ADDED))
    models = Models(database)
    models.promote(models.register(demo_checkpoint_folder()).version)
    Snapshots(database).freeze(LabelSet.CURATED)
    return database


def test_nothing_is_wrong_with_a_whole_project(filled: Database) -> None:
    assert list(damages(filled)) == []


@pytest.mark.parametrize(
    ("place", "content", "said"),
    [
        ("detections/v1/2.parquet", b"PAR1 nonsense", "1 of the detections of v1 are missing or damaged"),
        ("models/v1/weights.safetensors", b"other weights", "Model version v1 is damaged: The weights"),
        ("models/v1/card.json", b"{", "Model version v1 cannot be used"),
    ],
)
def test_a_damaged_file_is_named(filled: Database, place: str, content: bytes, said: str) -> None:
    (filled.project.folder / place).write_bytes(content)
    (damage,) = damages(filled)
    assert said in str(damage)


def test_missing_files_are_counted_and_some_of_them_named(filled: Database) -> None:
    for path in (filled.project.detections_folder / "v1").iterdir():
        path.unlink()
    (damage,) = damages(filled)
    assert "4 of the detections of v1" in damage.happened
    assert "detections/v1/1.parquet" in damage.happened
    assert "…" in damage.happened
    assert "lens detect --model v1" in damage.remedy


def test_a_changed_snapshot_is_named(filled: Database) -> None:
    (path,) = filled.project.snapshots_folder.iterdir()
    path.write_text(path.read_text().replace("[]", "[ ]", 1) + "x")
    assert len(list(damages(filled))) == 1


def test_a_row_that_refers_to_none_is_found(filled: Database) -> None:
    with filled.engine.connect() as connection:
        connection.execute(text("ROLLBACK"))
        connection.execute(text("PRAGMA foreign_keys=OFF"))
        connection.execute(text("UPDATE detections SET series_id = 99 WHERE id = 1"))
        connection.execute(text("PRAGMA foreign_keys=ON"))
    (damage,) = damages(filled)
    assert "in detections" in damage.happened


def test_a_torn_page_of_the_database_is_found(filled: Database) -> None:
    filled.close()
    file = filled.project.store_folder / "lens.sqlite"
    content = bytearray(file.read_bytes())
    page = content.rindex(b"universal") // 4096 * 4096  # in use for sure
    content[page : page + 512] = os.urandom(512)
    file.write_bytes(content)
    assert any("damaged" in str(damage) for damage in damages(filled))


def test_old_unfinished_files_are_left_overs(filled: Database) -> None:
    folder = filled.project.detections_folder / "v1"
    old, young = folder / ".1.parquet.0a.part", folder / ".2.parquet.0b.part"
    unnamed = filled.project.models_folder / ".0c.part"
    unnamed.mkdir()
    for path in (old, young, unnamed / ".inside.0d.part"):
        path.write_bytes(b"x")
    for path in (old, unnamed, unnamed / ".inside.0d.part"):
        os.utime(path, (0, 0))
    assert left_overs(filled.project) == (old, unnamed)
    assert isinstance(left_overs(filled.project)[0], Path)
