"""The command line, as a person at a shell meets it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from support.processes.command_line import lens


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "study"
    made = lens("init", folder)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    voxels = np.full((12, 32, 32), -1000, dtype=np.int16)
    voxels[:, 6:26, 6:26] = np.random.default_rng(0).integers(20, 60, (12, 20, 20))
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((2.0, 2.0, 4.0))
    path = tmp_path / "scans" / "scan.nii.gz"
    path.parent.mkdir()
    sitk.WriteImage(image, str(path))
    return path


def test_init_says_that_the_model_has_never_seen_a_patient(tmp_path: Path) -> None:
    made = lens("init", tmp_path / "study")
    assert made.returncode == 0
    assert "never on patients" in made.stdout


def test_init_in_a_project_is_refused(project: Path) -> None:
    refused = lens("init", project)
    assert refused.returncode == 1
    assert str(project) in refused.stderr


def test_verbs_find_the_project_around_the_working_directory(project: Path) -> None:
    listed = lens("models", folder=project / "models")
    assert listed.returncode == 0
    assert "v1" in listed.stdout


def test_outside_a_project_the_message_says_what_to_do(tmp_path: Path) -> None:
    refused = lens("models", folder=tmp_path)
    assert refused.returncode == 1
    assert "--project" in refused.stderr or "lens init" in refused.stderr


def test_add_twice_adds_once(project: Path, scan: Path) -> None:
    first, second = lens("-p", project, "add", scan.parent), lens("-p", project, "add", scan.parent)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "1 series added" in first.stdout
    assert "0 series added" in second.stdout
    assert "1 known already" in second.stdout


def test_add_goes_on_after_a_broken_file_and_exits_with_one(project: Path, scan: Path) -> None:
    broken = scan.parent / "broken.nii.gz"
    broken.write_bytes(scan.read_bytes()[:100])
    image = sitk.ReadImage(str(scan)) + 1
    sitk.WriteImage(image, str(scan.parent / "another.nii.gz"))
    report = lens("-p", project, "add", scan.parent)
    assert report.returncode == 1
    assert "broken.nii.gz" in report.stderr
    assert "another" in report.stdout


def test_add_of_a_folder_without_ct_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no scan")
    refused = lens("-p", project, "add", tmp_path)
    assert refused.returncode == 1
    assert "no CT" in refused.stderr


def test_unknown_data_set_is_named(project: Path, scan: Path) -> None:
    refused = lens("-p", project, "add", scan, "--dataset", "spleen")
    assert refused.returncode == 1
    assert "'spleen'" in refused.stderr


def test_import_of_a_pickle_with_a_foreign_global_is_refused(project: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.pkl"
    evil.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    refused = lens("-p", project, "import", evil)
    assert refused.returncode == 1
    assert "os.system" in refused.stderr or "os system" in refused.stderr


def test_export_of_nothing_is_refused(project: Path, tmp_path: Path) -> None:
    refused = lens("-p", project, "export", tmp_path / "out.pkl")
    assert refused.returncode == 1
    assert not (tmp_path / "out.pkl").exists()


def test_project_of_a_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    lens("init", tmp_path / "study")
    file = tmp_path / "study" / "lens.yaml"
    values = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(values | {"schema_version": 99}))
    before = file.read_bytes()
    refused = lens("-p", tmp_path / "study", "models")
    assert refused.returncode == 1
    assert "99" in refused.stderr
    assert file.read_bytes() == before


def test_wrong_option_exits_with_two(project: Path) -> None:
    assert lens("-p", project, "detect", "--no-such-option").returncode == 2


def test_patients_of_the_training_are_no_split_to_measure_on(project: Path) -> None:
    refused = lens("-p", project, "evaluate", "--split", "train")
    assert refused.returncode == 2
    assert "'train' is not one of 'test', 'val'" in " ".join(refused.stderr.replace("│", " ").split())


def test_doctor_names_versions_and_the_model(project: Path) -> None:
    report = lens("-p", project, "doctor")
    assert report.returncode == 0, report.stdout
    words = " ".join(report.stdout.replace("│", " ").split())
    for expected in ("napari", "torch", "never on patients", "Nothing is wrong"):
        assert expected in words


def test_every_verb_but_review_and_demo_needs_neither_qt_nor_torch() -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'PyQt5', 'PyQt6', 'qtpy.QtWidgets', 'lightning'):\n"
        "    sys.modules[name] = None\n"
        "from importlib import import_module\n"
        "from lens_napari.cli.app import MODULE_OF\n"
        "for module in MODULE_OF.values():\n"
        "    import_module(f'lens_napari.cli.verbs.{module}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


INTERRUPTED_WHILE_LOADING = """
import os, signal, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
from lens_napari.cli import main
main()
"""


@pytest.mark.parametrize("library", ["typer", "sqlalchemy", "lens_napari.cli.app"])
def test_a_ctrl_c_while_the_libraries_are_loaded_ends_without_a_trace(library: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_LOADING, library], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
