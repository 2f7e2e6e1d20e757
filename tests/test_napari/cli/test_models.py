"""`lens models`, as a person at a shell meets it: bringing in what a recipe has trained."""

import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text
from support.processes import command_line
from support.processes.waiting import FOR_EVER_SECONDS, wait_until
from support.training.reduction_network import write_reduction

from lens_engine.checkpoint_card import CheckpointCard, TrainedOn, demo_checkpoint_folder, read_card
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.findings import Scope
from lens_engine.model_folder import REDUCTION_NAME
from lens_engine.project import Project
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.models.model_versions import Models, register_demo_model
from lens_engine.store.new_project import create_project


def lens(project: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return command_line.lens("-p", project, *arguments)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    create_project(tmp_path / "study")[0].close()
    return tmp_path / "study"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return what a recipe leaves: both networks, and what else lies there."""
    folder = shutil.copytree(demo_checkpoint_folder(), tmp_path / "run")
    card = read_card(folder).model_copy(update={"recipe": "lens-fpr"})
    (folder / "card.json").write_text(card.model_dump_json())
    learned = CheckpointCard(trained_on=TrainedOn.PHANTOMS, recipe="lens-fpr", parent="lens-fpr")
    write_reduction(folder / REDUCTION_NAME, folder, learned)
    (folder / "last.ckpt").write_bytes(b"large")
    (folder / REDUCTION_NAME / "patches").write_bytes(b"larger")
    return folder


def versions(project: Path) -> list[str]:
    database = Database.open(Project.open(project))
    try:
        return [record.version for record in Models(database).all()]
    finally:
        database.close()


def test_a_run_comes_in_with_both_networks_and_nothing_else(project: Path, run: Path) -> None:
    added = lens(project, "models", "--add", run)
    assert added.returncode == 0, added.stderr
    assert "is now v2: a detector trained on phantoms (recipe lens-fpr)" in added.stdout
    assert "with false-positive reduction trained on phantoms" in added.stdout
    assert "never on patients" in added.stdout
    assert "lens models --promote v2" in added.stdout
    copied = {path.relative_to(project / "models" / "v2").as_posix() for path in (project / "models" / "v2").rglob("*")}
    files = {"card.json", "weights.safetensors"}
    assert copied == files | {REDUCTION_NAME} | {f"{REDUCTION_NAME}/{name}" for name in files}


def test_the_list_says_which_version_has_a_reduction(project: Path, run: Path) -> None:
    lens(project, "models", "--add", run)
    first, second = (
        line for line in lens(project, "models").stdout.splitlines() if line.startswith(("│ v1 ", "│ v2 "))
    )
    assert first.split("│")[6].strip() == ""
    assert second.split("│")[6].strip() == "yes"


def test_a_second_time_it_is_known(project: Path, run: Path) -> None:
    lens(project, "models", "--add", run)
    again = lens(project, "models", "--add", run)
    assert again.returncode == 0
    assert "is known already as v2" in again.stdout
    assert versions(project) == ["v1", "v2"]


def test_a_reduction_from_elsewhere_says_whose_findings_it_has_learned_from(
    project: Path, run: Path, tmp_path: Path
) -> None:
    card = CheckpointCard(trained_on=TrainedOn.PATIENTS, parent="another-recipe")
    other = write_reduction(tmp_path / "other", run, card)
    added = lens(project, "models", "--add", run, "--reduction", other, "--promote", "v2")
    assert added.returncode == 0, added.stderr
    assert "false-positive reduction trained on patients" in added.stdout
    assert "from the findings of another-recipe, not of this detector" in added.stdout
    database = Database.open(Project.open(project))
    assert Models(database).promoted().version == "v2"
    database.close()


def test_what_is_no_model_is_refused_at_once(project: Path, run: Path, tmp_path: Path) -> None:
    cases = {
        "--add DETECTOR --reduction": (run / REDUCTION_NAME,),
        "holds a detector network": (run, "--reduction", demo_checkpoint_folder()),
        "pixel_mm 0.5": (run, "--reduction", write_reduction(tmp_path / "other", run, pixel_mm=0.5)),
        "card.json cannot be read": (tmp_path,),
    }
    for words, arguments in cases.items():
        refused = lens(project, "models", "--add", *arguments)
        assert refused.returncode == 1
        assert words in " ".join(refused.stderr.split())
        assert "Traceback" not in refused.stderr
    assert versions(project) == ["v1"]
    assert lens(project, "models", "--reduction", run / REDUCTION_NAME).returncode == 2


def test_experts_that_no_data_set_is_called_like_are_named(tmp_path: Path, run: Path) -> None:
    known = Database.create(Project.create(tmp_path / "known"))
    Catalog(known).add_dataset("universal", Scope.UNIVERSAL)
    foreign = Database.create(Project.create(tmp_path / "foreign"))
    Catalog(foreign).add_dataset("deeplesion", Scope.UNIVERSAL)
    for database, words in (
        (known, "No data set of the project is called liver, lung, lymph node"),
        (foreign, "is called like a universal data set of the project (deeplesion)"),
    ):
        folder = database.project.folder
        register_demo_model(database)
        database.close()
        assert words in lens(folder, "models", "--add", run).stdout


def test_one_that_is_killed_in_the_middle_leaves_no_version(project: Path, run: Path) -> None:
    database = Database.open(Project.open(project))
    with database.session() as session:
        session.execute(text("SELECT 1"))  # holds the write lock: the copy is complete, its row has to wait
        process = subprocess.Popen([*command_line.LENS, "-p", str(project), "models", "--add", str(run)])
        half = f".*.part/{REDUCTION_NAME}/card.json"
        wait_until(lambda: any((project / "models").glob(half)), "the files are copied")
        process.kill()
        process.wait(FOR_EVER_SECONDS)
    database.close()
    assert versions(project) == ["v1"]
    assert not (project / "models" / "v2").exists()
    assert lens(project, "models", "--add", run).returncode == 0
    assert versions(project) == ["v1", "v2"]


def test_experts_get_the_names_of_the_data_sets_of_the_project(project: Path, run: Path) -> None:
    names = ("--rename", "universal=ct", "--rename", "lymph node=node")
    added = lens(project, "models", "--add", run, *names)
    assert added.returncode == 0, added.stderr
    kept = read_card(project / "models" / "v2")
    assert kept.experts == ("ct", "lung", "liver", "node")
    assert load_checkpoint(project / "models" / "v2")[0].config.experts == kept.experts
    assert (project / "models" / "v2" / REDUCTION_NAME / "card.json").exists()
    assert read_card(run).experts == ("universal", "lung", "liver", "lymph node")
    assert "is known already as v2" in lens(project, "models", "--add", run, *names).stdout
    assert "is now v3" in lens(project, "models", "--add", run).stdout


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--rename", "deeplesion=universal"), 1, "has no expert 'deeplesion'"),
        (("--rename", "lung=liver"), 1, "differ from each other"),
        (("--rename", "lung"), 2, "OLD=NEW"),
    ],
)
def test_a_name_that_cannot_be_given_brings_nothing_in(
    project: Path, run: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    refused = lens(project, "models", "--add", run, *options)
    assert refused.returncode == code
    assert words in " ".join(refused.stderr.split())
    assert versions(project) == ["v1"]


def test_experts_are_renamed_only_where_their_model_is_brought_in(project: Path) -> None:
    assert lens(project, "models", "--rename", "lung=liver").returncode == 2
