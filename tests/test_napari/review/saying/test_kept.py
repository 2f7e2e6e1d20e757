"""What could not be saved when a window closed: kept in a file, written once, and never in silence."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lens_engine.errors import ProjectError, StoreError
from lens_engine.findings import Decision, SliceBox, Verdict
from lens_engine.store.decisions import DecisionRecord, SettledError
from lens_napari.editing.drawn import DrawnWrite, StoredRow
from lens_napari.review.saying.kept import KeptDecision, KeptFile, kept_of, said_again_words
from lens_napari.review.session import Write

BOX = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
SAID = Decision(
    series_id=1,
    candidate_id=7,
    verdict=Verdict.ACCEPTED,
    box=BOX,
    slices=(SliceBox(3, (1.0, 2.0, 4.0, 5.0), 0.5),),
    reader="Reader A",
    decided_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
)
OTHER = replace(SAID, candidate_id=8, verdict=Verdict.REJECTED, comment="Gefäß")
DRAWN = replace(SAID, candidate_id=None, verdict=Verdict.ADDED)
WITHDRAWN = replace(DRAWN, verdict=Verdict.WITHDRAWN)
FAILED = StoreError("The disk is full", "Free space", "Free some")


def test_what_is_kept_is_written_once_and_the_file_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        KeptFile(tmp_path, "Reader A").keep([Write(1, SAID, None), Write(1, OTHER, SAID)])
    assert "2 decisions could not be saved" in caplog.text
    written: list[KeptDecision] = []
    again = KeptFile(tmp_path, "Reader A").say_again(written.append)
    assert [(one.said, one.seen) for one in written] == [(SAID, None), (OTHER, SAID)]
    assert "2 decisions are saved now" in said_again_words(again)
    assert not list((tmp_path / "unsaid").iterdir())
    assert KeptFile(tmp_path, "Reader A").say_again(written.append).saved == 0


def test_what_is_refused_again_stays_and_what_others_have_settled_is_told(tmp_path: Path) -> None:
    def write(kept: KeptDecision) -> None:
        raise SettledError(DecisionRecord(1, replace(SAID, reader="Reader B"))) if kept.said == SAID else FAILED

    file = KeptFile(tmp_path, "Reader A")
    file.keep([Write(1, SAID, None), Write(2, OTHER, None)])
    again = file.say_again(write)
    assert "Reader B has said meanwhile: accepted" in said_again_words(again)
    assert "The disk is full" in said_again_words(again)
    written: list[KeptDecision] = []
    file.say_again(written.append)
    assert [one.said for one in written] == [OTHER]


def test_another_reader_and_another_window_have_a_file_of_their_own(tmp_path: Path) -> None:
    KeptFile(tmp_path, "Reader A").keep([Write(1, SAID, None)])
    written: list[KeptDecision] = []
    KeptFile(tmp_path, "Reader B").say_again(written.append)
    KeptFile(tmp_path, "Reader A", "test set").say_again(written.append)
    assert written == []


def test_of_a_drawn_lesion_only_what_it_is_in_the_end_is_kept() -> None:
    new, stored, gone = StoredRow(), StoredRow(5), StoredRow()
    changed = replace(DRAWN, lesion_type="lung nodule")
    kept = kept_of(
        [
            DrawnWrite(1, new, False, DRAWN),
            DrawnWrite(2, gone, False, DRAWN),
            DrawnWrite(3, stored, True, WITHDRAWN),
            DrawnWrite(4, new, True, changed),
            DrawnWrite(5, gone, True, WITHDRAWN),
        ]
    )
    assert [(one.said, one.row_id, one.was_there) for one in kept] == [(changed, None, False), (WITHDRAWN, 5, True)]


def test_a_file_that_cannot_be_read_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    file = KeptFile(tmp_path, "Reader A")
    file.keep([Write(1, SAID, None)])
    (path,) = (tmp_path / "unsaid").iterdir()
    path.write_text("{")
    with pytest.raises(ProjectError, match="only place"):
        file.say_again(lambda _: None)
    file.keep([Write(1, OTHER, None)])
    assert path.read_text() == "{"


def test_what_can_be_neither_saved_nor_kept_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "unsaid").write_text("no folder")
    KeptFile(tmp_path, "Reader A").keep([Write(1, SAID, None), "what was said of place 2"])
    assert "accepted in series 1" in caplog.text
    assert "place 2" in caplog.text
