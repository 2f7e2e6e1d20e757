"""What the viewer reads from a real project, without a window."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.review_project import add_held_out_series

from lens_engine.findings import Split
from lens_engine.project import Project
from lens_napari.review.project_store import ProjectStore


@pytest.fixture
def store(project_folder: Path) -> Iterator[ProjectStore]:
    opened = ProjectStore(Project.open(project_folder))
    yield opened
    opened.close()


def test_what_can_be_measured_on_in_the_other_part_is_pointed_at(store: ProjectStore, project_folder: Path) -> None:
    assert "--split val" not in store.learning_plan().measured_on
    store.mark_complete(add_held_out_series(project_folder, Split.VAL).id)
    words = store.learning_plan().measured_on
    assert words.startswith("Not measurable yet")
    assert "lens evaluate --split val" in words
    assert "Shift-C" in words
