"""What a plan counts is what a snapshot holds, and both are what the rules about one place say."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from support.projects.store_samples import AddSeries, MakeCandidate, MakeDecision, sections

from lens_engine.errors import StoreError
from lens_engine.findings import (
    POSITIVE_VERDICTS,
    Box3D,
    Candidate,
    CandidateKind,
    ReasonCode,
    Scope,
    Split,
    Verdict,
)
from lens_engine.snapshot import LabelSet, LesionOrigin, LesionRole
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decision_rules import covers, is_same_place
from lens_engine.store.decisions import DecisionRecord, Decisions
from lens_engine.store.labels.completeness import accepted_lesions
from lens_engine.store.labels.roles import roles_of
from lens_engine.store.labels.snapshots import Snapshots, counts_of

SPLITS = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VAL, Split.TEST)
ACTIONS = 40
TYPES = ("lung", "liver")
Grow = Callable[[random.Random, int], None]


@pytest.fixture
def grow(database: Database, add_series: AddSeries, make_candidate: MakeCandidate, make_decision: MakeDecision) -> Grow:
    """Return a function that does random things to a project of a few series, many of them at the same places."""
    for name in TYPES:
        Catalog(database).add_dataset(f"{name} set", Scope.SINGLE_TYPE, name)
    series = [add_series(f"patient {number}", split).id for number, split in enumerate(SPLITS)]
    series.append(add_series("without images", Split.TRAIN, geometry=None, source=None).id)
    Annotations(database).add([_annotation(series[0], (1.0, 1.0, 1.0, 5.0, 5.0, 3.0))])

    def annotate(chance: random.Random) -> None:
        role = chance.choice([AnnotationRole.LABEL, AnnotationRole.LABEL, AnnotationRole.REFERENCE])
        new = _annotation(chance.choice(series), _box(chance), role, is_noisy=chance.random() < 0.3)
        Annotations(database).add([new])

    def mine(chance: random.Random) -> None:
        found: list[Candidate] = [
            make_candidate(chance.choice(series), _box(chance), chance.choice(list(CandidateKind))) for _ in range(15)
        ]
        Candidates(database).replace_open("v1", found, [0.5] * len(found))

    def decide(chance: random.Random) -> None:
        verdict = chance.choice(list(Verdict))
        code = chance.choice(list(ReasonCode)) if verdict is Verdict.REJECTED and chance.random() < 0.5 else None
        said = chance.choice([*TYPES, None]) if verdict in POSITIVE_VERDICTS else None
        asked = Candidates(database).queue(split=None, include_decided=True)
        if asked and chance.random() < 0.6:
            one = chance.choice(asked)
            box = one.candidate.finding.box if chance.random() < 0.7 else _box(chance)
            decision = make_decision(one.candidate.series_id, verdict, one.id, box, reason_code=code, lesion_type=said)
        else:
            place = chance.choice(series)
            standing = Decisions(database).current(place)
            previous = chance.choice(standing) if standing and chance.random() < 0.6 else None
            box = _box(chance) if previous is None or chance.random() < 0.3 else _half(previous.box, chance)
            followed = None if previous is None else previous.id
            also = {"reason_code": code, "previous_id": followed, "lesion_type": said}
            decision = make_decision(place, verdict, None, box, **also)
        with suppress(StoreError):  # there may be nothing to withdraw
            Decisions(database).add(decision)

    def do(chance: random.Random, times: int) -> None:
        for _ in range(times):
            chance.choices([annotate, mine, decide], weights=[2, 1, 12])[0](chance)

    return do


@pytest.mark.parametrize("seed", range(6))
def test_the_plan_counts_what_the_snapshot_holds(database: Database, grow: Grow, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(3):
        grow(chance, ACTIONS // 3)
        for label_set in LabelSet:
            record = Snapshots(database).freeze(label_set)
            assert Snapshots(database).counts(label_set) == record.counts
            assert counts_of(Snapshots(database).read(record.id)) == record.counts


@pytest.mark.parametrize("seed", range(6, 12))
def test_roles_follow_the_rules_about_one_place(database: Database, grow: Grow, seed: int) -> None:
    grow(random.Random(seed), ACTIONS)
    with database.reading() as session:
        roles = roles_of(session, LabelSet.CURATED)
    assert roles[LesionOrigin.DECISION] == _decided_by_hand(database)
    open_ones = {record.id for record in Candidates(database).queue(split=None)}
    assert set(roles[LesionOrigin.MINED]) == open_ones


@pytest.mark.parametrize("seed", range(12, 18))
def test_a_snapshot_names_the_experts_of_every_decided_lesion(database: Database, grow: Grow, seed: int) -> None:
    grow(random.Random(seed), ACTIONS)
    expected = {}
    for series in Catalog(database).all_series(with_images=True):
        decided = Decisions(database).current(series.id)
        for lesion in accepted_lesions(decided) if series.split is not Split.TEST else ():
            parts = [one for one in decided if one.verdict is Verdict.ACCEPTED and covers(lesion.box, one.box)]
            said = [one.decision.lesion_type for one in (lesion, *reversed(parts)) if one.decision.lesion_type]
            expected[series.name, lesion.box] = ("universal", *(f"{name} set" for name in said[:1]))
    found = {
        (lesion.series, lesion.box): lesion.experts
        for series in Snapshots(database).compose(LabelSet.CURATED).series
        for lesion in series.lesions
        if (lesion.origin, lesion.role) == (LesionOrigin.DECISION, LesionRole.POSITIVE)
    }
    assert found == expected


def test_no_label_is_counted_twice_or_in_another_split(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    for split in (Split.TRAIN, Split.VAL, Split.TEST):
        series = add_series(split.value, split)
        Annotations(database).add([_annotation(series.id, (30.0, 30.0, 5.0, 40.0, 40.0, 9.0))])
        for verdict in (Verdict.REJECTED, Verdict.UNSURE, Verdict.ADDED):
            Decisions(database).add(make_decision(series.id, verdict))
    expected = {"series": 1, "annotations": 1, "accepted": 1}
    assert Snapshots(database).counts(LabelSet.CURATED) == expected
    assert Snapshots(database).freeze(LabelSet.CURATED).counts == expected


LESION, TWIN = (4.0, 4.0, 0.0, 14.0, 14.0, 10.0), (4.0, 4.0, 0.0, 14.0, 17.0, 10.0)


@pytest.mark.parametrize("boxes", [(LESION, TWIN), (TWIN, LESION)])
def test_two_boxes_of_a_lesion_that_were_both_accepted_are_one_lesion_with_the_type_that_was_said(
    database: Database,
    add_series: AddSeries,
    make_candidate: MakeCandidate,
    make_decision: MakeDecision,
    boxes: tuple[Box3D, Box3D],
) -> None:
    Catalog(database).add_dataset("lung set", Scope.SINGLE_TYPE, "lung")
    series = add_series("a")
    Candidates(database).replace_open("v1", [make_candidate(series.id, box) for box in boxes], [0.9, 0.8])
    for (candidate_id, candidate), lesion_type in zip(
        Candidates(database).latest().items(), ("lung", None), strict=True
    ):
        box = candidate.finding.box
        said = make_decision(series.id, Verdict.ACCEPTED, candidate_id, box, lesion_type=lesion_type)
        Decisions(database).add(said)
    (known,) = Snapshots(database).compose(LabelSet.CURATED).series
    assert [(lesion.box, lesion.role, lesion.experts) for lesion in known.lesions] == [
        (TWIN, LesionRole.POSITIVE, ("universal", "lung set"))
    ]


@pytest.mark.parametrize("reasons", [(None,), (None, ReasonCode.DUPLICATE), (ReasonCode.DUPLICATE,)])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_rejected_twin_of_a_lesion_is_no_negative(
    database: Database,
    add_series: AddSeries,
    make_candidate: MakeCandidate,
    make_decision: MakeDecision,
    reasons: tuple[ReasonCode | None, ...],
    is_first: bool,
) -> None:
    series = add_series("a")
    Candidates(database).replace_open("v1", [make_candidate(series.id, box) for box in (LESION, TWIN)], [0.9, 0.8])
    lesion, twin = Candidates(database).latest()
    accepted = make_decision(series.id, Verdict.ACCEPTED, lesion, LESION)
    rejected = [make_decision(series.id, Verdict.REJECTED, twin, TWIN, reason_code=reason) for reason in reasons]
    for decision in (accepted, *rejected) if is_first else (*rejected, accepted):
        Decisions(database).add(decision)
    with database.reading() as session:
        roles = roles_of(session, LabelSet.CURATED)
    assert set(roles[LesionOrigin.DECISION].values()) == {LesionRole.POSITIVE}
    assert roles[LesionOrigin.MINED] == {}


def test_what_is_rejected_inside_a_lesion_is_no_background(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a")
    whole = Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, box=(4.0, 4.0, 0.0, 14.0, 14.0, 10.0)))
    for verdict in (Verdict.REJECTED, Verdict.ACCEPTED):
        part = make_decision(series.id, verdict, box=(4.0, 4.0, 0.0, 14.0, 14.0, 5.0), previous_id=whole.id)
        Decisions(database).add(part)
    with database.reading() as session:
        roles = roles_of(session, LabelSet.CURATED)
    assert roles[LesionOrigin.DECISION] == {whole.id: LesionRole.POSITIVE}


def test_a_project_without_labels_counts_nothing(database: Database, add_series: AddSeries) -> None:
    assert Snapshots(database).counts(LabelSet.CURATED) == {"series": 0}
    add_series("a")
    assert Snapshots(database).counts(LabelSet.CURATED) == {"series": 1}


def _annotation(
    series_id: int, box: Box3D, role: AnnotationRole = AnnotationRole.LABEL, *, is_noisy: bool = False
) -> NewAnnotation:
    return NewAnnotation(series_id, box, sections(box), role, AnnotationOrigin.DRAWN, is_noisy=is_noisy)


def _box(chance: random.Random) -> Box3D:
    """Return one of few places, a little moved, or grown so much that a rejection of the small one says nothing."""
    x, y, z = chance.choice([(4, 4, 2), (6, 6, 3), (30, 30, 10), (34, 30, 10), (30, 4, 20)])
    side, depth = chance.choice([(8, 4), (8, 4), (12, 6), (20, 8)])
    shift = chance.choice([0.0, 0.5, 2.0])
    return x + shift, float(y), float(z), x + shift + side, float(y + side), float(z + depth)


def _half(box: Box3D, chance: random.Random) -> Box3D:
    x1, y1, z1, x2, y2, z2 = box
    middle = (z1 + z2) // 2
    if not z1 < middle < z2:
        return box
    return chance.choice([(x1, y1, z1, x2, y2, middle), (x1, y1, middle, x2, y2, z2)])


def _decided_by_hand(database: Database) -> dict[int, LesionRole]:
    """Return the roles of the decisions, series by series, with the rules in Python."""
    roles: dict[int, LesionRole] = {}
    of_series: dict[int, list[DecisionRecord]] = {}
    for record in Decisions(database).current():
        of_series.setdefault(record.decision.series_id, []).append(record)
    for series_id, records in of_series.items():
        labels = Annotations(database).of_series(series_id, AnnotationRole.LABEL)
        roles |= {record.id: LesionRole.POSITIVE for record in accepted_lesions(records)}
        known = [record.box for record in records if record.verdict in POSITIVE_VERDICTS]
        unsure = [
            record for record in records if record.decision.verdict is Verdict.UNSURE and not _is_covered(record, known)
        ]
        roles |= {record.id: LesionRole.IGNORE for record in unsure}
        known += [record.decision.box for record in unsure] + [label.box for label in labels]
        roles |= {
            record.id: LesionRole.NEGATIVE
            for record in records
            if record.decision.verdict is Verdict.REJECTED
            and record.decision.reason_code is not ReasonCode.DUPLICATE
            and not _is_covered(record, known)
        }
    return roles


def _is_covered(record: DecisionRecord, boxes: list[Box3D]) -> bool:
    return any(is_same_place(record.decision.box, box) for box in boxes)
