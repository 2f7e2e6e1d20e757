from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from support.projects.store_samples import BOX, AddSeries, MakeCandidate, MakeDecision, sections

from lens_engine.errors import StoreError
from lens_engine.findings import CandidateKind, Reason, ReasonCode, Rule, Scope, Split, Verdict
from lens_engine.snapshot import LabelSet, Lesion, LesionOrigin, LesionRole
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.completeness import mark_complete
from lens_engine.store.labels.snapshots import Snapshots

OTHER = (40.0, 40.0, 10.0, 50.0, 50.0, 14.0)
THIRD = (2.0, 40.0, 10.0, 9.0, 50.0, 14.0)

Ask = Callable[..., tuple[CandidateRecord, ...]]


def annotate(database: Database, series_id: int, box: Any = OTHER, **values: Any) -> None:
    defaults = {"role": AnnotationRole.LABEL, "origin": AnnotationOrigin.DRAWN}
    Annotations(database).add([NewAnnotation(series_id, box, sections(box), **{**defaults, **values})])


def lesions(database: Database, labels: LabelSet = LabelSet.CURATED) -> tuple[Lesion, ...]:
    store = Snapshots(database)
    return tuple(lesion for series in store.read(store.freeze(labels).id).series for lesion in series.lesions)


def add_single_type_datasets(database: Database) -> None:
    """Add data sets of two types, two of them of the same, and a second universal one."""
    catalog = Catalog(database)
    catalog.add_dataset("LUNA", Scope.SINGLE_TYPE, "lung nodule")
    catalog.add_dataset("LiTS", Scope.SINGLE_TYPE, "liver tumour")
    catalog.add_dataset("clinic", Scope.UNIVERSAL)
    catalog.add_dataset("chest", Scope.SINGLE_TYPE, "lung nodule")


def meaning(lesion: Lesion) -> tuple[Any, LesionRole, LesionOrigin]:
    return lesion.box, lesion.role, lesion.origin


def test_original_labels_are_positive_and_doubtful_ones_ignored(database: Database, add_series: AddSeries) -> None:
    series = add_series("a")
    annotate(database, series.id, OTHER)
    annotate(database, series.id, THIRD, is_noisy=True, origin=AnnotationOrigin.RTSTRUCT)
    annotate(database, series.id, BOX, role=AnnotationRole.REFERENCE)
    first, second = lesions(database, LabelSet.ORIGINAL)
    assert meaning(first) == (OTHER, LesionRole.POSITIVE, LesionOrigin.ANNOTATION)
    assert meaning(second) == (THIRD, LesionRole.IGNORE, LesionOrigin.ANNOTATION)
    assert (first.is_tight, second.is_tight) == (False, True)


def test_unreviewed_candidates_count_as_published(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate
) -> None:
    series = add_series("a")
    found = [make_candidate(series.id, BOX), make_candidate(series.id, OTHER, CandidateKind.UNCERTAIN)]
    Candidates(database).replace_open("v1", found, [0.5, 0.5])
    expected = [
        (BOX, LesionRole.POSITIVE, LesionOrigin.MINED),
        (OTHER, LesionRole.IGNORE, LesionOrigin.MINED),
    ]
    assert [meaning(lesion) for lesion in lesions(database, LabelSet.MINED)] == expected
    assert [meaning(lesion) for lesion in lesions(database, LabelSet.CURATED)] == expected


@pytest.mark.parametrize(
    ("verdict", "role"),
    [
        (Verdict.ACCEPTED, LesionRole.POSITIVE),
        (Verdict.UNSURE, LesionRole.IGNORE),
        (Verdict.REJECTED, LesionRole.NEGATIVE),
    ],
)
def test_verdict_replaces_what_was_mined(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask, verdict: Verdict, role: LesionRole
) -> None:
    series = add_series("a")
    annotate(database, series.id)
    (asked,) = ask(series.id, BOX)
    Decisions(database).add(make_decision(series.id, verdict, asked.id))
    _, decided = lesions(database)
    assert meaning(decided) == (BOX, role, LesionOrigin.DECISION)
    # A rejection is one for every expert; of a lesion's type nothing was said.
    assert decided.experts == (("universal",) if role is LesionRole.POSITIVE else None)
    assert [meaning(lesion)[2] for lesion in lesions(database, LabelSet.MINED)] == ["annotation", "mined"]


@pytest.mark.parametrize(
    ("said", "experts"),
    [
        (None, ("universal", "clinic")),
        ("lung nodule", ("universal", "LUNA", "clinic", "chest")),
        ("liver tumour", ("universal", "LiTS", "clinic")),
    ],
)
@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.ADJUSTED, Verdict.ADDED])
@pytest.mark.parametrize("dataset", ["universal", "LiTS"])
def test_a_decided_lesion_is_one_for_the_universal_experts_and_those_of_its_type(
    database: Database,
    add_series: AddSeries,
    make_decision: MakeDecision,
    said: str | None,
    experts: tuple[str, ...],
    verdict: Verdict,
    dataset: str,
) -> None:
    add_single_type_datasets(database)
    series = add_series("a", dataset=dataset)
    annotate(database, series.id)
    Decisions(database).add(make_decision(series.id, verdict, lesion_type=said))
    marked, decided = lesions(database)
    assert decided.experts == experts
    assert marked.experts is None


