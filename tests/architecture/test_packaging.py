"""What users install: a valid pyproject, a wheel that is complete, and a manifest that napari finds in it."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from npe2 import PluginManifest
from validate_pyproject.api import Validator

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE_FOLDERS = {
    "lens_napari": "lens_napari",
    "engine/lens_engine": "lens_engine",
    "training/lens_training": "lens_training",
}

FIND_MANIFEST = """
import npe2, npe2.manifest.utils, lens_napari, lens_engine, lens_training
manifest = npe2.PluginManifest.from_distribution("lens-napari")
print(manifest.name, lens_napari.__file__, lens_engine.__file__, lens_training.__file__, sep="\\n")
for command in manifest.contributions.commands:
    npe2.manifest.utils.import_python_name(command.python_name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the tools that are installed, and return it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(folder.glob("lens_napari-*.whl"))


def test_pyproject_is_valid() -> None:
    content = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert Validator()(content)


def test_the_manifest_at_the_root_is_the_one_inside_the_package() -> None:
    root = REPOSITORY / "napari.yaml"
    assert root.is_symlink()
    assert os.readlink(root) == "lens_napari/napari.yaml"


def test_napari_finds_the_manifest_in_an_editable_install() -> None:
    manifest = PluginManifest.from_distribution("lens-napari")
    assert manifest.name == "lens-napari"
    assert manifest.contributions.readers
    assert manifest.contributions.widgets
    assert manifest.contributions.sample_data


def test_napari_finds_the_manifest_and_every_command_in_a_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    result = subprocess.run(
        [sys.executable, "-c", FIND_MANIFEST],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    name, *files = result.stdout.split("\n")[:4]
    assert name == "lens-napari"
    assert all(Path(file).is_relative_to(tmp_path) for file in files), files


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGE_FOLDERS], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    expected = set()
    for path in listed:
        folder = next(folder for folder in PACKAGE_FOLDERS if path.startswith(f"{folder}/"))
        if (REPOSITORY / path).is_file():
            expected.add(PACKAGE_FOLDERS[folder] + path.removeprefix(folder))
    with zipfile.ZipFile(wheel) as archive:
        assert expected - set(archive.namelist()) == set()


def test_the_wheel_needs_neither_qt_nor_torch(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    required = [
        line.removeprefix("Requires-Dist: ")
        for line in lines
        if line.startswith("Requires-Dist") and "extra ==" not in line
    ]
    assert required
    assert [line for line in required if line.lower().startswith(("torch", "pyqt", "pyside", "lightning"))] == []
