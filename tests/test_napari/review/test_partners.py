from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from lens_engine.findings import Candidate, CandidateKind, Finding, Reason, Rule, SliceBox, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.store.catalog import SeriesRecord
from lens_engine.volume import Volume
from lens_engine.window_presets import Preset
from lens_napari.review.partners import LesionToCompare, apart, compared_side_mm, partner_reason

SERIES = SeriesRecord(
    id=1,
    name="000001_01_01",
    patient_id=1,
    patient_code="000001",
    study_id=1,
    study_number=1,
    study_date=date(2023, 5, 4),
    series_number=1,
    dataset="universal",
    split=Split.TRAIN,
    geometry=VolumeGeometry((40, 8, 8), (2.5, 1.0, 1.0)),
    source=None,
    description="",
    test_set_part=None,
    is_complete=False,
)
FINDING = Finding("fused", (0.0, 0.0, 5.0, 4.0, 4.0, 8.0), (SliceBox(6, (0.0, 0.0, 4.0, 4.0)),), 0.8)
UNCERTAIN = Reason(Rule.CROSS_DATASET, expert="lung", score=0.81)
MATCHED = Reason(Rule.INTRA_PATIENT, annotation_id=3, distance=0.11)
CONTINUED = Reason(Rule.CROSS_SLICE, decision_id=4)


def candidate(*reasons: Reason) -> Candidate:
    return Candidate(1, FINDING, CandidateKind.MISSING_ANNOTATION, reasons)


@pytest.mark.parametrize(
    ("reasons", "named"),
    [
        ((UNCERTAIN, CONTINUED, MATCHED), MATCHED),
        ((UNCERTAIN, CONTINUED), CONTINUED),
        ((UNCERTAIN,), None),
    ],
)
def test_the_partner_in_another_scan_comes_first(reasons: tuple[Reason, ...], named: Reason | None) -> None:
    assert partner_reason(candidate(*reasons)) == named


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (date(2023, 5, 4), "the same day"),
        (date(2023, 5, 3), "1 day before this study"),
        (date(2023, 5, 14), "10 days after this study"),
        (date(2023, 1, 4), "4 months before this study"),
        (date(2020, 5, 4), "3 years before this study"),
        (None, ""),
    ],
)
def test_the_time_between_two_studies_is_told_in_words(then: date | None, words: str) -> None:
    other = replace(SERIES, id=2, study_id=2, study_number=2, study_date=then)
    assert apart(other, 3, SERIES, 3) == words


@pytest.mark.parametrize(
    ("slices", "words"),
    [
        ((10, 12), "in this scan, 5 mm nearer the head"),
        ((14, 12), "in this scan, 5 mm nearer the feet"),
        ((12, 12), "in this scan, on the same slice"),
    ],
)
def test_the_distance_within_a_scan_is_told_in_millimetres(slices: tuple[int, int], words: str) -> None:
    assert apart(SERIES, slices[0], SERIES, slices[1]) == words


def test_two_series_of_one_study_are_called_so() -> None:
    assert apart(replace(SERIES, id=2, series_number=2), 3, SERIES, 3) == "another series of this study"


def lesion(hu: int, side_mm: float) -> LesionToCompare:
    volume = Volume(np.full((40, 40, 40), hu, dtype=np.int16), VolumeGeometry((40, 40, 40), (2.0, 0.5, 0.5)))
    edge = side_mm / 0.5
    return LesionToCompare("study 1", (0.0, 0.0, 5.0, edge, edge, 6.0), (SliceBox(5, (0.0, 0.0, edge, edge)),), volume)


def test_each_lesion_is_seen_in_the_window_of_its_own_place() -> None:
    assert lesion(-800, 10).window == Preset.LUNG.value
    assert lesion(40, 10).window == Preset.SOFT_TISSUE.value


def test_both_lesions_fit_into_the_pictures_with_what_is_around_them() -> None:
    assert compared_side_mm(lesion(40, 5), lesion(40, 8)) == 60.0
    assert compared_side_mm(lesion(40, 5), lesion(40, 40)) == 100.0
