"""`lens complete`: what a detector is measured on, said and taken back at a shell."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from support.command_line import lens
from support.store_samples import new_series

from lens_engine.findings import Split
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.new_project import create_project


@dataclass(frozen=True)
class Study:
    """A project with one series of each split, by their names."""

    folder: Path
    test: str
    val: str
    train: str

    def complete(self) -> list[str]:
        database = Database.open(Project.open(self.folder))
        names = [record.name for record in Catalog(database).all_series() if record.is_complete]
        database.close()
        return names


@pytest.fixture
def study(tmp_path: Path) -> Study:
    database, _ = create_project(tmp_path / "study")
    names = {
        split.value: Catalog(database).add_series(new_series(split.value), "universal", split)[0].name
        for split in (Split.TEST, Split.VAL, Split.TRAIN)
    }
    database.close()
    return Study(tmp_path / "study", **names)


def test_series_are_marked_and_unmarked_by_name(study: Study) -> None:
    marked = lens("complete", study.test, study.val, folder=study.folder)
    assert marked.returncode == 0, marked.stderr
    assert f"{study.test}: complete, in the test part" in marked.stdout
    assert study.complete() == [study.test, study.val]
    unmarked = lens("complete", "--undo", study.test, folder=study.folder)
    assert unmarked.returncode == 0, unmarked.stderr
    assert study.complete() == [study.val]


def test_without_a_name_every_series_is_listed_with_its_split(study: Study) -> None:
    lens("complete", study.test, folder=study.folder)
    rows = [line.replace("│", " ").split() for line in lens("complete", folder=study.folder).stdout.splitlines()]
    assert [study.test, "000001", "test", "yes"] in rows
    assert [study.train, "000003", "train"] in rows


def test_what_cannot_be_complete_is_refused_and_the_others_are_marked(study: Study) -> None:
    report = lens("complete", study.train, "nobody", study.test, folder=study.folder)
    assert report.returncode == 1
    assert "val and test patients only" in report.stderr
    assert "'nobody'" in report.stderr
    assert study.complete() == [study.test]


def test_undo_without_a_name_is_a_wrong_command_line(study: Study) -> None:
    assert lens("complete", "--undo", folder=study.folder).returncode == 2
