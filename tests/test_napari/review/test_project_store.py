"""What the viewer reads from a real project, without a window."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.projects.review_project import add_held_out_series

from lens_engine.findings import Decision, SliceBox, Split, Verdict, box_from_slices
from lens_engine.project import Project
from lens_engine.store.candidates import Candidates
from lens_engine.store.decisions import Decisions, SettledError
from lens_napari.drawn_controller import write_kept
from lens_napari.review.project_store import ProjectStore
from lens_napari.review.readings.store import ReadingStore
from lens_napari.review.saying.kept import KeptDecision


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


def test_what_is_not_measurable_yet_names_the_window_in_which_it_is_read(store: ProjectStore) -> None:
    words = store.learning_plan().measured_on
    assert "at least 3 test series" in words
    assert "lens review --test-set" in words
    assert "Read a test set" in words


def said(series_id: int, verdict: Verdict, candidate_id: int | None = None) -> Decision:
    slices = (SliceBox(3, (20.0, 20.0, 30.0, 30.0), 0.5),)
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return Decision(series_id, candidate_id, verdict, box_from_slices(slices), slices, "Reader A", moment)


def test_a_kept_verdict_is_written_once(store: ProjectStore) -> None:
    asked = next(iter(Candidates(store.database).latest().items()))
    kept = KeptDecision(said=said(asked[1].series_id, Verdict.ACCEPTED, asked[0]), is_drawn=False)
    for _ in range(2):  # the first window may have got through after all
        store.write_kept(kept)
    assert [one.verdict for one in Decisions(store.database).history(asked[1].series_id)] == [Verdict.ACCEPTED]


def test_a_kept_verdict_does_not_undo_what_another_reader_has_said_meanwhile(store: ProjectStore) -> None:
    number, asked = next(iter(Candidates(store.database).latest().items()))
    mine = said(asked.series_id, Verdict.ACCEPTED, number)
    store.commit(replace(mine, reader="Reader B", verdict=Verdict.REJECTED), None)
    with pytest.raises(SettledError, match="Reader B"):
        store.write_kept(KeptDecision(said=mine, is_drawn=False))


def test_a_kept_drawing_is_written_once_in_the_review_and_in_a_reading(
    store: ProjectStore, project_folder: Path
) -> None:
    reviewed, held_out = store.viewable_series()[0].id, add_held_out_series(project_folder, Split.TEST).id
    drawn = KeptDecision(said=said(reviewed, Verdict.ADDED), is_drawn=True)
    marked = KeptDecision(said=said(held_out, Verdict.ADDED), is_drawn=True)
    reading = ReadingStore(store, "Reader A")
    for _ in range(2):
        store.write_kept(drawn)
        write_kept(reading, marked)
    assert len(store.drawn_lesions(reviewed)) == 1
    assert len(reading.drawn_lesions(held_out)) == 1
    assert store.drawn_lesions(held_out) == ()
