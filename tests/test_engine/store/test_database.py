import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url, text

from lens_engine.errors import StoreError
from lens_engine.findings import Verdict
from lens_engine.project import Project, new_settings
from lens_engine.store.audit.verification import verify
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database, explain, refuse_network_share
from lens_engine.store.decisions import Decisions
from lens_engine.store.new_project import create_project
from lens_engine.store.opening.revisions import MIGRATIONS, known_revisions
from lens_engine.store.schema import Base

OLD_DECISION = """
INSERT INTO datasets (id, name, scope) VALUES (1, 'universal', 'universal');
INSERT INTO patients (id, key_hash, number, split, created_at) VALUES (1, 'a', 1, 'train', '2026-01-01 00:00:00');
INSERT INTO studies (id, patient_id, key_hash, number) VALUES (1, 1, 'a', 1);
INSERT INTO series (id, study_id, dataset_id, key_hash, number, name, is_named_by_source, description, paths,
    is_complete, created_at) VALUES (1, 1, 1, 'a', 1, 'a', 0, '', '[]', 0, '2026-01-01 00:00:00');
INSERT INTO readers (id, name) VALUES (1, 'reader');
INSERT INTO decisions (id, series_id, reader_id, verdict, round, scores_hidden, decided_at, x1, y1, z1, x2, y2, z2,
    slices) VALUES (1, 1, 1, 'accepted', 1, 0, '2026-01-01 00:00:00', 1, 1, 1, 5, 5, 3, '[]')
"""
OLD_MINING_RUN = """
INSERT INTO mining_runs (id, model_version, created_at) VALUES (1, 'v1', '2026-01-01 00:00:00');
INSERT INTO candidates (id, mining_run_id, series_id, kind, priority, expert, score, expert_scores, reasons, x1, y1, z1,
    x2, y2, z2, slices) VALUES (1, 1, 1, 'uncertain', 0.5, 'fused', 0.5, '{}', '[]', 1, 1, 1, 5, 5, 3, '[]')
"""


class Mounted(NamedTuple):
    mountpoint: str
    fstype: str


def test_migrations_make_exactly_the_tables_of_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def upgraded_from_the_first_version(folder: Path, *inserts: str) -> Database:
    """Make a database of the first version, put rows into it, and open it as this version does."""
    return Database.open(make_database_of_the_first_version(folder, *inserts))


def make_database_of_the_first_version(folder: Path, *inserts: str) -> Project:
    project = Project.create(folder)
    url = make_url(project.database_url)
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "r0001")
        for statement in ";".join(inserts).split(";"):
            connection.exec_driver_sql(statement)  # no colon of theirs is a parameter
    engine.dispose()
    return project


def test_decisions_of_the_first_version_have_no_type_nor_comment_and_stay_append_only(tmp_path: Path) -> None:
    database = upgraded_from_the_first_version(tmp_path, OLD_DECISION)
    (decision,) = Decisions(database).current()
    said = decision.decision
    assert (said.verdict, said.lesion_type, said.comment, said.axes) == (Verdict.ACCEPTED, None, "", None)
    assert said.reading_id is None
    assert (verify(database).decisions, verify(database).breaks) == (1, ())
    for statement in (
        "UPDATE decisions SET lesion_type = 'liver'",
        "DELETE FROM decisions",
        "INSERT OR REPLACE INTO decisions SELECT * FROM decisions",
    ):
        with pytest.raises(StoreError, match="append-only"), database.session() as session:
            session.execute(text(statement))
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_the_newest_revision_is_the_last_file_of_the_migrations() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    newest_first = [revision.revision for revision in script.walk_revisions()]
    assert list(known_revisions()) == newest_first[::-1]


