import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from support.projects.store_samples import BOX, AddSeries, MakeDecision

from lens_engine.errors import BoxError, StoreError
from lens_engine.findings import MAX_COMMENT, Box3D, ReasonCode, RecistAxes, Scope, Split, Verdict
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions, SettledError

AXES = RecistAxes(int(BOX[2]), (BOX[0], BOX[1], BOX[3], BOX[4]), (BOX[0], BOX[4], BOX[3], BOX[1]))
Ask = Callable[..., tuple[CandidateRecord, ...]]

READER_PROCESS = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from lens_engine.findings import Decision, Verdict
from lens_engine.project import Project
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions

folder, reader, series, candidate, count = sys.argv[1:]
decisions = Decisions(Database.open(Project.open(Path(folder))))
for number in range(int(count)):
    verdict = Verdict.ACCEPTED if number % 2 else Verdict.REJECTED
    box = (1.0, 1.0, 1.0, 5.0, 5.0, 5.0)
    decisions.add(Decision(int(series), int(candidate), verdict, box, (), reader, datetime.now(UTC)))
"""


def test_decision_comes_back_as_it_was_given(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a")
    said = {"reason_code": ReasonCode.VESSEL, "comment": "splenic artery", "scores_hidden": True}
    given = replace(make_decision(series.id, Verdict.REJECTED, **said), axes=AXES)
    stored = Decisions(database).add(given)
    assert stored.decision == given
    assert Decisions(database).history(series.id) == (stored,)


@pytest.mark.parametrize("statement", ["UPDATE decisions SET verdict = 'accepted'", "DELETE FROM decisions"])
def test_stored_decision_cannot_be_changed(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, statement: str
) -> None:
    stored = Decisions(database).add(make_decision(add_series("a").id, Verdict.REJECTED))
    with pytest.raises(StoreError, match="append-only"), database.session() as session:
        session.execute(text(statement))
    assert Decisions(database).current() == (stored,)


@pytest.mark.parametrize(
    ("wrong", "happened"),
    [
        ({"comment": "x" * (MAX_COMMENT + 1)}, f"{MAX_COMMENT + 1} characters"),
        ({"axes": replace(AXES, slice_index=int(BOX[5]))}, f"slice {BOX[5]:g}"),
    ],
)
def test_comment_without_end_and_axes_beside_the_box_are_refused(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, wrong: dict[str, Any], happened: str
) -> None:
    series = add_series("a")
    with pytest.raises(StoreError, match=happened):
        Decisions(database).add(replace(make_decision(series.id, Verdict.ACCEPTED), **wrong))
    assert Decisions(database).history(series.id) == ()


def test_withdrawing_opens_the_place_and_keeps_both_rows(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(database)
    first = decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    assert Candidates(database).get(asked.id).decision == first
    undo = decisions.add(make_decision(series.id, Verdict.WITHDRAWN, asked.id))
    assert undo.previous_id == first.id
    assert Candidates(database).get(asked.id).decision is None
    assert decisions.current() == ()
    assert decisions.history(series.id) == (first, undo)


def test_withdrawing_works_for_a_decision_that_was_inherited(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    first = Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    (again,) = ask(series.id, BOX)
    undo = Decisions(database).add(make_decision(series.id, Verdict.WITHDRAWN, again.id))
    assert undo.previous_id == first.id
    (third,) = ask(series.id, BOX)
    assert third.decision is None


def test_second_verdict_replaces_the_first(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(database)
    first = decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    second = decisions.add(make_decision(series.id, Verdict.UNSURE, asked.id, reader="Reader B"))
    assert second.previous_id == first.id
    assert decisions.current() == (second,)
    assert decisions.counts() == {Verdict.UNSURE: 1}


WHOLE = (10.0, 10.0, 0.0, 20.0, 20.0, 10.0)
FIRST, SECOND = (10.0, 10.0, 0.0, 20.0, 20.0, 5.0), (10.0, 10.0, 5.0, 20.0, 20.0, 10.0)
GROWN = (10.0, 10.0, 0.0, 20.0, 20.0, 11.0)


class Reader:
    """Decides about the whole lesion, then about what a second mining run finds there."""

    def __init__(self, database: Database, ask: Ask, make_decision: MakeDecision, series_id: int) -> None:
        self._decisions, self._candidates = Decisions(database), Candidates(database)
        self._ask, self._make, self._series = ask, make_decision, series_id

    def finds(self, *boxes: Box3D) -> tuple[int, ...]:
        self._ask(self._series, *boxes)
        return tuple(self._candidates.latest())

    def says(
        self, verdict: Verdict, candidate_id: int, box: Box3D | None = None, reason: ReasonCode | None = None
    ) -> None:
        asked = self._candidates.get(candidate_id).candidate.finding.box
        self._decisions.add(self._make(self._series, verdict, candidate_id, box or asked, reason_code=reason))

    def verdicts(self, *candidate_ids: int) -> list[Verdict | None]:
        found = [self._candidates.get(candidate_id).decision for candidate_id in candidate_ids]
        return [None if record is None else record.verdict for record in found]

    def standing(self) -> list[tuple[Verdict, Box3D]]:
        return [(record.verdict, record.box) for record in self._decisions.current(self._series)]


@pytest.fixture
def reader(database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask) -> Reader:
    return Reader(database, ask, make_decision, add_series("a").id)


ACCEPTED, REJECTED, UNSURE = Verdict.ACCEPTED, Verdict.REJECTED, Verdict.UNSURE


def test_a_lesion_stays_one_when_a_fragment_of_it_is_rejected(reader: Reader) -> None:
    (whole,) = reader.finds(WHOLE)
    reader.says(ACCEPTED, whole)
    first, second = reader.finds(FIRST, SECOND)
    assert reader.verdicts(first, second) == [ACCEPTED, ACCEPTED]
    reader.says(REJECTED, first)
    assert reader.verdicts(first, second) == [REJECTED, ACCEPTED]
    assert reader.standing() == [(ACCEPTED, WHOLE), (REJECTED, FIRST)]
    assert reader.verdicts(*reader.finds(WHOLE, FIRST, SECOND)) == [ACCEPTED, REJECTED, ACCEPTED]


def test_a_lesion_ends_when_every_fragment_of_it_is_rejected(reader: Reader) -> None:
    (whole,) = reader.finds(WHOLE)
    reader.says(ACCEPTED, whole)
    first, second = reader.finds(FIRST, SECOND)
    reader.says(REJECTED, first)
    reader.says(REJECTED, second)
    assert reader.standing() == [(REJECTED, FIRST), (REJECTED, SECOND)]
    reader.says(Verdict.WITHDRAWN, second)
    assert reader.standing() == [(ACCEPTED, WHOLE), (REJECTED, FIRST)]
    assert reader.verdicts(first, second) == [REJECTED, ACCEPTED]


@pytest.mark.parametrize("verdict", [ACCEPTED, UNSURE])
def test_a_lesion_stays_one_when_a_fragment_of_it_is_not_rejected(reader: Reader, verdict: Verdict) -> None:
    (whole,) = reader.finds(WHOLE)
    reader.says(ACCEPTED, whole)
    first, second = reader.finds(FIRST, SECOND)
    reader.says(verdict, first)
    assert reader.standing() == [(ACCEPTED, WHOLE), (verdict, FIRST)]
    assert reader.verdicts(first, second) == [verdict, ACCEPTED]


@pytest.mark.parametrize("again", [WHOLE, GROWN])
def test_a_lesion_ends_when_it_is_found_again_and_rejected(reader: Reader, again: Box3D) -> None:
    (whole,) = reader.finds(WHOLE)
    reader.says(ACCEPTED, whole)
    (found,) = reader.finds(again)
    assert reader.verdicts(found) == [ACCEPTED]
    reader.says(REJECTED, found)
    assert reader.standing() == [(REJECTED, again)]


def test_a_lesion_that_was_adjusted_is_what_it_was_adjusted_to(reader: Reader) -> None:
    (whole,) = reader.finds(WHOLE)
    reader.says(ACCEPTED, whole)
    reader.says(Verdict.ADJUSTED, whole, FIRST)
    assert reader.standing() == [(Verdict.ADJUSTED, FIRST)]


def test_a_fragment_whose_rejection_was_taken_back_is_part_of_the_lesion_again(reader: Reader) -> None:
    (whole,) = reader.finds(WHOLE)
    reader.says(ACCEPTED, whole)
    first, second = reader.finds(FIRST, SECOND)
    reader.says(REJECTED, first)
    reader.says(Verdict.WITHDRAWN, first)
    assert reader.verdicts(first, second) == [ACCEPTED, ACCEPTED]
    assert reader.standing() == [(ACCEPTED, WHOLE)]
    reader.says(Verdict.WITHDRAWN, first)  # once more: now the lesion itself
    assert reader.standing() == []


def test_a_rejection_stands_for_the_rest_when_a_fragment_is_a_lesion(reader: Reader) -> None:
    (whole,) = reader.finds(WHOLE)
    reader.says(REJECTED, whole)
    first, second = reader.finds(FIRST, SECOND)
    reader.says(ACCEPTED, first)
    assert reader.standing() == [(REJECTED, WHOLE), (ACCEPTED, FIRST)]
    assert reader.verdicts(first, second) == [ACCEPTED, REJECTED]


TWIN = (10.0, 10.0, 0.0, 20.0, 21.0, 10.0)
COPY = ReasonCode.DUPLICATE


@pytest.mark.parametrize("reasons", [(None,), (None, COPY), (COPY,), (None, ReasonCode.VESSEL)])
def test_a_lesion_stays_one_when_its_twin_is_rejected(reader: Reader, reasons: tuple[ReasonCode | None, ...]) -> None:
    lesion, twin = reader.finds(WHOLE, TWIN)
    reader.says(ACCEPTED, lesion)
    assert reader.verdicts(lesion, twin) == [ACCEPTED, ACCEPTED]
    for reason in reasons:
        reader.says(REJECTED, twin, reason=reason)
    assert reader.verdicts(lesion, twin) == [ACCEPTED, REJECTED]
    assert reader.standing() == [(ACCEPTED, WHOLE), (REJECTED, TWIN)]
    reader.says(Verdict.WITHDRAWN, twin)
    assert reader.verdicts(lesion, twin) == [ACCEPTED, ACCEPTED]


@pytest.mark.parametrize("first", [ACCEPTED, REJECTED, UNSURE])
@pytest.mark.parametrize("second", [ACCEPTED, REJECTED, UNSURE])
def test_of_twins_each_has_its_own_verdict(reader: Reader, first: Verdict, second: Verdict) -> None:
    lesion, twin = reader.finds(WHOLE, TWIN)
    reader.says(first, lesion)
    reader.says(second, twin)
    assert reader.verdicts(lesion, twin) == [first, second]


@pytest.mark.parametrize("reasons", [(COPY,), (None, COPY)])
def test_a_copy_leaves_its_original_a_lesion_in_the_next_round(
    reader: Reader, reasons: tuple[ReasonCode | None, ...]
) -> None:
    reader.says(ACCEPTED, *reader.finds(WHOLE))
    lesion, twin = reader.finds(WHOLE, TWIN)
    for reason in reasons:
        reader.says(REJECTED, twin, reason=reason)
    assert reader.verdicts(lesion, twin) == [ACCEPTED, REJECTED]
    assert reader.standing() == [(ACCEPTED, WHOLE), (REJECTED, TWIN)]
    assert reader.verdicts(*reader.finds(WHOLE, TWIN)) == [ACCEPTED, ACCEPTED]


def test_a_lesion_that_was_taken_back_is_open_again_whatever_was_said_of_its_copy(reader: Reader) -> None:
    lesion, twin = reader.finds(WHOLE, TWIN)
    reader.says(ACCEPTED, lesion)
    reader.says(REJECTED, twin, reason=COPY)
    reader.says(Verdict.WITHDRAWN, lesion)
    assert reader.verdicts(lesion, twin) == [None, REJECTED]
    assert reader.verdicts(*reader.finds(WHOLE)) == [None]


def test_what_was_said_of_a_twin_cannot_be_taken_back_at_the_other_one(reader: Reader) -> None:
    lesion, twin = reader.finds(WHOLE, TWIN)
    reader.says(ACCEPTED, lesion)
    with pytest.raises(StoreError, match="nothing to withdraw"):
        reader.says(Verdict.WITHDRAWN, twin)
    assert reader.verdicts(lesion, twin) == [ACCEPTED, ACCEPTED]


def test_what_another_reader_has_settled_meanwhile_is_told_and_not_overwritten(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(database)
    theirs = decisions.add(make_decision(series.id, Verdict.REJECTED, asked.id, reader="Reader B"))
    mine = make_decision(series.id, Verdict.ACCEPTED, asked.id)
    with pytest.raises(SettledError, match="Reader B has said meanwhile: rejected") as refused:
        decisions.add_seen(mine, None)
    assert refused.value.counting == theirs
    assert decisions.history(series.id) == (theirs,)
    stored = decisions.add_seen(mine, theirs.decision).record
    assert decisions.current() == (stored,)
    unsure = replace(mine, verdict=Verdict.UNSURE, decided_at=mine.decided_at + timedelta(seconds=1))
    again = decisions.add_seen(unsure, mine).record
    assert decisions.current() == (again,)


def test_what_another_reader_said_after_it_is_not_taken_back_with_it(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(database)
    mine = decisions.add_seen(make_decision(series.id, Verdict.REJECTED, asked.id), None).record.decision
    theirs = make_decision(series.id, Verdict.ACCEPTED, asked.id, reader="Reader B")
    stands = decisions.add_seen(theirs, mine).record
    with pytest.raises(SettledError, match="Reader B has said meanwhile: accepted"):
        decisions.add_seen(make_decision(series.id, Verdict.WITHDRAWN, asked.id), mine)
    assert decisions.current() == (stands,)


def test_what_a_reader_said_in_another_window_is_told_him_and_not_overwritten(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(database)
    here = make_decision(series.id, Verdict.ACCEPTED, asked.id)
    there = replace(here, verdict=Verdict.REJECTED, decided_at=here.decided_at + timedelta(seconds=1))
    decisions.add_seen(here, None)
    stands = decisions.add_seen(there, here).record
    for seen in (None, here):
        with pytest.raises(SettledError, match="has said meanwhile: rejected"):
            decisions.add_seen(replace(here, verdict=Verdict.WITHDRAWN), seen)
    assert decisions.current() == (stands,)


def test_a_reader_who_goes_over_what_another_has_said_does_so_in_the_next_round(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(database)
    for reader in ("Reader A", "Reader A", "Reader B", "Reader A"):
        decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id, reader=reader))
    assert [record.decision.round for record in decisions.history(series.id)] == [1, 1, 2, 3]


@pytest.fixture
def typed_database(database: Database) -> Database:
    """Return a project with two single-type data sets."""
    for name, lesion_type in (("LUNA", "lung nodule"), ("LiTS", "liver tumour")):
        Catalog(database).add_dataset(name, Scope.SINGLE_TYPE, lesion_type)
    return database


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.ADJUSTED, Verdict.ADDED])
def test_the_type_of_a_lesion_is_kept_with_its_decision(
    typed_database: Database, add_series: AddSeries, make_decision: MakeDecision, verdict: Verdict
) -> None:
    given = make_decision(add_series("a").id, verdict, lesion_type="lung nodule")
    stored = Decisions(typed_database).add(given)
    assert Decisions(typed_database).current() == (stored,)
    assert stored.decision == given


def test_a_later_decision_has_its_own_type_and_an_undo_gives_the_earlier_one_back(
    typed_database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    decisions = Decisions(typed_database)
    for lesion_type in ("lung nodule", "liver tumour", None, "lung nodule"):
        decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id, lesion_type=lesion_type))
        (standing,) = decisions.current()
        assert standing.decision.lesion_type == lesion_type
    types = [record.decision.lesion_type for record in decisions.history(series.id)]
    assert types == ["lung nodule", "liver tumour", None, "lung nodule"]


def test_a_later_candidate_inherits_the_type(
    typed_database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    Decisions(typed_database).add(make_decision(series.id, Verdict.ACCEPTED, asked.id, lesion_type="lung nodule"))
    (again,) = ask(series.id, BOX)
    assert again.decision is not None
    assert again.decision.decision.lesion_type == "lung nodule"


def test_a_type_that_no_data_set_labels_is_refused_and_the_known_ones_named(
    typed_database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a")
    with pytest.raises(StoreError, match="'kidney'") as refused:
        Decisions(typed_database).add(make_decision(series.id, Verdict.ADDED, lesion_type="kidney"))
    assert refused.value.expected == "One of 'lung nodule', 'liver tumour' is needed"
    assert Decisions(typed_database).history(series.id) == ()


def test_without_a_single_type_data_set_no_type_is_known(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    with pytest.raises(StoreError, match="One of none yet") as refused:
        Decisions(database).add(make_decision(add_series("a").id, Verdict.ADDED, lesion_type="lung nodule"))
    assert "--lesion-type" in refused.value.remedy


@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.UNSURE, Verdict.WITHDRAWN])
def test_what_is_no_lesion_has_no_type(
    typed_database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask, verdict: Verdict
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    accepted = Decisions(typed_database).add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    with pytest.raises(StoreError, match=f"is {verdict} and has the lesion type 'lung nodule'"):
        Decisions(typed_database).add(make_decision(series.id, verdict, asked.id, lesion_type="lung nodule"))
    assert Decisions(typed_database).history(series.id) == (accepted,)


def test_nothing_to_withdraw_is_an_error(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    with pytest.raises(StoreError, match="nothing to withdraw"):
        Decisions(database).add(make_decision(add_series("a").id, Verdict.WITHDRAWN))


def test_foreign_candidate_or_previous_decision_is_refused(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    first, second = add_series("a"), add_series("b")
    (asked,) = ask(first.id, BOX)
    with pytest.raises(StoreError, match="does not belong to series"):
        Decisions(database).add(make_decision(second.id, Verdict.ACCEPTED, asked.id))
    with pytest.raises(StoreError, match="no decision 99"):
        Decisions(database).add(make_decision(second.id, Verdict.ACCEPTED, previous_id=99))
    with pytest.raises(StoreError, match="no candidate 99"):
        Decisions(database).add(make_decision(second.id, Verdict.ACCEPTED, 99))
    assert Decisions(database).history(second.id) == ()


def test_broken_box_is_refused(database: Database, add_series: AddSeries, make_decision: MakeDecision) -> None:
    with pytest.raises(BoxError):
        Decisions(database).add(make_decision(add_series("a").id, Verdict.ADDED, box=(5.0, 0.0, 0.0, 1.0, 1.0, 1.0)))


def test_time_keeps_its_zone(database: Database, add_series: AddSeries, make_decision: MakeDecision) -> None:
    series = add_series("a")
    Decisions(database).add(make_decision(series.id, Verdict.ADDED, decided_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC)))
    (stored,) = Decisions(database).history(series.id)
    assert stored.decision.decided_at == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_two_readers_at_once_lose_no_decision(database: Database, add_series: AddSeries, ask: Ask) -> None:
    series = add_series("a", Split.TRAIN)
    (asked,) = ask(series.id, BOX)
    count = 25
    arguments = [str(database.project.folder)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READER_PROCESS, *arguments, reader, str(series.id), str(asked.id), str(count)],
            stderr=subprocess.PIPE,
        )
        for reader in ("Reader A", "Reader B")
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    history = Decisions(database).history(series.id)
    assert len(history) == 2 * count
    # Each row follows the one before it: nobody overwrote what he had not seen.
    assert [record.previous_id for record in history] == [None, *[record.id for record in history[:-1]]]
    assert len(Decisions(database).current()) == 1
    assert Candidates(database).queue() == ()


def test_what_a_reader_has_decided_since_a_moment_is_known_by_candidate(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series, decisions = add_series("a"), Decisions(database)
    today = datetime(2026, 3, 1, tzinfo=UTC)
    early, late, withdrawn, of_another = ask(series.id, *(tuple(edge + 50 * i for edge in BOX) for i in range(4)))
    for asked, values in (
        (early, {"decided_at": today - timedelta(seconds=1)}),
        (late, {"decided_at": today}),
        (withdrawn, {"decided_at": today}),
        (of_another, {"decided_at": today, "reader": "Reader B"}),
    ):
        box = asked.candidate.finding.box
        decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id, box, **values))
    decisions.add(
        make_decision(series.id, Verdict.WITHDRAWN, withdrawn.id, withdrawn.candidate.finding.box, decided_at=today)
    )
    assert decisions.decided_by("Reader A", today) == {late.id}
    assert decisions.decided_by("nobody", today) == frozenset()


SMALLER: Box3D = (2.0, 2.0, 2.0, 3.0, 3.0, 3.0)


def test_an_added_lesion_with_a_smaller_box_stands_alone(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    decisions, added = Decisions(database), make_decision(add_series("a").id, Verdict.ADDED)
    first = decisions.add(added)
    changed = decisions.change_added(first.id, replace(added, box=SMALLER, slices=()))
    assert decisions.current() == decisions.added(added.series_id) == (changed,)
    assert changed.box == SMALLER
    history = decisions.history(added.series_id)
    assert [row.verdict for row in history] == [Verdict.ADDED, Verdict.WITHDRAWN, Verdict.ADDED]
    assert [row.previous_id for row in history] == [None, first.id, history[1].id]


def test_a_change_of_an_added_lesion_is_all_that_is_said_of_it(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    decisions = Decisions(database)
    added = make_decision(add_series("a").id, Verdict.ADDED, comment="two foci", axes=AXES)
    first = decisions.add(added)
    decisions.change_added(first.id, replace(added, box=SMALLER, slices=(), axes=None))
    said = [(row.verdict, row.comment, row.decision.axes) for row in decisions.history(added.series_id)]
    words = [(Verdict.ADDED, "two foci", AXES), (Verdict.WITHDRAWN, "", None), (Verdict.ADDED, "two foci", None)]
    assert said == words


def test_an_added_lesion_is_deleted_by_a_row_and_can_come_back(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    decisions, added = Decisions(database), make_decision(add_series("a").id, Verdict.ADDED)
    first = decisions.add(added)
    deleted = decisions.change_added(first.id, replace(added, verdict=Verdict.WITHDRAWN))
    assert decisions.current() == ()
    again = decisions.add(replace(added, previous_id=deleted.id))
    assert decisions.current() == (again,)
    assert len(decisions.history(added.series_id)) == 3


def test_only_a_standing_lesion_that_a_reader_added_can_be_changed(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series, decisions = add_series("a"), Decisions(database)
    (asked,) = ask(series.id, BOX)
    accepted = decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id))
    added = decisions.add(make_decision(series.id, Verdict.ADDED))
    deletion = make_decision(series.id, Verdict.WITHDRAWN)
    decisions.change_added(added.id, deletion)
    for no_lesion in (accepted.id, added.id):
        with pytest.raises(StoreError, match=f"Decision {no_lesion} is no lesion that a reader added"):
            decisions.change_added(no_lesion, deletion)
    assert decisions.current() == (accepted,)
