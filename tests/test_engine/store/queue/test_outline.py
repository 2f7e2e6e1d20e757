"""The outline of a queue says the same as its records, in the same order."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.projects.store_samples import BOX, AddSeries, MakeCandidate, MakeDecision

from lens_engine.findings import (
    FUSED,
    Box3D,
    Candidate,
    CandidateKind,
    Finding,
    Reason,
    ReasonCode,
    Rule,
    Split,
    Verdict,
)
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.queue.outline import KINDS, OPEN, RULES, VERDICTS, QueueOutline

Ask = Callable[..., tuple[CandidateRecord, ...]]

FAR = (40.0, 40.0, 10.0, 50.0, 50.0, 14.0)
SAID = (Verdict.ACCEPTED, Verdict.REJECTED, Verdict.UNSURE, Verdict.WITHDRAWN)


def in_words(outline: QueueOutline) -> list[tuple[object, ...]]:
    """Return each row of an outline as `words_of` says a record."""
    return [
        (
            int(outline.ids[i]),
            int(outline.series_ids[i]),
            KINDS[outline.kinds[i]],
            {rule for rule, asks in zip(RULES, outline.rules[i], strict=True) if asks},
            {
                expert: score
                for expert, score in zip(outline.experts, outline.scores[i], strict=True)
                if not np.isnan(score)
            },
            tuple(outline.boxes[i]),
            None if outline.verdicts[i] == OPEN else VERDICTS[outline.verdicts[i]],
            outline.comments.get(int(outline.ids[i]), ""),
        )
        for i in range(len(outline))
    ]


def words_of(record: CandidateRecord) -> tuple[object, ...]:
    finding = record.candidate.finding
    return (
        record.id,
        record.candidate.series_id,
        record.candidate.kind,
        {reason.rule for reason in record.candidate.reasons},
        {finding.expert: finding.score, **finding.expert_scores},
        finding.box,
        record.decision.verdict if record.decision else None,
        "\n".join(comment.text for comment in record.comments),
    )


def some_box(chance: np.random.Generator) -> Box3D:
    x, y, z = (float(edge) for edge in chance.integers(0, 30, 3))
    width, height, depth = (float(size) for size in chance.integers(4, 14, 3))
    return (x, y, z, x + width, y + height, z + depth)


def some_candidate(series_id: int, make_candidate: MakeCandidate, chance: np.random.Generator) -> Candidate:
    rule, kind = tuple(Rule)[chance.integers(3)], KINDS[chance.integers(2)]
    return make_candidate(series_id, some_box(chance), kind, Reason(rule, expert="lung", score=0.5))


@pytest.mark.parametrize("seed", range(6))
def test_an_outline_says_what_the_records_say_in_their_order(
    seed: int,
    database: Database,
    add_series: AddSeries,
    make_candidate: MakeCandidate,
    make_decision: MakeDecision,
) -> None:
    chance = np.random.default_rng(seed)
    series = [add_series(f"series {number}", tuple(Split)[number % 3]).id for number in range(6)]
    candidates, decisions = Candidates(database), Decisions(database)
    for run in range(2):
        found = [some_candidate(series_id, make_candidate, chance) for series_id in series for _ in range(5 + 10 * run)]
        candidates.replace_open(f"v{run}", found, chance.integers(0, 8, len(found)) / 8)
        for record in candidates.queue(split=None):
            if chance.random() < 0.3:
                verdict = SAID[chance.integers(3)]
                copy = ReasonCode.DUPLICATE if verdict is Verdict.REJECTED and chance.random() < 0.3 else None
                place = record.candidate.finding.box
                said = make_decision(record.candidate.series_id, verdict, record.id, place, reason_code=copy)
                comment = "see the lung window" if chance.random() < 0.5 else ""
                decisions.add(replace(said, reader=f"Reader {chance.integers(3)}", comment=comment))
                if chance.random() < 0.2:
                    decisions.add(make_decision(record.candidate.series_id, Verdict.WITHDRAWN, record.id, place))
    for split in (None, *Split):
        records = candidates.queue(split=split, include_decided=True)
        assert in_words(candidates.outline(split)) == [words_of(record) for record in records]
        if split is not None:
            assert candidates.count_open(split) == len(candidates.queue(split=split))


def test_an_outline_before_the_first_mining_is_empty(database: Database) -> None:
    outline = Candidates(database).outline()
    assert (len(outline), outline.mining_run, outline.model_version) == (0, None, None)
    assert len(outline.surest()[0]) == len(outline.middle_slices()) == 0


def test_an_outline_of_a_mining_in_vain_knows_its_run(database: Database) -> None:
    run = Candidates(database).replace_open("v2", [], [])
    outline = Candidates(database).outline()
    assert (len(outline), outline.mining_run, outline.model_version) == (0, run, "v2")


@pytest.mark.parametrize(
    ("scores", "surest"),
    [
        ({"liver": 0.4, "lung": 0.7}, ("lung", 0.7)),
        ({FUSED: 0.9, "lung": 0.7}, ("lung", 0.7)),
        ({}, (FUSED, 0.75)),
    ],
)
def test_the_surest_expert_is_no_fusion_where_one_sees_the_place(
    scores: dict[str, float], surest: tuple[str, float], database: Database, add_series: AddSeries
) -> None:
    finding = Finding(FUSED, BOX, (), 0.75, scores)
    candidate = Candidate(add_series("a").id, finding, CandidateKind.UNCERTAIN, (Reason(Rule.CROSS_DATASET),))
    Candidates(database).replace_open("v1", [candidate], [0.5])
    outline = Candidates(database).outline()
    (column,), (score,) = outline.surest()
    assert (outline.experts[column], score) == surest


def test_the_middle_slice_is_that_of_the_cross_sections(database: Database, add_series: AddSeries, ask: Ask) -> None:
    records = ask(add_series("a").id, BOX, FAR, (1.0, 1.0, 3.0, 9.0, 9.0, 4.0), (1.0, 1.0, 3.0, 9.0, 9.0, 6.0))
    middles = [record.candidate.finding.slices for record in records]
    outline = Candidates(database).outline()
    assert outline.middle_slices().tolist() == [slices[len(slices) // 2].slice_index for slices in middles]


def test_the_candidates_of_a_series_are_those_of_the_run_that_is_asked_for(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate, make_decision: MakeDecision
) -> None:
    here, elsewhere = add_series("a"), add_series("b")
    candidates = Candidates(database)
    first = candidates.replace_open("v1", [make_candidate(here.id), make_candidate(elsewhere.id)], [0.5, 0.5])
    (asked,) = candidates.of_series(here.id, first)
    Decisions(database).add(make_decision(here.id, Verdict.ACCEPTED, asked.id))
    second = candidates.replace_open("v2", [make_candidate(here.id, FAR), make_candidate(here.id)], [0.5, 0.5])
    assert [record.candidate.finding.box for record in candidates.of_series(here.id, second)] == [FAR, BOX]
    assert candidates.of_series(here.id, first) == (candidates.get(asked.id),)
    assert candidates.of_series(here.id, second)[1].inherited