def test_the_type_that_was_said_of_a_part_is_that_of_its_lesion(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    add_single_type_datasets(database)
    series, decisions = add_series("a"), Decisions(database)
    whole = decisions.add(make_decision(series.id, Verdict.ACCEPTED, box=(4.0, 4.0, 0.0, 14.0, 14.0, 10.0)))
    for said, experts in (
        ("lung nodule", ("universal", "LUNA", "clinic", "chest")),
        (None, ("universal", "LUNA", "clinic", "chest")),
        ("liver tumour", ("universal", "LiTS", "clinic")),
    ):
        part = make_decision(series.id, Verdict.ACCEPTED, box=(4.0, 4.0, 0.0, 14.0, 14.0, 5.0), lesion_type=said)
        decisions.add(part)
        (lesion,) = lesions(database)
        assert (lesion.box, lesion.experts) == (whole.box, experts)


def test_adjusted_lesion_counts_with_the_edited_box(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    edited = (9.0, 9.0, 1.0, 22.0, 22.0, 7.0)
    Decisions(database).add(make_decision(series.id, Verdict.ADJUSTED, asked.id, edited))
    (lesion,) = lesions(database)
    assert meaning(lesion) == (edited, LesionRole.POSITIVE, LesionOrigin.DECISION)


def test_withdrawn_decision_gives_the_mined_label_back(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    (asked,) = ask(series.id, BOX)
    Decisions(database).add(make_decision(series.id, Verdict.REJECTED, asked.id))
    Decisions(database).add(make_decision(series.id, Verdict.WITHDRAWN, asked.id))
    assert [meaning(lesion) for lesion in lesions(database)] == [(BOX, LesionRole.POSITIVE, LesionOrigin.MINED)]


def test_at_one_place_a_lesion_beats_unsure_and_unsure_beats_a_rejection(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a")
    decisions = Decisions(database)
    for verdict, box in [
        (Verdict.REJECTED, BOX),
        (Verdict.UNSURE, BOX),
        (Verdict.ADDED, BOX),
        (Verdict.REJECTED, OTHER),
        (Verdict.UNSURE, OTHER),
        (Verdict.REJECTED, THIRD),
    ]:
        decisions.add(make_decision(series.id, verdict, box=box))
    assert [meaning(lesion)[:2] for lesion in lesions(database)] == [
        (BOX, LesionRole.POSITIVE),
        (OTHER, LesionRole.IGNORE),
        (THIRD, LesionRole.NEGATIVE),
    ]


def test_rejected_duplicate_of_a_lesion_is_no_negative(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    series = add_series("a")
    annotate(database, series.id)
    Decisions(database).add(make_decision(series.id, Verdict.REJECTED, reason_code=ReasonCode.DUPLICATE))
    assert [lesion.role for lesion in lesions(database)] == [LesionRole.POSITIVE]


def test_a_decision_that_comes_while_labels_are_frozen_waits_for_the_next_snapshot(
    database: Database, add_series: AddSeries, make_decision: MakeDecision, ask: Ask
) -> None:
    series = add_series("a")
    annotate(database, series.id)
    (asked,) = ask(series.id, BOX)
    mark_complete(database, add_series("b", Split.VAL).id)
    before = Snapshots(database).compose(LabelSet.CURATED)
    verdicts = cycle([Verdict.REJECTED, Verdict.ACCEPTED, Verdict.WITHDRAWN])
    writer, moment = Database.open(database.project), 0

    def decide(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements == moment:
            Decisions(writer).add(make_decision(series.id, next(verdicts), asked.id))

    event.listen(database.engine, "after_cursor_execute", decide)
    while True:  # a decision after the first statement, after the second, and so on to the last
        statements, moment = 0, moment + 1
        frozen = Snapshots(database).compose(LabelSet.CURATED)
        if statements < moment:
            break
        after = Snapshots(writer).compose(LabelSet.CURATED)
        assert frozen == before or (moment == 1 and frozen == after)  # the first statement begins, and reads nothing
        before = after
    event.remove(database.engine, "after_cursor_execute", decide)
    writer.close()
    assert moment > 5


def test_annotation_and_its_continuation_are_one_group(
    database: Database, add_series: AddSeries, make_candidate: MakeCandidate, make_decision: MakeDecision
) -> None:
    series = add_series("a")
    annotate(database, series.id, (40.0, 40.0, 9.0, 50.0, 50.0, 10.0), key_slice=9)
    (annotation,) = Annotations(database).of_series(series.id)
    reason = Reason(Rule.CROSS_SLICE, annotation_id=annotation.id)
    Candidates(database).replace_open("v1", [make_candidate(series.id, OTHER, reason=reason)], [0.5])
    assert len({lesion.group for lesion in lesions(database)}) == 1
    (asked,) = Candidates(database).queue()
    Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, asked.id, OTHER))
    first, second = lesions(database)
    assert (first.group, first.key_slice) == (second.group, 9)


def test_test_patients_never_enter(database: Database, add_series: AddSeries) -> None:
    for key, split in [("a", Split.TRAIN), ("b", Split.TEST), ("c", Split.VAL)]:
        annotate(database, add_series(key, split).id)
    snapshot = Snapshots(database).read(Snapshots(database).freeze(LabelSet.ORIGINAL).id)
    assert [series.split for series in snapshot.series] == [Split.TRAIN, Split.VAL]


def test_truth_is_told_of_complete_series_only(database: Database, add_series: AddSeries) -> None:
    annotate(database, add_series("a").id)
    complete, partial = add_series("b", Split.VAL), add_series("c", Split.VAL)
    for series in (complete, partial):
        annotate(database, series.id, role=AnnotationRole.REFERENCE)
    Catalog(database).mark_complete(complete.id, "val")
    snapshot = Snapshots(database).read(Snapshots(database).freeze(LabelSet.ORIGINAL).id)
    assert [(series.is_complete_truth, series.truth) for series in snapshot.series] == [
        (False, ()),
        (True, (OTHER,)),
        (False, ()),
    ]


def test_labels_in_3d_and_accepted_lesions_of_a_complete_series_are_true(
    database: Database, add_series: AddSeries, make_decision: MakeDecision
) -> None:
    annotate(database, add_series("a").id)
    series = add_series("b", Split.VAL)
    annotate(database, series.id, OTHER)
    Decisions(database).add(make_decision(series.id, Verdict.ACCEPTED, box=BOX))
    mark_complete(database, series.id)
    snapshot = Snapshots(database).read(Snapshots(database).freeze(LabelSet.ORIGINAL).id)
    assert snapshot.series[1].truth == (OTHER, BOX)


def test_a_complete_series_with_a_lesion_on_one_slice_has_no_truth(database: Database, add_series: AddSeries) -> None:
    annotate(database, add_series("a").id)
    series = mark_complete(database, add_series("b", Split.VAL).id)
    annotate(database, series.id, (10.0, 10.0, 4.0, 20.0, 20.0, 5.0), key_slice=4)
    snapshot = Snapshots(database).read(Snapshots(database).freeze(LabelSet.ORIGINAL).id)
    assert (snapshot.series[1].is_complete_truth, snapshot.series[1].truth) == (False, ())


def test_same_labels_give_the_same_snapshot_and_new_ones_another(database: Database, add_series: AddSeries) -> None:
    Catalog(database).add_dataset("lung", Scope.SINGLE_TYPE, "lung")
    series = add_series("a")
    annotate(database, series.id)
    store = Snapshots(database)
    first = store.freeze(LabelSet.ORIGINAL, "before the review")
    assert store.freeze(LabelSet.ORIGINAL) == first
    annotate(database, series.id, BOX)
    second = store.freeze(LabelSet.ORIGINAL)
    assert second.id != first.id
    assert store.all() == (first, second)
    assert first.counts == {"series": 1, "annotations": 1}
    assert store.read(first.id).scopes == (Scope.UNIVERSAL, Scope.SINGLE_TYPE)
    assert len(store.read(first.id).series[0].lesions) == 1


def test_the_same_labels_are_the_same_on_a_machine_that_keeps_the_scans_elsewhere(
    database: Database, add_series: AddSeries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Catalog(database).add_root(Path("/data"), "archive")
    annotate(database, add_series("a").id)
    here = Snapshots(database).freeze(LabelSet.ORIGINAL)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "lens-napari").mkdir()
    (tmp_path / "lens-napari" / "roots.yaml").write_text("archive: /mnt/other\n")
    there = Snapshots(database).freeze(LabelSet.ORIGINAL)
    assert there.id == here.id
    assert "/data" not in here.path.read_text()
    source = Snapshots(database).read(there.id).series[0].source
    assert source.resolve(Catalog(database).root_folders()) == (Path("/mnt/other/a/scan.nii.gz"),)


def test_changed_file_of_a_snapshot_is_noticed(database: Database, add_series: AddSeries) -> None:
    annotate(database, add_series("a").id)
    record = Snapshots(database).freeze(LabelSet.ORIGINAL)
    record.path.write_text(record.path.read_text().replace('"patient":"000001"', '"patient":"000002"'))
    with pytest.raises(StoreError, match="never changed"):
        Snapshots(database).read(record.id)


def test_nothing_to_learn_from_is_an_error(database: Database, add_series: AddSeries) -> None:
    annotate(database, add_series("a", Split.TEST).id)
    with pytest.raises(StoreError, match="No patient of the training split"):
        Snapshots(database).freeze(LabelSet.CURATED)
    with pytest.raises(StoreError, match="no snapshot 'abc'"):
        Snapshots(database).get("abc")
    assert list(database.project.snapshots_folder.iterdir()) == []
