"""Who may import whom: the contracts of pyproject.toml, and what really is loaded in fresh processes."""

import ast
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import lens_engine
import lens_napari
import lens_training

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = {"lens_napari": lens_napari, "lens_engine": lens_engine, "lens_training": lens_training}

FORBIDDEN_IN_THE_VIEWER = (
    "torch",
    "lightning",
    "safetensors",
    "lens_engine.detector",
    "lens_engine.lesion_embedding",
    "lens_engine.mining",
    "lens_engine.worker",
    "lens_engine.tasks",
    "lens_training",
)

MAY_IMPORT_ON_USE = {
    "lens_napari/cli/__init__.py": "a Ctrl+C is to be understood before the libraries are loaded",
    "lens_napari/cli/verbs/viewer.py": "all other verbs must run where no Qt binding is installed",
}

IMPORT_ALL = """
import importlib, sys
forbidden, modules = sys.argv[1].split(","), sys.argv[2].split(",")
for name in modules:
    importlib.import_module(name)
    loaded = [other for other in forbidden if other in sys.modules]
    if loaded:
        sys.exit(f"importing {name} loads {', '.join(loaded)}")
"""

HIDE_AND_RUN = """
import runpy, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

hidden = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Hidden())
sys.argv = ["lens", *sys.argv[2:]]
from lens_napari.cli import main
sys.exit(main())
"""


def modules_of(package: str) -> list[str]:
    found = pkgutil.walk_packages(PACKAGES[package].__path__, f"{package}.", onerror=lambda name: None)
    return [package, *(module.name for module in found if not module.name.endswith("__main__"))]


def run_python(code: str, *arguments: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_import_contracts_hold() -> None:
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    result = run_python(code)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_part_of_the_viewer_loads_torch_or_what_needs_it() -> None:
    result = run_python(IMPORT_ALL, ",".join(FORBIDDEN_IN_THE_VIEWER), ",".join(modules_of("lens_napari")))
    assert result.returncode == 0, result.stderr


def test_everything_but_networks_and_tasks_runs_without_torch() -> None:
    needs_torch = ("lens_engine.detector", "lens_engine.lesion_embedding", "lens_engine.tasks")
    modules = [name for name in modules_of("lens_engine") if not name.startswith(needs_torch)]
    result = run_python(IMPORT_ALL, "torch", ",".join(modules))
    assert result.returncode == 0, result.stderr


def test_engine_and_training_load_no_qt_and_no_napari() -> None:
    modules = modules_of("lens_engine") + modules_of("lens_training")
    result = run_python(IMPORT_ALL, "napari,qtpy,PyQt5.QtCore,PyQt6.QtCore,vispy,magicgui", ",".join(modules))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("hidden", ["PyQt5,PyQt6,PySide2,PySide6", "torch,lightning,safetensors"])
def test_the_command_line_works_without_a_qt_binding_and_without_torch(hidden: str, tmp_path: Path) -> None:
    made = run_python(HIDE_AND_RUN, hidden, "init", "p", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "p" / "lens.yaml").is_file()
    listed = run_python(HIDE_AND_RUN, hidden, "--project", "p", "jobs", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr


def test_no_function_imports_own_code() -> None:
    files = [path for package in PACKAGES.values() for path in Path(package.__path__[0]).rglob("*.py")]
    hidden = {str(path.relative_to(REPOSITORY)): lines for path in files if (lines := hidden_imports(path))}
    assert set(hidden) <= set(MAY_IMPORT_ON_USE), f"a module is in the wrong layer: {hidden}"


def hidden_imports(path: Path) -> list[int]:
    return [
        node.lineno
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom) and any(name in PACKAGES for name in imported_packages(node))
    ]


def imported_packages(node: ast.Import | ast.ImportFrom) -> list[str]:
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return [name.split(".")[0] for name in names]
