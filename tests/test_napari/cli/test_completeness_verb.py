"""`lens complete`: what a detector is measured on, said and taken back at a shell."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes.command_line import lens
from support.projects.readings import BOX, read
from support.projects.store_samples import new_series, sections

from lens_engine.findings import Split
from lens_engine.project import Project
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
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
    assert f"{study.test}: complete, in the test part; no lesion: a normal scan" in marked.stdout
    assert study.complete() == [study.test, study.val]
    unmarked = lens("complete", "--undo", study.test, folder=study.folder)
    assert unmarked.returncode == 0, unmarked.stderr
    assert f"{study.test}: not complete any more" in unmarked.stdout
    assert study.complete() == [study.val]
    again = lens("complete", "--undo", study.test, folder=study.folder)
    assert f"{study.test}: was not marked complete" in again.stdout


def test_the_count_of_one_reading_is_told_to_nobody(study: Study) -> None:
    database = Database.open(Project.open(study.folder))
    read(database, Catalog(database).by_name(study.test).id, "Anna", BOX)
    database.close()
    marked = lens("complete", study.test, folder=study.folder)
    assert f"{study.test}: complete, in the test part; its lesions are those of a reading" in marked.stdout


def test_without_a_name_every_series_is_listed_with_its_split_its_images_and_its_mark(study: Study) -> None:
    lens("complete", study.test, study.val, folder=study.folder)
    database = Database.open(Project.open(study.folder))
    series_id = Catalog(database).by_name(study.val).id
    box = (10.0, 10.0, 4.0, 20.0, 20.0, 5.0)
    label = NewAnnotation(series_id, box, sections(box), AnnotationRole.LABEL, AnnotationOrigin.DRAWN, key_slice=4)
    Annotations(database).add([label])
    Catalog(database).add_series(new_series("d", geometry=None, source=None), "universal", Split.TEST)
    database.close()
    rows = [line.replace("│", " ").split() for line in lens("complete", folder=study.folder).stdout.splitlines()]
    assert [study.test, "000001", "test", "yes", "yes"] in rows
    assert [study.val, "000002", "val", "yes", "left", "out"] in rows
    assert [study.train, "000003", "train", "yes"] in rows
    assert ["000004", "test"] in [row[1:] for row in rows]


def test_what_cannot_be_complete_is_refused_and_the_others_are_marked(study: Study) -> None:
    report = lens("complete", study.train, "nobody", study.test, folder=study.folder)
    assert report.returncode == 1
    assert "val and test patients only" in report.stderr
    assert "'nobody'" in report.stderr
    assert "See: lens complete" in report.stderr
    assert study.complete() == [study.test]


def test_undo_without_a_name_is_a_wrong_command_line(study: Study) -> None:
    assert lens("complete", "--undo", folder=study.folder).returncode == 2
