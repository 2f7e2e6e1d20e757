"""What docs and README say of the loop experiment is what its results say, and they belong to the committed design."""

from pathlib import Path

import pytest

from lens_training.loop.design import Arm, load_design
from lens_training.loop.report import PRIMARY, LoopResults

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "docs" / "the-loop.json"


@pytest.fixture(scope="module")
def results() -> LoopResults:
    return LoopResults.model_validate_json(RESULTS.read_text(encoding="utf-8"))


def test_results_are_those_of_the_committed_design(results: LoopResults) -> None:
    assert results.design == load_design()


def test_page_holds_the_tables_of_the_results(results: LoopResults) -> None:
    page = (REPOSITORY / "docs" / "the-loop.md").read_text(encoding="utf-8")
    assert results.text.strip() in page


def test_readme_tells_the_gain_as_it_was_measured(results: LoopResults) -> None:
    gain = results.result(*PRIMARY).gains[Arm.DECIDED.value]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert f"{gain.in_percent} points" in " ".join(readme.split())
    assert (REPOSITORY / "docs" / "images" / "loop.png").is_file()
