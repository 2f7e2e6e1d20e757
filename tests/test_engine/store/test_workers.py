import os
import socket
import subprocess
import sys

from lens_engine.jobs.heartbeat import living_workers
from lens_engine.store.database import Database
from lens_engine.store.workers import Workers


def test_worker_that_reports_is_alive(database: Database) -> None:
    workers = Workers(database)
    workers.start("host-cpu", socket.gethostname(), os.getpid(), "cpu")
    assert workers.beat("host-cpu", "job-1")
    (record,) = living_workers(workers)
    assert (record.worker_id, record.pid, record.current_job) == ("host-cpu", os.getpid(), "job-1")


def test_worker_whose_process_is_gone_is_known_but_not_alive(database: Database) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    Workers(database).start("host-cpu", socket.gethostname(), ended.pid, "cpu")
    assert living_workers(Workers(database)) == ()
    assert len(Workers(database).all()) == 1


def test_restarted_worker_takes_the_place_of_the_old_one(database: Database) -> None:
    for pid in (77, 78):
        Workers(database).start("host-cpu", "host", pid, "cpu")
    assert [record.pid for record in Workers(database).all()] == [78]


def test_stopped_worker_is_gone(database: Database) -> None:
    workers = Workers(database)
    workers.start("host-cpu", "host", 77, "cpu")
    workers.stop("host-cpu")
    assert workers.all() == ()
    assert not workers.beat("host-cpu")
