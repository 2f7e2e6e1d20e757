"""Two projects whose settings name one jobs database."""

from pathlib import Path

import pytest

from lens_engine.errors import JobError, LensError
from lens_engine.jobs.inputs import MineInputs
from lens_engine.jobs.queue import create_tables, open_queue
from lens_engine.project import Project, new_settings
from lens_engine.store.database import Database
from lens_engine.store.new_project import create_project


@pytest.fixture(params=["sqlite", "postgresql"])
def jobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.sqlite"
    return str(request.getfixturevalue("postgresql_url"))


def test_the_queue_of_another_project_is_refused(jobs_url: str, tmp_path: Path) -> None:
    first, second = (
        Project.create(tmp_path / name, settings=new_settings(name, jobs_database_url=jobs_url)) for name in "ab"
    )
    for _ in range(2):
        queue = open_queue(first)
        queue.submit(MineInputs(model_version="v1"))
        queue.close()
    with pytest.raises(JobError, match="belongs to another project") as caught:
        open_queue(second)
    assert str(second.folder) in str(caught.value)


def test_the_database_of_another_project_is_no_queue(jobs_url: str, tmp_path: Path) -> None:
    first = Project.create(tmp_path / "a", settings=new_settings("a", jobs_url, jobs_url))
    create_tables(jobs_url)
    Database.create(first).close()
    open_queue(first).close()
    second = Project.create(tmp_path / "b", settings=new_settings("b", jobs_database_url=jobs_url))
    with pytest.raises(JobError, match="belongs to another project"):
        open_queue(second)


def test_the_queue_of_another_project_is_no_database(jobs_url: str, tmp_path: Path) -> None:
    open_queue(Project.create(tmp_path / "a", settings=new_settings("a", jobs_database_url=jobs_url))).close()
    with pytest.raises(LensError, match=r"belongs to another project|holds something else"):
        create_project(tmp_path / "b", settings=new_settings("b", jobs_url, jobs_url))
    assert not (tmp_path / "b" / "lens.yaml").exists()
