"""A project on PostgreSQL as the command line makes it, and what every verb says of a database it cannot use."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import make_url
from support.processes.command_line import lens
from support.processes.postgresql import own_database

UNREACHABLE = "postgresql+psycopg://reader@127.0.0.1:1/lens"
VERBS = (("models",), ("jobs",), ("complete",), ("testset",), ("add", "."), ("detect",), ("mine",), ("retrain",))


def change_settings(folder: Path, **values: str) -> None:
    file = folder / "lens.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values))


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    made = lens("init", tmp_path / "study")
    assert made.returncode == 0, made.stderr
    return tmp_path / "study"


@pytest.fixture(scope="module")
def unprepared(tmp_path_factory: pytest.TempPathFactory, postgresql_server: str) -> Iterator[Path]:
    """Return a project whose settings name an empty database."""
    folder = tmp_path_factory.mktemp("unprepared") / "study"
    assert lens("init", folder).returncode == 0
    with own_database(postgresql_server) as url:
        change_settings(folder, database_url=url)
        yield folder


def test_a_project_on_postgresql_is_ready_for_use(tmp_path: Path, postgresql_url: str) -> None:
    study = tmp_path / "study"
    made = lens("init", study, "--database-url", postgresql_url)
    assert made.returncode == 0, made.stderr
    assert "never on patients" in made.stdout
    assert not list((study / "store").glob("*.sqlite"))
    assert "v1" in lens("-p", study, "models").stdout
    assert lens("-p", study, "jobs").returncode == 0
    report = lens("-p", study, "doctor")
    assert "Nothing is wrong" in report.stdout, report.stdout


def test_what_a_url_asks_of_its_connection_reaches_the_server(tmp_path: Path, postgresql_url: str) -> None:
    refused = lens("init", tmp_path / "study", "--database-url", f"{postgresql_url}&sslmode=verify-al")
    assert refused.returncode == 1
    assert "sslmode" in refused.stderr
    assert not (tmp_path / "study" / "lens.yaml").exists()
    assert lens("init", tmp_path / "study", "--database-url", f"{postgresql_url}&sslmode=prefer").returncode == 0
    assert "sslmode=prefer" in (tmp_path / "study" / "lens.yaml").read_text()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgres://reader@host/lens", "write postgresql+psycopg://"),
        ("postgresql://reader:secret@host/lens", "PGPASSWORD"),
        (UNREACHABLE, "The database cannot be reached"),
    ],
)
def test_init_with_a_database_that_cannot_be_used_leaves_no_project(tmp_path: Path, url: str, problem: str) -> None:
    refused = lens("init", tmp_path / "study", "--database-url", url)
    assert refused.returncode == 1
    assert problem in words(refused.stderr)
    assert "secret" not in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(tmp_path.glob("study/*"))
    assert lens("init", tmp_path / "study").returncode == 0


def test_init_with_a_database_that_does_not_exist_says_how_to_make_it(tmp_path: Path, postgresql_server: str) -> None:
    url = make_url(postgresql_server).set(database="nowhere").render_as_string(hide_password=False)
    refused = lens("init", tmp_path / "study", "--database-url", url)
    assert refused.returncode == 1
    assert "createdb" in words(refused.stderr)
    assert "jobs" not in refused.stderr


def test_a_database_of_another_project_is_refused(tmp_path: Path, postgresql_url: str) -> None:
    assert lens("init", tmp_path / "a", "--database-url", postgresql_url).returncode == 0
    second = lens("init", tmp_path / "b", "--database-url", postgresql_url)
    assert second.returncode == 1
    assert "holds a project already" in second.stderr
    assert lens("init", tmp_path / "b").returncode == 0
    change_settings(tmp_path / "b", database_url=postgresql_url)
    for verb in (("models",), ("doctor",)):
        refused = lens("-p", tmp_path / "b", *verb)
        assert refused.returncode == 1
        assert "belongs to another project" in words(refused.stdout + refused.stderr)
    command = [sys.executable, "-m", "lens_engine.worker", "--project", str(tmp_path / "b"), "--idle-minutes", "0"]
    worker = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert worker.returncode == 1
    assert "belongs to another project" in worker.stderr


@pytest.mark.parametrize("verb", [*VERBS, ("doctor",)], ids=" ".join)
def test_every_verb_refuses_an_unprepared_database(unprepared: Path, verb: tuple[str, ...]) -> None:
    refused = lens("-p", unprepared, *verb)
    assert refused.returncode == 1
    assert f"lens init --existing {unprepared}" in words(refused.stdout + refused.stderr)


def test_a_project_that_gets_a_database_later_is_prepared_by_init(study: Path, postgresql_url: str) -> None:
    change_settings(study, database_url=postgresql_url, jobs_database_url=postgresql_url)
    for _ in range(2):  # twice is as good as once
        assert lens("init", "--existing", study).returncode == 0
    assert "v1" in lens("-p", study, "models").stdout
    assert "universal" in words(lens("-p", study, "add", study, "--dataset", "x").stderr)
    assert lens("-p", study, "doctor").returncode == 0


def test_a_project_whose_database_was_deleted_begins_anew_only_when_asked_to(study: Path) -> None:
    for file in (study / "store").glob("lens.sqlite*"):
        file.unlink()
    refused = lens("-p", study, "models")
    assert refused.returncode == 1
    assert f"lens init --existing {study}" in words(refused.stderr)
    assert not list((study / "store").glob("lens.sqlite*"))
    assert lens("init", "--existing", study).returncode == 0
    assert "v1" in lens("-p", study, "models").stdout


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("database_url", UNREACHABLE, "The database cannot be reached"),
        ("jobs_database_url", UNREACHABLE, "The jobs database of the project cannot be opened"),
        ("database_url", "postgres://host/lens", "write postgresql+psycopg://"),
    ],
)
def test_doctor_says_what_is_wrong_with_a_database(study: Path, setting: str, value: str, problem: str) -> None:
    change_settings(study, **{setting: value})
    report = lens("doctor", folder=study)
    assert report.returncode == 1
    assert problem in words(report.stdout)
    assert "Nothing is wrong" not in report.stdout


def test_a_garbled_jobs_database_has_words_of_its_own_and_a_way_out(study: Path) -> None:
    for file in (study / "store").glob("jobs.sqlite*"):
        file.unlink()
    (study / "store" / "jobs.sqlite").write_bytes(os.urandom(5000))
    refused = lens("-p", study, "jobs")
    assert refused.returncode == 1
    assert "is damaged" in words(refused.stderr)
    (study / "store" / "jobs.sqlite").unlink()
    assert lens("-p", study, "jobs").returncode == 0


def test_existing_takes_its_databases_from_the_settings(study: Path) -> None:
    refused = lens("init", "--existing", study, "--database-url", UNREACHABLE)
    assert refused.returncode == 1
    assert "lens.yaml" in refused.stderr
