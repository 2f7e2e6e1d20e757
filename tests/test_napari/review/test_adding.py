from collections import Counter
from pathlib import Path

from lens_engine.errors import SeriesError
from lens_engine.findings import Scope, Split
from lens_engine.project import ProjectSettings
from lens_engine.store.catalog import DatasetRecord
from lens_engine.store.exchange.ingest import AddReport
from lens_napari.review.adding import (
    added_headline,
    added_lines,
    breakable,
    dataset_of_kind,
    dataset_words,
    paths_words,
    split_choices,
)

UNIVERSAL = DatasetRecord("universal", Scope.UNIVERSAL, None)
LUNG = DatasetRecord("LUNA", Scope.SINGLE_TYPE, "lung")


def test_data_sets_are_told_by_what_is_marked_in_them() -> None:
    assert dataset_words(UNIVERSAL) == "Nothing, or some lesions of any kind"
    assert dataset_words(LUNG) == "Every lung lesion, no other (LUNA)"


def test_a_kind_that_is_known_goes_into_its_data_set() -> None:
    assert dataset_of_kind(" Lung ", [UNIVERSAL, LUNG]) is LUNG
    assert dataset_of_kind("kidney", [UNIVERSAL, LUNG]) == DatasetRecord("kidney", Scope.SINGLE_TYPE, "kidney")


def test_the_project_draws_unless_the_reader_says_what_patients_are_for() -> None:
    drawn, *named = split_choices(ProjectSettings(name="a"))
    assert drawn.split is None
    assert "70% are drawn to learn from, 15% to validate, 15% to test on" in drawn.meaning
    assert [choice.split for choice in named] == list(Split)


def test_what_was_refused_comes_first_and_every_file_is_named() -> None:
    problems = tuple(SeriesError(f"{name}.dcm is damaged", "", "Copy it again") for name in "abc")
    report = AddReport((), 2, Counter({"label mask": 1}), ("000001: odd",), problems, left_over=4)
    assert added_headline(report) == (
        "Nothing was added, 2 in the project already, 3 refused, stopped: 4 not added any more."
    )
    lines = added_lines(report)
    assert lines[:3] == [f"Refused: {name}.dcm is damaged. Copy it again." for name in "abc"]
    assert lines[3:5] == ["Note: 000001: odd", "Left alone: 1 × label mask"]
    assert "lens import FILE" in lines[5]


def test_many_paths_are_a_few_lines_and_odd_bytes_are_shown_as_question_marks() -> None:
    words = paths_words([Path(f"/scans/{number}") for number in range(51)])
    assert words.splitlines()[-1] == "and 47 more"
    assert paths_words([Path("/scans/\udcff")]) == "/scans/?"


def test_a_long_name_may_go_on_in_the_next_line() -> None:
    assert breakable("a/b.c").split("\u200b") == ["a/", "b.", "c"]
