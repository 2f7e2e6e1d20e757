"""Backup and restore as an administrator types them."""

import os
from pathlib import Path

import pytest
from support.processes.command_line import lens


@pytest.fixture
def study(tmp_path: Path) -> Path:
    made = lens("init", tmp_path / "study")
    assert made.returncode == 0, made.stderr
    return tmp_path / "study"


def test_a_lost_database_comes_back_from_a_backup(study: Path, tmp_path: Path) -> None:
    made = lens("-p", study, "backup", tmp_path / "study.lens")
    assert made.returncode == 0, made.stderr
    for left_out in ("scans", "job queue"):
        assert f"Left out: {left_out}" in made.stdout
    for file in (study / "store").iterdir():
        file.unlink()
    refused = lens("-p", study, "models")
    assert refused.returncode == 1
    assert "lens restore FILE DIR" in " ".join(refused.stderr.split())
    assert lens("restore", tmp_path / "study.lens", tmp_path / "again").returncode == 0
    assert "v1" in lens("-p", tmp_path / "again", "models").stdout
    assert lens("-p", tmp_path / "again", "jobs").returncode == 0


def test_an_embedded_project_goes_to_postgresql(study: Path, tmp_path: Path, postgresql_url: str) -> None:
    assert lens("-p", study, "backup", tmp_path / "study.lens").returncode == 0
    moved = lens("restore", tmp_path / "study.lens", tmp_path / "department", "--database-url", postgresql_url)
    assert moved.returncode == 0, moved.stderr
    report = lens("-p", tmp_path / "department", "doctor")
    assert "Nothing is wrong" in report.stdout, report.stdout


def test_a_restore_that_is_refused_leaves_nothing_in_the_way_of_the_next(
    study: Path, tmp_path: Path, postgresql_url: str
) -> None:
    assert lens("-p", study, "backup", tmp_path / "study.lens").returncode == 0
    to_server = ("restore", tmp_path / "study.lens", tmp_path / "department", "--database-url", postgresql_url)
    refused = lens(*to_server, "--jobs-url", "postgresql+psycopg://reader@127.0.0.1:1/jobs")
    assert refused.returncode == 1
    assert "jobs database" in refused.stderr
    assert not (tmp_path / "department").exists()
    assert lens(*to_server).returncode == 0


def test_what_is_no_backup_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no backup")
    for name in ("notes.txt", "missing.lens"):
        refused = lens("restore", tmp_path / name, tmp_path / "again")
        assert refused.returncode == 1
        assert name in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (tmp_path / "again").exists()


def test_doctor_names_what_is_damaged_and_what_was_left_over(study: Path) -> None:
    (study / "models" / "v1" / "weights.safetensors").write_bytes(b"torn")
    unfinished = study / "detections" / ".1.parquet.0a.part"
    unfinished.write_bytes(b"x")
    os.utime(unfinished, (0, 0))
    report = lens("-p", study, "doctor")
    said = " ".join(report.stdout.replace("│", " ").split())
    assert report.returncode == 1
    assert "Model version v1 is damaged" in said
    assert "may be deleted: detections/.1.parquet" in said
