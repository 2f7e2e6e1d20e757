"""What each role may do, as users of a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from support.projects.readings import read
from support.projects.store_samples import BOX, MakeDecision, new_series

from lens_engine.errors import JobError, StoreError
from lens_engine.findings import Scope, Split, Verdict
from lens_engine.jobs.inputs import MineInputs
from lens_engine.jobs.queue import open_queue
from lens_engine.project import Project, new_settings, with_databases
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.keeping.roles import Role, grant, revoke
from lens_engine.store.models.model_versions import Models
from lens_engine.store.new_project import create_project
from lens_engine.store.readings.readings import Readings
from lens_engine.store.readings.records import ReadingRound

FAR = (30.0, 30.0, 10.0, 40.0, 40.0, 14.0)
As = Callable[[Role], Database]


@pytest.fixture
def department(tmp_path: Path, postgresql_url: str) -> Iterator[Database]:
    settings = new_settings("department", postgresql_url, postgresql_url)
    database, _ = create_project(tmp_path / "department", settings=settings)
    yield database
    database.close()


@pytest.fixture
def become(department: Database, postgresql_server: str, postgresql_url: str) -> Iterator[As]:
    """Return a function that opens the project as a new user with a role."""
    engine = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    opened: list[Database] = []
    users: list[str] = []

    def as_user(role: Role) -> Database:
        users.append(f"{role}-{uuid4().hex[:6]}")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE ROLE "{users[-1]}" LOGIN'))
        grant(department, role, users[-1])
        url = make_url(postgresql_url).set(username=users[-1]).render_as_string(hide_password=False)
        opened.append(Database.open(with_databases(department.project, url, url)))
        return opened[-1]

    yield as_user
    for database in opened:
        database.close()
    department.close()
    owner = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        for user in users:
            connection.execute(text(f'DROP OWNED BY "{user}"'))
            connection.execute(text(f'DROP ROLE "{user}"'))
    owner.dispose()
    engine.dispose()


def test_a_reader_decides_and_sees_the_jobs_but_changes_nothing_else(
    department: Database, become: As, make_decision: MakeDecision
) -> None:
    series, _ = Catalog(department).add_series(new_series("a"), "universal", Split.TRAIN)
    reader = become(Role.READER)
    Decisions(reader).add(make_decision(series.id, Verdict.ACCEPTED))
    assert len(Decisions(department).history(series.id)) == 1
    for forbidden in (
        lambda: Catalog(reader).add_dataset("lung", Scope.SINGLE_TYPE, "lung"),
        lambda: Catalog(reader).add_series(new_series("b"), "universal"),
        lambda: Models(reader).add_evaluation("v1", {}),
    ):
        with pytest.raises(StoreError, match="does not let this user"):
            forbidden()
    queue = open_queue(reader.project)
    assert queue.jobs() == ()
    with pytest.raises(JobError, match="does not let this user"):
        queue.submit(MineInputs(model_version="v1"))
    queue.close()


def test_only_an_adjudicator_settles_where_two_readers_differ(department: Database, become: As) -> None:
    series, _ = Catalog(department).add_series(new_series("a"), "universal", Split.TEST)
    reader, adjudicator = become(Role.READER), become(Role.ADJUDICATOR)
    read(reader, series.id, "Anna", BOX)
    read(reader, series.id, "Bert", FAR)
    with pytest.raises(StoreError, match="does not let this user"):
        Readings(reader).start(series.id, "Carl", ReadingRound.ADJUDICATION)
    assert Readings(adjudicator).start(series.id, "Carl", ReadingRound.ADJUDICATION).round is ReadingRound.ADJUDICATION


def test_an_administrator_adds_scans_and_asks_for_jobs(department: Database, become: As) -> None:
    administrator = become(Role.ADMINISTRATOR)
    Catalog(administrator).add_series(new_series("a"), "universal", Split.TRAIN)
    assert Models(administrator).promote("v1").is_promoted
    queue = open_queue(administrator.project)
    queue.submit(MineInputs(model_version="v1"))
    assert len(queue.jobs()) == 1
    queue.close()


def test_of_a_revoked_role_nothing_is_left_and_what_was_decided_stays(
    department: Database, become: As, make_decision: MakeDecision, postgresql_server: str
) -> None:
    series, _ = Catalog(department).add_series(new_series("a"), "universal", Split.TRAIN)
    left = become(Role.ADJUDICATOR)
    Decisions(left).add(make_decision(series.id, Verdict.ACCEPTED))
    user = str(left.engine.url.username)
    revoke(department, user)
    for forbidden in (
        lambda: Decisions(left).add(make_decision(series.id, Verdict.REJECTED)),
        lambda: Decisions(left).history(series.id),
    ):
        with pytest.raises(StoreError, match="does not let this user"):
            forbidden()
    assert len(Decisions(department).history(series.id)) == 1
    left.close()
    server = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'DROP ROLE "{user}"'))  # refused while the user has any right, in any database
        connection.execute(text(f'CREATE ROLE "{user}"'))  # for the fixture, which drops it
    server.dispose()


def test_a_user_that_the_server_does_not_know_is_named(department: Database) -> None:
    with pytest.raises(StoreError, match="no user 'nobody'"):
        grant(department, Role.READER, "nobody")


def test_the_owner_of_the_tables_has_all_rights_and_cannot_lose_them(department: Database) -> None:
    with department.connected() as connection:
        owner = connection.scalar(text("SELECT current_user"))
    for change in (lambda: grant(department, Role.READER, owner), lambda: revoke(department, owner)):
        with pytest.raises(StoreError, match="owns the tables"):
            change()
    Catalog(department).add_dataset("lung", Scope.SINGLE_TYPE, "lung")


def test_roles_are_advice_on_sqlite(tmp_path: Path) -> None:
    database = Database.create(Project.create(tmp_path / "study"))
    with pytest.raises(StoreError, match="SQLite knows no users"):
        grant(database, Role.READER, "anna")
    with pytest.raises(StoreError, match="SQLite knows no users"):
        revoke(database, "anna")
    database.close()


def test_a_user_who_may_not_make_the_tables_of_a_project_is_told_who_may(
    tmp_path: Path, postgresql_server: str, postgresql_url: str
) -> None:
    user = f"stranger_{uuid4().hex[:6]}"
    server = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE ROLE {user} LOGIN"))
        url = make_url(postgresql_url).set(username=user).render_as_string(hide_password=False)
        with pytest.raises(JobError, match="createdb -O"):
            create_project(tmp_path / "a", settings=new_settings("a", url, url))
        with pytest.raises(StoreError, match="createdb -O"):
            create_project(tmp_path / "a", settings=new_settings("a", url))
        connection.execute(text(f"DROP ROLE {user}"))
    server.dispose()
