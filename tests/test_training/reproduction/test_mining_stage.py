"""Mining the training scans of a recipe: from files of detections to labels, counts and cases."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.measures.mining_cases import Seen, look_alike, proposals
from support.training.training_scenes import Ball, case_of, key_slice_lesion, lesion_of, tiny_model

from lens_engine.checkpoint_card import MeasuredLimit
from lens_engine.detector.inference.whole_volume import EXACT
from lens_engine.findings import Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.looks import SeriesVectors
from lens_engine.mining.strategies.choice import MiningStrategy
from lens_engine.mining.strategies.labels import LabelRule
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.errors import TrainingError
from lens_training.recipes.mining import MiningRecipe
from lens_training.recipes.recipe import AugmentationRecipe
from lens_training.reproduction.case_annotations import annotations_of
from lens_training.reproduction.case_detections import CaseDetections, CaseDetector, DetectionFiles
from lens_training.reproduction.case_inputs import RoundFiles
from lens_training.reproduction.mined_labels import MinedCases, is_mined, load_mined
from lens_training.reproduction.mining_stage import mine_cases
from lens_training.reproduction.recipe_embedding import UsedEmbedding
from lens_training.reproduction.scan_copies import CopyPlan
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

LENS = MiningRecipe(strategy=MiningStrategy.LENS, settings={"distance_limit": 0.15})
GEOMETRY = VolumeGeometry((60, 100, 200), (2.0, 1.0, 1.0))


def volume() -> Volume:
    return Volume(np.zeros(GEOMETRY.shape, dtype=np.int16), GEOMETRY)


def marked(x: float, key: int, side: float = 20) -> Lesion:
    """Mark a square at (x, 50) on one slice."""
    box = (x, 50.0, x + side, 50.0 + side)
    return Lesion(
        series="scan",
        box=(*box[:2], key, *box[2:], key + 1),
        slices=((key, *box),),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
        key_slice=key,
    )


def scan(name: str, *lesions: Lesion, patient: str = "one") -> Case:
    return Case(name, patient, "universal", Split.TRAIN, GEOMETRY, lesions, volume)


USED = UsedEmbedding(recipe="angles", weights="a" * 64, distance_limit=None, note="Compared by angles.")


def stored(folder: Path, cases: Sequence[Case], seen: Sequence[list[Seen]], looks: float = 0.0) -> RoundFiles:
    """Store what is seen in each case, and how it looks; all annotations look alike."""
    files = RoundFiles(DetectionFiles(folder / "detections", "same"), VectorFiles(folder, "angles", "same"), USED)
    numbers = iter(range(100))
    for case, lesions in zip(cases, seen, strict=True):
        boxes = proposals(lesions)
        files.detections.write(case, CaseDetections(boxes.without_embeddings()))
        of_notes = {next(numbers): look_alike(looks) for _ in annotations_of(case)}
        assert files.vectors is not None
        files.vectors.write(case.name, SeriesVectors(of_notes, {}, np.arange(len(boxes.embeddings)), boxes.embeddings))
    return files


def mined(files: RoundFiles, cases: Sequence[Case], recipe: MiningRecipe = LENS) -> MinedCases:
    return mine_cases(cases, files, recipe, ProgressLog(None, None), StopSignal())


def taught(result: MinedCases, cases: Sequence[Case]) -> list[list[tuple[str, str, list[int]]]]:
    """Return role, origin and slices of the lesions of each case."""
    return [
        [(item.role.value, item.origin.value, [index for index, *_ in item.slices]) for item in case.lesions]
        for case in result.taught(cases)
    ]


FOLLOWED = [Seen(10, range(8, 13), {"universal": 0.9}, look=0)]
"""The lesion that is marked at x = 10 on slice 10, seen on five slices."""


def test_the_labels_are_the_annotations_as_they_were_and_what_continues_resembles_or_doubts_them(tmp_path: Path):
    cases = scan("a", marked(10, 10)), scan("b")
    doubtful = Seen(120, range(40, 42), {"lung": 0.8}, look=90)
    files = stored(tmp_path, cases, [FOLLOWED, [Seen(60, range(20, 23), {"universal": 0.7}, look=2), doubtful]])
    result = mined(files, cases)
    assert taught(result, cases) == [
        [("positive", "annotation", [10]), ("positive", "mined", [8, 9, 11, 12])],
        [("positive", "mined", [20, 21, 22]), ("ignore", "mined", [40, 41])],
    ]
    first, continued = result.taught(cases)[0].lesions
    assert first.model_copy(update={"group": None}) == cases[0].lesions[0]
    assert first.group == continued.group is not None
    reasons = [reason for labels in result.labels for reason in labels.reasons]
    assert [reason.rule for reason in reasons][1:3] == [LabelRule.CROSS_SLICE, LabelRule.INTRA_PATIENT]
    assert reasons[2].annotations == (("a", 0),)
    assert reasons[2].distance == pytest.approx(0.035, abs=1e-3)


def test_one_slice_is_drawn_for_a_lesion_and_its_continuation(tmp_path: Path):
    cases = (scan("a", marked(10, 10)),)
    (case,) = mined(stored(tmp_path, cases, [FOLLOWED]), cases).taught(cases)
    (places,) = case.labels.lesion_places()
    assert [index for index, _ in places] == [8, 9, 10, 11, 12]


def test_the_counts_are_the_rows_of_table_4(tmp_path: Path):
    cases = (scan("a", marked(10, 10)),)
    report = mined(stored(tmp_path, cases, [FOLLOWED]), cases).report
    assert [(row.name, row.lesions, row.boxes, row.slices) for row in report.counts[:2]] == [
        ("no mining", 1, 1, 1),
        ("+ cross-slice", 1, 5, 5),
    ]
    assert report.counts[-1].slices == 60
    assert "+ unlabelled" in report.text


@pytest.mark.parametrize(("patient", "scan_name"), [("other", None), ("one", "whole")])
def test_another_patient_and_another_part_of_one_scan_are_no_partners(
    tmp_path: Path, patient: str, scan_name: str | None
):
    parts = scan("a", marked(10, 10)), scan("b", patient=patient)
    cases = tuple(replace(case, scan=scan_name) for case in parts)
    alike = [Seen(60, range(20, 23), {"universal": 0.7}, look=2)]
    assert taught(mined(stored(tmp_path, cases, [FOLLOWED, alike]), cases), cases)[1] == []


def test_the_limit_of_matches_is_calibrated_over_the_patients(tmp_path: Path):
    cases = tuple(scan(str(number), marked(10, 10), patient=str(number)) for number in range(11))
    seen = [[Seen(10, range(8, 13), {"universal": 0.9}, look=5.0 * number)] for number in range(11)]
    report = mined(stored(tmp_path, cases, seen, looks=0), cases, MiningRecipe(strategy=MiningStrategy.LENS)).report
    assert "of 110 comparisons between patients" in report.limit_note
    assert report.distance_limit == pytest.approx(np.sort(np.repeat(_distances(), 10))[1], abs=1e-3)


def test_too_few_patients_take_the_limit_of_the_card_and_the_report_names_the_embedding(tmp_path: Path):
    cases = scan("a", marked(10, 10)), scan("b")
    limit = MeasuredLimit(value=0.25, comparisons=700, measured_on="12 validation phantoms")
    files = replace(
        stored(tmp_path, cases, [FOLLOWED, []]), embedding=USED.model_copy(update={"distance_limit": limit})
    )
    report = mined(files, cases, MiningRecipe(strategy=MiningStrategy.LENS)).report
    assert (report.distance_limit, report.embedding) == (0.25, files.embedding)
    assert "12 validation phantoms, 700 comparisons" in report.limit_note
    assert report.text.splitlines()[-2:] == [USED.note, report.limit_note]


def _distances() -> list[float]:
    """Return the distance of an annotation at 0 degrees to the boxes of each patient."""
    return [2 * np.sin(np.radians(5.0 * number) / 2) for number in range(11)]


def test_wang_mines_with_its_own_rules_and_matches_nothing(tmp_path: Path):
    cases = (scan("a", marked(10, 10)),)
    bare = RoundFiles(stored(tmp_path, cases, [FOLLOWED]).detections)
    result = mined(bare, cases, MiningRecipe(strategy=MiningStrategy.WANG))
    assert [reason.rule for reason in result.labels[0].reasons] == [
        LabelRule.ANNOTATION,
        LabelRule.PROPAGATION,
        LabelRule.PROPAGATION,
    ]
    assert (result.report.distance_limit, result.report.embedding) == (None, None)


def test_what_was_mined_is_read_as_it_was_written(tmp_path: Path):
    cases = (scan("a", marked(10, 10)),)
    result, path = mined(stored(tmp_path, cases, [FOLLOWED]), cases), tmp_path / "labels.jsonl"
    result.save(path, "this")
    assert load_mined(path) == result
    assert is_mined(path, "this")
    assert not is_mined(path, "that")
    assert not is_mined(tmp_path / "none.jsonl", "this")


def test_a_label_file_that_ends_early_is_refused_with_what_to_do(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    cases = (scan("a", marked(10, 10)), scan("b"))
    mined(stored(tmp_path, cases, [FOLLOWED, []]), cases).save(path, "this")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(TrainingError, match="the labels of 1 cases"):
        load_mined(path)


def test_detections_are_read_to_the_bit_and_those_of_another_detector_count_as_missing(tmp_path: Path):
    ball = Ball(30, 34, 6, 14)
    case = replace(case_of("universal", key_slice_lesion(ball)), name="scan")
    found = CaseDetector(tiny_model().eval(), EXACT, CopyPlan(2, AugmentationRecipe(), 0)).look_at(case)
    files = DetectionFiles(tmp_path, "one", copies=2)
    assert not files.has(case)
    files.write(case, found)
    read = files.read(case)
    assert len(read.augmented) == 2
    for own, other in zip((read.proposals, *read.augmented), (found.proposals, *found.augmented), strict=True):
        for name in ("experts", "expert_index", "grid_index", "boxes", "scores", "embeddings", "slice_spacing_mm"):
            np.testing.assert_array_equal(getattr(own, name), getattr(other, name))
    assert read.proposals.embeddings.shape[1] == 0
    assert files.has(case)
    assert not DetectionFiles(tmp_path, "two", copies=2).has(case)
    assert DetectionFiles(tmp_path, "two", copies=2).holds_others(case)
    assert not DetectionFiles(tmp_path, "one", copies=3).has(case)


def test_a_damaged_file_of_detections_is_made_anew(tmp_path: Path):
    case, files = scan("a"), DetectionFiles(tmp_path, "one")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 half a file")
    assert not files.has(case)
    with pytest.raises(TrainingError, match=r"a\.parquet cannot be read"):
        files.read(case)


def test_tight_annotations_are_mined_with_the_margin_that_the_detector_learnt():
    ball = Ball(30, 34, 6, 14)
    tight = lesion_of(ball, is_tight=True)
    (note,) = annotations_of(case_of("universal", tight))
    assert note.box[:2] == (tight.box[0] - 5, tight.box[1] - 5)
    assert note.recognised_by.slice_index == ball.z


def test_meld_teaches_matches_by_class_alone_and_shows_the_slices_that_it_mined(tmp_path: Path):
    """On a 2 mm grid every fifth millimetre is slice 0, 3, 5, 8, 10, ...; slice 21 is not looked at."""
    cases = scan("a", marked(10, 10)), scan("b")
    alike = Seen(60, range(20, 22), {"universal": 0.7}, look=2)
    sure = Seen(120, range(40, 42), {"lung": 0.8}, look=90)
    files = stored(tmp_path, cases, [[], [alike, sure]])
    recipe = MiningRecipe(strategy=MiningStrategy.MELD, settings={"distance_limit": 0.15})
    result = mined(files, cases, recipe)
    assert taught(result, cases) == [
        [("positive", "annotation", [10])],
        [("classification", "mined", [20]), ("ignore", "mined", [40])],
    ]
    first, second = result.taught(cases)
    assert first.unlabelled_slices is not None
    assert second.unlabelled_slices is not None
    assert set(second.unlabelled_slices) - set(first.unlabelled_slices) == {10}
    assert {20, 40} <= set(second.unlabelled_slices)
    assert 21 not in second.unlabelled_slices
    assert result.report.distance_limit == 0.15
    alone = mined(files, cases, MiningRecipe(strategy=MiningStrategy.MELD, settings={"with_negative_regions": False}))
    assert [case.unlabelled_slices for case in alone.taught(cases)] == [(), (20,)]


def test_distillation_teaches_what_the_copies_agree_on(tmp_path: Path):
    cases = (scan("a", marked(10, 10)),)
    agreed = proposals([Seen(60, range(20, 22), {"universal": 0.9}, look=0)])
    files = DetectionFiles(tmp_path / "detections", "same", copies=3)
    files.write(cases[0], CaseDetections(proposals([]), (agreed, agreed, agreed)))
    result = mined(RoundFiles(files), cases, MiningRecipe(strategy=MiningStrategy.DISTILLATION, copies=3))
    assert taught(result, cases) == [
        [("positive", "annotation", [10]), ("positive", "mined", [20]), ("positive", "mined", [21])]
    ]
    assert result.labels[0].unlabelled == tuple(index for index in range(60) if index not in (10, 20, 21))
