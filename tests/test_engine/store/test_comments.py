"""Whose words about a place stand, whoever has decided since."""

from collections.abc import Callable
from dataclasses import replace

from support.projects.store_samples import BOX, AddSeries, MakeDecision

from lens_engine.findings import Verdict
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.comments import Comment
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions

Ask = Callable[..., tuple[CandidateRecord, ...]]
NEAR = (11.0, 11.0, 2.0, 21.0, 21.0, 6.0)


def test_the_words_of_one_reader_outlast_the_verdict_of_another(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series, decisions = add_series("a"), Decisions(database)
    (asked,) = ask(series.id, BOX)
    first = make_decision(series.id, Verdict.ACCEPTED, asked.id, comment="cyst?")
    decisions.add(first)
    decisions.add(replace(first, reader="Reader B", verdict=Verdict.REJECTED, comment="a loop of bowel"))
    decisions.add(replace(first, reader="Reader B", verdict=Verdict.UNSURE, comment="bowel, or a node"))
    words = (Comment("Reader A", "cyst?"), Comment("Reader B", "bowel, or a node"))
    assert Candidates(database).get(asked.id).comments == words
    (asked_again,) = ask(series.id, NEAR)
    assert (asked_again.inherited, asked_again.comments) == (True, words)
    decisions.add(replace(first, candidate_id=asked_again.id, comment=""))
    assert Candidates(database).get(asked_again.id).comments == words[1:]


def test_a_place_that_is_open_again_has_no_words(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series, decisions = add_series("a"), Decisions(database)
    (asked,) = ask(series.id, BOX)
    decisions.add(make_decision(series.id, Verdict.ACCEPTED, asked.id, comment="cyst?"))
    decisions.add(make_decision(series.id, Verdict.WITHDRAWN, asked.id))
    assert Candidates(database).get(asked.id).comments == ()
    assert Candidates(database).outline().comments == {}
