"""The folders of the packages: each stands in the map of CONTRIBUTING.md, and none is crowded."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("engine/lens_engine", "training/lens_training", "lens_napari")
MOST_FILES = 16
"""Python files side by side in one folder, `__init__.py` among them."""


def folders_of(package: str) -> Iterator[Path]:
    """Yield the package itself and every folder in it that holds Python files."""
    root = REPOSITORY / package
    yield from sorted({path.parent for path in root.rglob("*.py")})


def map_of(package: str) -> dict[str, str]:
    """Return the sentence of every row of a package's table in the map, by the folder in its first column."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index(f"\n`{package}/`") :].split("\n\n")[1]
    return dict(re.findall(r"^\| `(\w+)/` \| (.+) \|$", table, re.MULTILINE))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_has_a_row_for_each_room_and_for_no_other(package: str) -> None:
    root = REPOSITORY / package
    rooms = {folder.relative_to(root).parts[0] for folder in folders_of(package) if folder != root}
    assert set(map_of(package)) == rooms


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_names_every_package_inside_a_room(package: str) -> None:
    root = REPOSITORY / package
    inside = [folder.relative_to(root).parts for folder in folders_of(package) if (folder / "__init__.py").is_file()]
    rows = map_of(package)
    missing = ["/".join(parts) for parts in inside if len(parts) == 2 and f"`{parts[1]}/`" not in rows[parts[0]]]
    assert missing == []


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks"])
def test_no_folder_is_crowded(package: str) -> None:
    crowded = {
        str(folder.relative_to(REPOSITORY)): count
        for folder in folders_of(package)
        if (count := len(list(folder.glob("*.py")))) > MOST_FILES
    }
    assert crowded == {}
