"""A project whose database does not lie in its folder knows the folder: a copy is refused, a moved one is not."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from support.processes.command_line import lens
from support.projects.department import make_department

from lens_engine.errors import StoreError
from lens_engine.findings import Scope
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database, follow_moved_folder
from lens_engine.store.keeping.backup import back_up
from lens_engine.store.keeping.restore import restore
from lens_engine.store.opening.place import PLACE_NAME


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database outside the project's folder."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/elsewhere.sqlite"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def department(tmp_path: Path, url: str) -> Iterator[Database]:
    opened = make_department(tmp_path / "department", url)
    yield opened
    opened.close()


def copy_of(database: Database, name: str = "copy") -> Path:
    return shutil.copytree(database.project.folder, database.project.folder.with_name(name))


def test_a_copy_of_the_folder_is_refused_and_the_folder_is_not(department: Database) -> None:
    copy = copy_of(department)
    with pytest.raises(StoreError, match=str(copy)) as refused:
        Database.open(Project.open(copy))
    assert str(department.project.folder) in refused.value.happened
    assert f"lens init --moved {copy}" in refused.value.remedy
    Database.open(department.project).close()


def test_a_folder_with_another_name_on_its_disk_is_the_same(department: Database) -> None:
    moved = department.project.folder.rename(department.project.folder.with_name("moved"))
    Database.open(Project.open(moved)).close()


def test_a_folder_whose_disk_gave_its_files_new_numbers_is_the_same(department: Database) -> None:
    (department.project.folder / PLACE_NAME).unlink()
    Database.open(department.project).close()


def test_the_database_follows_a_folder_that_was_moved_to_another_disk(department: Database) -> None:
    old, new = department.project.folder, copy_of(department, "new")
    follow_moved_folder(Project.open(new))
    opened = Database.open(Project.open(new))
    assert [dataset.name for dataset in Catalog(opened).datasets()] == ["universal"]
    opened.close()
    with pytest.raises(StoreError, match=str(new)):
        Database.open(Project.open(old))


def test_a_database_of_an_older_version_knows_the_folder_that_it_meets_first(department: Database) -> None:
    with department.session() as session:
        session.execute(text("DELETE FROM project_place"))
    (department.project.folder / PLACE_NAME).unlink()
    Database.open(department.project).close()
    with pytest.raises(StoreError, match="not the one that its database knows"):
        Database.open(Project.open(copy_of(department)))


def test_several_that_open_a_database_of_an_older_version_at_once_all_succeed(department: Database) -> None:
    with department.session() as session:
        session.execute(text("DELETE FROM project_place"))
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(Database.open, [department.project] * 4))
    for database in opened:
        database.close()


def test_a_copy_with_the_database_in_it_is_a_project_of_its_own(database: Database) -> None:
    database.close()
    copy = Database.open(Project.open(copy_of(database)))
    Catalog(copy).add_dataset("lung", Scope.SINGLE_TYPE, "lung")
    copy.close()
    again = Database.open(database.project)
    assert [dataset.name for dataset in Catalog(again).datasets()] == ["universal"]
    again.close()
    assert not (database.project.folder / PLACE_NAME).exists()
    with pytest.raises(StoreError, match="lies in its folder"):
        follow_moved_folder(database.project)


def test_a_restored_folder_is_known_and_a_copy_of_it_is_not(
    database: Database, tmp_path: Path, postgresql_url: str
) -> None:
    back_up(database, tmp_path / "study.lens")
    restored = Database.open(restore(tmp_path / "study.lens", tmp_path / "restored", postgresql_url))
    with pytest.raises(StoreError, match=str(tmp_path / "restored")):
        Database.open(Project.open(copy_of(restored)))
    restored.close()


def test_the_command_line_refuses_a_copy_and_tells_the_database_of_a_move(tmp_path: Path) -> None:
    database = make_department(tmp_path / "department", f"sqlite:///{tmp_path}/elsewhere.sqlite")
    copy = copy_of(database)
    database.close()
    refused = lens("--project", copy, "jobs")
    assert refused.returncode == 1
    assert "is not the one that its database knows" in " ".join(refused.stderr.split())
    assert lens("init", "--moved", copy).returncode == 0
    Database.open(Project.open(copy)).close()
