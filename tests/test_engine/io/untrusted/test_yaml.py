"""YAML that stands for more than it holds, or nests without end, is refused by everything that reads it."""

from pathlib import Path

import pytest

from lens_engine.errors import ProjectError
from lens_engine.io.yaml_files import MAX_CHARACTERS
from lens_engine.project import Project
from lens_engine.store.roots import machine_roots

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BOMBS = {"references": LAUGHS, "depth": "[" * 20_000, "length": "a: " + "x" * MAX_CHARACTERS}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_the_settings_of_a_project_are_no_bomb(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "lens.yaml").write_text(bomb)
    with pytest.raises(ProjectError, match="not valid YAML"):
        Project.open(tmp_path)


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_the_roots_of_a_machine_are_no_bomb(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "roots.yaml").write_text(bomb)
    with pytest.raises(ProjectError, match=r"roots\.yaml"):
        machine_roots(tmp_path / "roots.yaml")
