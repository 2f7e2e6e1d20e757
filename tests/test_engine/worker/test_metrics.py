"""What a worker tells whoever watches over it, asked over HTTP as Prometheus does."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from socket import socket

import pytest
from support.processes.waiting import FOR_EVER_SECONDS, wait_for_end, wait_until

from lens_engine.errors import JobError
from lens_engine.jobs.environment import process_environment
from lens_engine.jobs.inputs import MineInputs
from lens_engine.jobs.queue import DbosJobQueue
from lens_engine.store.database import Database
from lens_engine.worker.metrics import Metrics, serve_metrics


def ask(port: int, path: str = "/metrics", host: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=FOR_EVER_SECONDS) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        said: str = answer.read().decode()
    return said


def test_counters_and_gauges_are_told_in_the_usual_form() -> None:
    metrics = Metrics()
    metrics.add("jobs_total", kind="mine", outcome="done")
    metrics.add("jobs_total", kind='a "b"', outcome="failed")
    metrics.add("step_seconds_total", 0.25)
    port = serve_metrics("0", metrics, lambda: {"jobs_waiting": 3.0})
    lines = ask(port).splitlines()
    assert lines.count("# TYPE lens_worker_jobs_total counter") == 1
    assert 'lens_worker_jobs_total{kind="mine",outcome="done"} 1' in lines
    assert r'lens_worker_jobs_total{kind="a \"b\"",outcome="failed"} 1' in lines
    assert "lens_worker_step_seconds_total 0.25" in lines
    assert lines[-2:] == ["# TYPE lens_jobs_waiting gauge", "lens_jobs_waiting 3"]
    with pytest.raises(urllib.error.HTTPError):
        ask(port, "/else")


@pytest.mark.parametrize("address", ["", "many", "localhost:many", "70000", "::1:9470", "[::1]", "[::1]9470"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(JobError, match="no address for metrics"):
        serve_metrics(address, Metrics(), dict)


def test_an_address_in_use_is_refused_in_words() -> None:
    with socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(JobError, match="cannot be offered"):
            serve_metrics(str(other.getsockname()[1]), Metrics(), dict)


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    try:
        port = serve_metrics("[::1]:0", Metrics(), lambda: {"worker_up": 1.0})
    except JobError as error:
        assert "cannot be offered" in error.happened  # noqa: PT017  # no IPv6 on this computer
        pytest.skip("this computer has no IPv6")
    assert "lens_worker_up 1" in ask(port, host="[::1]")


def free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_worker_tells_of_its_jobs(database: Database, jobs: DbosJobQueue) -> None:
    port, folder = free_port(), database.project.folder
    command = [sys.executable, "-m", "lens_engine.worker", "--project", str(folder), "--metrics", str(port)]
    with subprocess.Popen(command, env=process_environment()) as worker:
        try:
            job_id = jobs.submit(MineInputs(model_version="v9"))
            wait_for_end(jobs, job_id)
            failed = 'lens_worker_jobs_total{kind="mine",outcome="failed"} 1'
            wait_until(lambda: failed in ask(port), "the job is counted")
            lines = ask(port).splitlines()
        finally:
            worker.terminate()
    assert {"lens_worker_up 1", "lens_database_up 1", "lens_workers_alive 1", "lens_jobs_waiting 0"} <= set(lines)
    events = [json.loads(line) for line in (jobs.log_file(job_id).parent / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["begun", "step", "ended"]
    assert events[-1]["outcome"] == "failed"
    assert {event["job"] for event in events} == {job_id}
