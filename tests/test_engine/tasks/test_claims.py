"""Claims on work, held by real processes, on SQLite and on PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes.lockless import refuse_all_locks
from support.processes.postgresql import running_server, server_programs
from support.processes.waiting import wait_until
from support.projects.department import make_department

from lens_engine.errors import NoLocksError
from lens_engine.store.database import Database
from lens_engine.store.new_project import create_project
from lens_engine.tasks.claims import claim

HOLDER = """
import sys, time
from pathlib import Path
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.new_project import create_project
from lens_engine.tasks.claims import claim

with claim(Database.open(Project.open(Path(sys.argv[1]))), "detect v1 1") as is_ours:
    print(is_ours, flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield a project's database of either kind."""
    if request.param == "sqlite":
        database, _ = create_project(tmp_path / "study")
        yield database
        database.close()
        return
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with running_server(programs) as url:
        database = make_department(tmp_path / "study", url)
        yield database
        database.close()


def test_work_in_the_hands_of_another_process_is_not_ours_until_that_dies(shared: Database) -> None:
    command = [sys.executable, "-c", HOLDER, str(shared.project.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        found = [holder.stdout.readline()]
        for work in ("detect v1 1", "detect v1 2"):
            with claim(shared, work) as is_ours:
                found.append(str(is_ours))
        holder.kill()
    assert found == ["True\n", "False", "True"]

    def is_free() -> bool:
        with claim(shared, "detect v1 1") as is_ours:
            return is_ours

    wait_until(is_free, "the claim of the dead process is gone")


def test_work_is_free_again_where_its_holder_has_ended_it(shared: Database) -> None:
    for _ in range(2):
        with claim(shared, "detect v1 1") as is_ours:
            assert is_ours


def test_a_disk_without_locks_is_told_instead_of_taken_for_another_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _ = create_project(tmp_path / "study")
    refuse_all_locks(monkeypatch)
    with (
        pytest.raises(NoLocksError, match=r"claims\.lock cannot be locked: .* \(Lustre with flock"),
        claim(database, "detect v1 1"),
    ):
        pass
    database.close()
