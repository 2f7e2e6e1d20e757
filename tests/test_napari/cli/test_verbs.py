"""The verbs of `lens`: each is loaded when it is asked for, and all of them are in the help."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from support.processes.command_line import lens

from lens_napari.cli.app import MODULE_OF

MODULES = sorted(set(MODULE_OF.values()))
NOT_FOR_LISTING = ("alembic", "lens_engine.store.catalog", "lens_engine.store.decisions", "pandas", "pydicom", "scipy")
"""What a list of jobs needs nothing of, and would wait for."""


@pytest.mark.parametrize("module", MODULES)
def test_every_verb_of_a_module_is_one_of_lens(module: str) -> None:
    verbs = import_module(f"lens_napari.cli.verbs.{module}").VERBS
    assert set(verbs) == {name for name, its_module in MODULE_OF.items() if its_module == module}


def test_the_help_names_every_verb(tmp_path: Path) -> None:
    shown = lens("--help", folder=tmp_path).stdout
    assert [name for name in MODULE_OF if f" {name} " not in shown] == []


def test_a_verb_loads_no_other_one_nor_what_it_does_not_need(project_folder: Path) -> None:
    code = (
        "import sys, contextlib; from lens_napari.cli.app import app\n"
        "with contextlib.suppress(SystemExit): app(['--project', sys.argv[1], 'jobs'])\n"
        f"print(*[name for name in sys.modules if name.startswith({('lens_napari.cli.verbs.', *NOT_FOR_LISTING)})])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(project_folder)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "lens_napari.cli.verbs.jobs" in loaded
    assert not loaded & {f"lens_napari.cli.verbs.{module}" for module in MODULES if module != "jobs"}
    assert not any(name.startswith(NOT_FOR_LISTING) for name in loaded)
