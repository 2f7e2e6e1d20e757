"""Words without a verdict outlast the window, each reader's in a file of his own."""

from pathlib import Path

import pytest

from lens_engine.errors import ProjectError
from lens_napari.review.saying.unsaid_file import load_unsaid, save_unsaid, unsaid_file


def test_words_come_back_as_they_were_kept_and_the_file_goes_with_the_last_of_them(tmp_path: Path) -> None:
    path = unsaid_file(tmp_path, "Reader A/B")
    assert path.parent.parent == tmp_path
    assert path != unsaid_file(tmp_path, "Reader A")
    save_unsaid(path, {3: "cyst?\nsee the MRI", 12: "é"})
    assert load_unsaid(path) == {3: "cyst?\nsee the MRI", 12: "é"}
    save_unsaid(path, {})
    assert load_unsaid(path) == {}
    assert not path.exists()


@pytest.mark.parametrize("text", ["{", '{"comments": {"first": "x"}}', '{"words": {}}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = unsaid_file(tmp_path, "reader")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ProjectError, match=r"reader\.json"):
        load_unsaid(path)


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "unsaid").write_text("a file in the place of the folder")
    with pytest.raises(ProjectError, match="go with the verdicts"):
        save_unsaid(unsaid_file(tmp_path, "reader"), {1: "cyst"})
