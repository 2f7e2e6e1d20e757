"""`lens testset`: who has read what, and how far readers agree."""

from pathlib import Path

import pytest
from support.processes.command_line import lens
from support.projects.readings import BOX, OTHER, SHIFTED, Reader, read
from support.projects.store_samples import new_series

from lens_engine.findings import Split, Verdict
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.new_project import create_project
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRound


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database, _ = create_project(tmp_path / "study")
    for key, split in (("a", Split.TEST), ("b", Split.VAL), ("c", Split.TEST), ("d", Split.TRAIN)):
        Catalog(database).add_series(new_series(key), "universal", split)
    yield database
    database.close()


def rows(stdout: str) -> list[str]:
    return [" ".join(line.replace("│", " ").split()) for line in stdout.splitlines()]


def test_every_held_out_series_is_listed_with_its_readings(database: Database) -> None:
    first, second, third, _ = Catalog(database).all_series()
    Reader.begin(database, first.id, "Anna").mark(BOX).complete(3725)
    reader = Reader.begin(database, second.id, "Bert")
    Readings(database).show_aids(reader.reading.id)
    shown = rows(lens("testset", folder=database.project.folder).stdout)
    assert f"{first.name} 000001 test Anna reading complete 1 h 02 min yes" in shown
    assert any(row.startswith(f"{second.name} 000002 val Bert reading in progress 0 s not since") for row in shown)
    assert f"{third.name} 000003 test untouched" in shown
    assert "3 held-out series: 1 complete, 1 in progress, 1 untouched" in shown
    assert not any("000004" in row for row in shown)


def test_agreement_is_told_for_each_series_and_in_total(database: Database) -> None:
    folder = database.project.folder
    assert "No series has two complete readings yet" in lens("testset", "--agreement", folder=folder).stdout
    first, second, *_ = Catalog(database).all_series()
    read(database, first.id, "Bert", SHIFTED)
    read(database, first.id, "Anna", BOX, OTHER)
    assert f"To adjudicate: {first.name}" in lens("testset", folder=folder).stdout
    shown = rows(lens("testset", "--agreement", folder=folder).stdout)
    assert f"{first.name} Anna Bert 2 1 1 1 0 66.7 % 0.67 1 to adjudicate" in shown
    judge = Reader.begin(database, first.id, "Carl", ReadingRound.ADJUDICATION)
    (place,) = Readings(database).comparison(judge.reading.id).places
    judge.settle(place.marked[0].id, Verdict.ADDED, OTHER)
    judge.complete()
    for name in ("Anna", "Bert"):
        read(database, second.id, name)
    shown = rows(lens("testset", "--agreement", folder=folder).stdout)
    assert f"{first.name} Anna Bert 2 1 1 1 0 66.7 % 0.67 settled" in shown
    assert f"{second.name} Anna Bert 0 0 0 0 0 – – settled" in shown
    assert "Anna (A) and Bert (B), 2 series: 2 and 1 lesions, 1 of both, 1 of A alone, 0 of B alone" in shown
    assert "sensitivity in the 2 settled series: Anna 100.0 % (2 of 2), Bert 50.0 % (1 of 2)" in shown


def test_an_export_says_where_it_is_written_who_read_what(database: Database) -> None:
    folder = database.project.folder
    read(database, Catalog(database).all_series()[0].id, "Anna", BOX)
    told = lens("export", "set.pkl", folder=folder)
    assert "Who read what: set_readings.csv" in told.stdout, told.stderr
    assert (folder / "set_readings.csv").is_file()