def test_sqlite_is_opened_for_safety(database: Database) -> None:
    with database.reading() as session:
        values = {
            name: session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_database_of_a_newer_schema_is_refused_and_unchanged(database: Database) -> None:
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'r9999'"))
    database.close()
    file = database.project.store_folder / "lens.sqlite"
    before = file.read_bytes()
    with pytest.raises(StoreError, match="r9999") as caught:
        Database.open(database.project)
    assert "Update LENS-napari" in caught.value.remedy
    assert file.read_bytes() == before


def test_a_deleted_database_is_not_taken_for_an_empty_project(database: Database) -> None:
    database.close()
    for file in database.project.store_folder.glob("lens.sqlite*"):
        file.unlink()
    with pytest.raises(StoreError, match="missing or empty") as caught:
        Database.open(database.project)
    assert f"lens init --existing {database.project.folder}" in caught.value.remedy
    assert list(database.project.store_folder.glob("lens.sqlite*")) == []


def test_an_emptied_database_is_not_taken_for_an_empty_project(database: Database) -> None:
    database.close()
    (database.project.store_folder / "lens.sqlite").write_bytes(b"")
    with pytest.raises(StoreError, match="missing or empty"):
        Database.open(database.project)


def test_a_new_project_takes_no_database_that_holds_one(database: Database) -> None:
    before = Catalog(database).datasets()
    with pytest.raises(StoreError, match="holds a project already"):
        Database.create(database.project)
    assert Catalog(database).datasets() == before


def test_the_database_of_another_project_is_refused_and_unchanged(database: Database, tmp_path: Path) -> None:
    url = database.project.database_url
    settings = new_settings("other").model_copy(update={"database_url": url})
    other = Project.create(tmp_path / "other", settings=settings)
    with pytest.raises(StoreError, match="belongs to another project") as caught:
        Database.open(other)
    assert str(other.folder) in str(caught.value)


def test_an_older_database_belongs_to_the_first_project_that_opens_it(tmp_path: Path) -> None:
    first = make_database_of_the_first_version(tmp_path / "first", "SELECT 1")
    Database.open(first).close()
    settings = new_settings("second").model_copy(update={"database_url": first.database_url})
    with pytest.raises(StoreError, match="belongs to another project"):
        Database.open(Project.create(tmp_path / "second", settings=settings))
    Database.open(first).close()


def test_damaged_database_is_named(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    (project.store_folder / "lens.sqlite").write_bytes(b"not a database at all, only some text of enough length" * 40)
    with pytest.raises(StoreError, match="damaged"):
        Database.open(project)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3"])
def test_sqlite_on_a_network_share_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = [Mounted("/", "ext4"), Mounted(str(tmp_path), kind)]
    with pytest.raises(StoreError, match=kind) as caught:
        refuse_network_share(tmp_path / "store" / "lens.sqlite", mounts)
    assert "PostgreSQL" in caught.value.remedy


def test_local_disk_below_a_network_share_is_accepted(tmp_path: Path) -> None:
    mounts = [Mounted("/", "nfs"), Mounted(str(tmp_path), "ext4")]
    refuse_network_share(tmp_path / "lens.sqlite", mounts)


def test_a_database_is_opened_while_another_process_writes(database: Database) -> None:
    with database.session() as session:
        session.execute(text("INSERT INTO readers (name) VALUES ('A')"))
        Database.open(database.project).close()


@pytest.mark.parametrize(
    ("message", "happened", "remedy"),
    [
        ('no pg_hba.conf entry for host "::1", user "anna", no encryption', "encrypted connections only", "sslmode"),
        ('root certificate file "/home/anna/.postgresql/root.crt" does not exist', "cannot be trusted", "root.crt"),
        ('server certificate for "db" does not match host name "10.0.0.1"', "cannot be trusted", "as its certificate"),
        ("server does not support SSL, but SSL was required", "cannot be trusted", "PGSSLROOTCERT"),
        ('no pg_hba.conf entry for host "::1", user "anna", SSL encryption', "does not let this user in", "password"),
    ],
)
def test_what_a_server_says_of_encryption_is_said_in_words(message: str, happened: str, remedy: str) -> None:
    told = explain(message)
    assert happened in told.happened
    assert remedy in told.remedy


def test_failed_transaction_stores_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.session() as session:
            session.execute(text("INSERT INTO readers (name) VALUES ('A')"))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    with database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM readers")) == 0


def test_processes_that_open_an_older_project_at_once_all_succeed(tmp_path: Path) -> None:
    older = make_database_of_the_first_version(tmp_path, "SELECT 1")
    code = (
        "import sys; from pathlib import Path; from lens_engine.project import Project;"
        "from lens_engine.store.database import Database; Database.open(Project.open(Path(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE) for _ in range(4)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    assert Catalog(Database.open(older)).datasets() == ()


def test_threads_that_make_new_projects_at_once_all_succeed(tmp_path: Path) -> None:
    projects = [Project.create(tmp_path / str(number)) for number in range(4)]
    with ThreadPoolExecutor(len(projects)) as pool:
        databases = list(pool.map(Database.create, projects))
    assert [Catalog(database).datasets() for database in databases] == [()] * len(projects)


def test_mining_runs_of_the_first_schema_are_whole(tmp_path: Path) -> None:
    upgraded = upgraded_from_the_first_version(tmp_path, OLD_DECISION, OLD_MINING_RUN)
    (candidate,) = Candidates(upgraded).latest().values()
    assert (candidate.series_id, candidate.finding.score) == (1, 0.5)
    upgraded.close()


def test_a_database_that_holds_something_else_gets_no_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/accounts.sqlite"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE accounts (id INTEGER)"))
    with pytest.raises(StoreError, match="such as the table accounts"):
        create_project(tmp_path / "a", settings=new_settings("a", url, url))
    assert inspect(engine).get_table_names() == ["accounts"]
    engine.dispose()
    assert not (tmp_path / "a" / "lens.yaml").exists()
