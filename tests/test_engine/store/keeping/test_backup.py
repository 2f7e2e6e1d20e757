"""A backup that is made while others work, restored to either kind of database, or refused."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import psutil
import pytest
from sqlalchemy import select, text
from support.processes.waiting import FOR_EVER_SECONDS, wait_until
from support.projects.store_samples import AddSeries, MakeDecision, detections_of

from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.errors import StoreError
from lens_engine.findings import Verdict
from lens_engine.project import SETTINGS_NAME, Project
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.keeping.archive import DATABASE_NAME, MANIFEST_NAME, ArchivedFile, Manifest
from lens_engine.store.keeping.backup import back_up
from lens_engine.store.keeping.restore import restore
from lens_engine.store.models.model_versions import Models
from lens_engine.store.schema import Base, ProjectPlaceRow
from lens_engine.store.workers import Workers

READER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from support.projects.store_samples import BOX, sections
from lens_engine.findings import Decision, Verdict
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions

decisions = Decisions(Database.open(Project.open(Path(sys.argv[1]))))
while True:
    for verdict in (Verdict.ACCEPTED, Verdict.REJECTED):
        said = Decision(int(sys.argv[2]), None, verdict, BOX, sections(BOX), reader="A", decided_at=datetime.now(UTC))
        with open(sys.argv[3], "a") as acknowledged:
            print(decisions.add(said).id, file=acknowledged, flush=True)
"""


class Mounted(NamedTuple):
    mountpoint: str
    fstype: str


@pytest.fixture
def filled(database: Database, add_series: AddSeries, make_decision: MakeDecision) -> Database:
    series = add_series("a")
    Detections(database).write(series.id, "v1", detections_of(3))
    models = Models(database)
    models.promote(models.register(demo_checkpoint_folder()).version)
    Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED))
    return database


@pytest.fixture
def archive(filled: Database, tmp_path: Path) -> Path:
    back_up(filled, tmp_path / "study.lens")
    return tmp_path / "study.lens"


def rows_of(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.reading() as session:
        return {
            table.name: [tuple(row) for row in session.execute(select(table).order_by(*table.primary_key))]
            for table in Base.metadata.sorted_tables
            if table.name != ProjectPlaceRow.__tablename__  # of the folder, which is another one
        }


def test_what_is_restored_is_what_was_backed_up(filled: Database, archive: Path, tmp_path: Path) -> None:
    project = restore(archive, tmp_path / "again")
    restored = Database.open(project)
    assert rows_of(restored) == rows_of(filled)
    assert project.settings == filled.project.settings
    assert Models(restored).promoted().version == "v1"
    assert Detections(restored).read(1, "v1").findings == Detections(filled).read(1, "v1").findings
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "project", "study.lens"]
    restored.close()


def test_a_project_moves_to_postgresql_and_back(
    filled: Database, archive: Path, tmp_path: Path, postgresql_url: str, make_decision: MakeDecision
) -> None:
    department = Database.open(restore(archive, tmp_path / "department", postgresql_url))
    assert department.engine.dialect.name == "postgresql"
    assert rows_of(department) == rows_of(filled)
    assert not list(department.project.store_folder.iterdir())
    Decisions(department).add(make_decision(1, Verdict.REJECTED))  # its id comes behind those that were copied
    back_up(department, tmp_path / "department.lens")
    home = Database.open(restore(tmp_path / "department.lens", tmp_path / "home"))
    assert home.engine.dialect.name == "sqlite"
    assert rows_of(home) == rows_of(department)
    for database in (home, department):
        with pytest.raises(StoreError, match="append-only"), database.session() as session:
            session.execute(text("DELETE FROM decisions"))
        database.close()


