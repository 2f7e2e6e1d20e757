from pathlib import Path

import pytest

from lens_engine.errors import ProjectError
from lens_engine.project import SCHEMA_VERSION, Project, ProjectSettings


def test_created_project_is_found_from_a_folder_inside_it(tmp_path: Path) -> None:
    created = Project.create(tmp_path / "hospital", "Liver study")
    assert Project.find(created.exports_folder) == created
    assert created.settings.name == "Liver study"


def test_two_projects_have_different_salts(tmp_path: Path) -> None:
    salts = {Project.create(tmp_path / name).settings.split_salt for name in "ab"}
    assert len(salts) == 2
    assert min(map(len, salts)) >= 32


def test_second_project_in_a_folder_is_refused(tmp_path: Path) -> None:
    Project.create(tmp_path)
    with pytest.raises(ProjectError, match="project already"):
        Project.create(tmp_path)


def test_folder_without_project_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="lens init"):
        Project.find(tmp_path)
    with pytest.raises(ProjectError, match="lens init"):
        Project.open(tmp_path)


def test_project_of_a_newer_schema_is_refused_and_unchanged(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    newer = (
        project.settings_file.read_text().replace(f"schema_version: {SCHEMA_VERSION}", "schema_version: 7")
        + "new_key: 3\n"
    )
    project.settings_file.write_text(newer)
    with pytest.raises(ProjectError, match="schema version 7") as caught:
        Project.open(tmp_path)
    assert "Update" in caught.value.remedy
    assert project.settings_file.read_text() == newer


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a list", "holds list"),
        ("name: [", "not valid YAML"),
        ("name: x\ncolour: red", "colour"),
        ("name: x\ntrain_fraction: 0.9\nval_fraction: 0.2", "exceed 1"),
        ("name: x\ndatabase_url: postgresql://me:secret@host/db", "contains a password"),
        ("name: x\ndatabase_url: postgresql://me@host/db?password=secret", "contains a password"),
        ("name: x\ndatabase_url: postgresql://me@host/db?sslpassword=secret", "contains a password"),
        ("name: x\ndatabase_url: sqlite://", "names no file with its whole path"),
        ("name: x\ndatabase_url: sqlite:///study.sqlite", "names no file with its whole path"),
        ("name: x\ndatabase_url: 'sqlite:///:memory:'", "names no file with its whole path"),
        ("name: x\ndatabase_url: sqlite+aiosqlite:////data/study.sqlite", "names no file with its whole path"),
        ("name: x\ndatabase_url: nonsense", "not a database URL"),
        ("name: x\ndatabase_url: postgres://me:secret@host/db", "write postgresql\\+psycopg://"),
        ("name: x\njobs_database_url: mysql://host/db", "not a URL of PostgreSQL or SQLite"),
        ("name: x\njobs_database_url: postgresql://host:port/db", "not a database URL"),
    ],
)
def test_broken_settings_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "lens.yaml").write_text(text)
    with pytest.raises(ProjectError, match=problem) as caught:
        Project.open(tmp_path)
    assert "secret" not in str(caught.value)


def test_postgresql_url_replaces_the_sqlite_files(tmp_path: Path) -> None:
    url = "postgresql+psycopg://reader@db.example/lens"
    project = Project.create(tmp_path, settings=ProjectSettings(name="x", database_url=url))
    assert Project.open(tmp_path).database_url == url
    assert project.jobs_database_url.startswith("sqlite:///")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_a_url_gets_the_driver_that_is_installed_and_keeps_the_rest(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "lens.yaml").write_text(f"name: x\ndatabase_url: {scheme}://me@db.example/lens?sslmode=require")
    assert Project.open(tmp_path).database_url == "postgresql+psycopg://me@db.example/lens?sslmode=require"


def test_each_new_project_has_an_identity_that_its_folder_keeps(tmp_path: Path) -> None:
    first, second = (Project.create(tmp_path / name) for name in "ab")
    assert first.identity != second.identity
    assert Project.open(first.folder).identity == first.identity


def test_a_project_of_the_first_settings_version_gets_its_identity_from_its_salt(tmp_path: Path) -> None:
    texts = {"a": "one", "copy": "one", "b": "other"}
    for name, salt in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "lens.yaml").write_text(f"schema_version: 1\nname: {name}\nsplit_salt: {salt}")
    a, copy, b = (Project.open(tmp_path / name).identity for name in texts)
    assert a == copy != b


def test_unwritable_place_is_a_project_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot be written"):
        Project.create(tmp_path / "file" / "project")