def test_a_project_on_postgresql_lies_and_is_backed_up_on_a_share(
    filled: Database, archive: Path, tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [Mounted("/", "ext4"), Mounted(str(share), "nfs4")])
    department = Database.open(restore(archive, share / "study", postgresql_url))
    assert rows_of(department) == rows_of(filled)
    back_up(department, share / "study.lens")
    department.close()
    assert sorted(path.name for path in share.iterdir()) == ["study", "study.lens"]
    home = Database.open(restore(share / "study.lens", tmp_path / "home"))
    assert rows_of(home) == rows_of(filled)
    home.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_workers_of_the_project_that_was_backed_up_are_not_those_of_the_restored_one(
    filled: Database, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    Workers(filled).start("w1", "a", 1, "cpu")
    back_up(filled, tmp_path / "study.lens")
    url = request.getfixturevalue("postgresql_url") if kind == "postgresql" else None
    restored = Database.open(restore(tmp_path / "study.lens", tmp_path / "again", url))
    assert Workers(restored).all() == ()
    assert len(Workers(filled).all()) == 1
    restored.close()


def test_every_decision_acknowledged_before_is_in_a_backup_made_while_others_decide(
    filled: Database, tmp_path: Path
) -> None:
    acknowledged = tmp_path / "acknowledged"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", READER, str(filled.project.folder), "1", str(acknowledged)]
    reader = subprocess.Popen(command, env=environment)
    try:
        wait_until(lambda: acknowledged.is_file() and acknowledged.read_text().count("\n") > 5, "decisions are made")
        before = acknowledged.read_text().splitlines()
        back_up(filled, tmp_path / "busy.lens")
        assert reader.poll() is None
    finally:
        reader.terminate()
        reader.wait(FOR_EVER_SECONDS)
    restored = Database.open(restore(tmp_path / "busy.lens", tmp_path / "again"))
    kept = {record.id for record in Decisions(restored).history(1)}
    assert {int(line) for line in before if line} <= kept
    restored.close()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_damaged_backup_is_refused_and_leaves_nothing(archive: Path, tmp_path: Path, share: float) -> None:
    content = bytearray(archive.read_bytes())
    at = int(len(content) * share)
    content[at] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        restore(archive, tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project", "study.lens"]


def test_a_truncated_backup_is_refused(archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(StoreError, match="damaged"):
        restore(archive, tmp_path / "again")


def repacked(archive: Path, target: Path, name: str, content: bytes) -> Path:
    """Write an archive again with other bytes in one member, which the manifest names as they are."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        manifest = Manifest.model_validate_json(old.read(MANIFEST_NAME))
        files = manifest.files | {name: ArchivedFile(size=len(content), sha256=hashlib.sha256(content).hexdigest())}
        for member in files:
            new.writestr(member, content if member == name else old.read(member))
        new.writestr(MANIFEST_NAME, manifest.model_copy(update={"files": files}).model_dump_json())
    return target


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (DATABASE_NAME, b"", "its database is empty"),
        (DATABASE_NAME, b"garbage " * 1000, "its database cannot be read"),
        (SETTINGS_NAME, f"name: a\nidentity: {UUID(int=1)}".encode(), "another project than its settings"),
        (SETTINGS_NAME, b"name: []", "The settings in the backup"),
        (SETTINGS_NAME, b"name: a\nschema_version: 99", "Update LENS-napari"),
    ],
)
def test_what_no_project_can_be_made_of_is_said_of_the_backup(
    archive: Path, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    other = repacked(archive, tmp_path / "other.lens", name, content)
    with pytest.raises(StoreError) as caught:
        restore(other, tmp_path / "again")
    assert problem in str(caught.value)
    assert str(other) in str(caught.value)
    assert ".part" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.lens", "project", "study.lens"]


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [(b"[" * 200_000, "cannot be read"), (b" " * (1 << 26) + b"{}", "too long")],
    ids=("deep", "long"),
)
def test_a_manifest_that_no_backup_has_is_refused(tmp_path: Path, manifest: bytes, problem: str) -> None:
    with zipfile.ZipFile(tmp_path / "evil.lens", "w", zipfile.ZIP_DEFLATED) as evil:
        evil.writestr(MANIFEST_NAME, manifest)
    with pytest.raises(StoreError, match=rf"evil\.lens is damaged: its manifest .*{problem}"):
        restore(tmp_path / "evil.lens", tmp_path / "again")


def test_an_encrypted_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1  # the flags of a member, where the archive lists it
        at = content.find(b"PK\x01\x02", at + 1)
    archive.write_bytes(content)
    with pytest.raises(StoreError, match="packed by another program"):
        restore(archive, tmp_path / "again")


def test_a_folder_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be read .*directory"):
        restore(tmp_path, tmp_path / "again")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which nobody can make one")
def test_a_target_that_cannot_be_made_is_not_taken_for_a_missing_backup(archive: Path) -> None:
    with pytest.raises(StoreError, match="cannot be restored to /proc/again"):
        restore(archive, Path("/proc/again"))


def rewritten(archive: Path, target: Path, change: dict[str, str]) -> Path:
    """Write an archive again with some members under other names, in the manifest too."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == MANIFEST_NAME:
                for before, after in change.items():
                    content = content.replace(f'"{before}"'.encode(), f'"{after}"'.encode())
            new.writestr(change.get(name, name), content)
    return target


@pytest.mark.parametrize("name", ["../outside.parquet", "/tmp/lens-outside.parquet", "a/../../outside.parquet", "C:x"])
def test_a_backup_writes_nothing_outside_its_folder(archive: Path, tmp_path: Path, name: str) -> None:
    evil = rewritten(archive, tmp_path / "evil.lens", {"detections/v1/1.parquet": name})
    with pytest.raises(StoreError, match="leads out of the project folder"):
        restore(evil, tmp_path / "inside" / "again")
    assert not list(tmp_path.rglob("*outside*"))


def test_neither_a_file_nor_a_folder_in_use_is_written_over(filled: Database, archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        back_up(filled, archive)
    with pytest.raises(StoreError, match="not empty"):
        restore(archive, filled.project.folder)
    assert archive.read_bytes() == before


def test_a_backup_inside_the_project_is_refused(filled: Database) -> None:
    inside = filled.project.exports_folder / "study.lens"
    with pytest.raises(StoreError, match="inside the project"):
        back_up(filled, inside)
    assert not inside.exists()


def test_a_database_in_use_is_not_written_over(archive: Path, tmp_path: Path, postgresql_url: str) -> None:
    restore(archive, tmp_path / "first", postgresql_url)
    with pytest.raises(StoreError, match="holds a project already"):
        restore(archive, tmp_path / "second", postgresql_url)
    assert not (tmp_path / "second").exists()
    first = Database.open(Project.open(tmp_path / "first"))
    assert len(Decisions(first).history(1)) == 1
    first.close()
