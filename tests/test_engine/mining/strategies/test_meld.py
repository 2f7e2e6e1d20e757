"""MELD: matches on single slices teach classification only; suspicious boxes are ignored, the rest is background."""

import pytest
from support.measures.mining_cases import Seen, annotation, drawn, series

from lens_engine.errors import ConfigError
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.strategies.labels import LabelRule, MinedLabels, Teaching
from lens_engine.mining.strategies.meld import MeldSettings, mine_meld, sampled_slices

MARK = annotation(7, 0, 6, look=0)
EVERY_SLICE = MeldSettings(sampling_mm=2)


def labels(*inputs: SeriesMiningInput, settings: MeldSettings = EVERY_SLICE) -> list[MinedLabels]:
    return list(mine_meld(inputs, settings))


def matched(*lesions: Seen) -> list[tuple[str, float, list[int]]]:
    (found,) = labels(series(list(lesions), (MARK,)))
    assert all(label.teaches is Teaching.CLASSIFICATION for label in found.positives[1:])
    return drawn(found.positives[1:])


def similar(x: float, slices: range, look: float = 3, score: float = 0.4) -> Seen:
    return Seen(x, slices, {"universal": score}, look=look)


MATCHES = {
    "the lesion itself on the next slice": (similar(0, range(7, 8)), [7]),
    "another place of the same slice": (similar(100, range(6, 7)), [6]),
    "the annotation itself": (similar(0, range(6, 7)), []),
    "what touches the annotation": (similar(19, range(6, 7)), []),
    "another look": (similar(100, range(7, 8), look=30), []),
    "too faint": (similar(100, range(7, 8), score=0.04), []),
    "two slices of another lesion": (similar(100, range(20, 22)), [20, 21]),
}


@pytest.mark.parametrize("name", MATCHES)
def test_every_box_that_looks_like_an_annotation_is_matched_on_its_slice(name: str) -> None:
    lesion, slices = MATCHES[name]
    assert matched(lesion) == [("annotation matching", lesion.x, [index]) for index in slices]


def test_a_box_in_another_study_is_matched_and_names_its_partner() -> None:
    _, second = labels(series([], (MARK,), number=1), series([similar(100, range(20, 21))], number=2))
    (label,) = second.positives
    assert (label.annotation_ids, label.distance) == ((7,), pytest.approx(0.0524, abs=1e-4))


def test_other_patients_lend_no_partners() -> None:
    other = series([similar(100, range(20, 21))], number=2, patient=2)
    assert labels(series([], (MARK,), number=1), other)[1].positives == ()


def test_what_may_be_taught_is_told_for_every_place_of_a_series() -> None:
    suspicious = Seen(200, range(10, 11), {"lung": 0.8}, look=90)
    known = Seen(100, range(10, 11), {"universal": 0.3, "lung": 0.9}, look=2)
    faint = Seen(300, range(10, 11), {"lung": 0.5}, look=90)
    (found,) = labels(series([suspicious, known, faint], (MARK,)))
    assert drawn(found.positives) == [("annotation", 0, [6]), ("annotation matching", 100, [10])]
    assert [label.teaches for label in found.positives] == [Teaching.POSITIVE, Teaching.CLASSIFICATION]
    assert drawn(found.ignored) == [("negative region", 200, [10])]
    assert {item.slice_index for item in found.negatives} == set(range(60)) - {6, 10}
    assert {item.rule for item in found.negatives} == {LabelRule.NEGATIVE_REGION}


def test_slices_are_sampled_every_five_millimetres_and_where_something_is_marked() -> None:
    assert sampled_slices(series([], (annotation(1, 0, 4),)), 5)[:6] == (0, 3, 4, 5, 8, 10)
    assert sampled_slices(series([], slice_mm=5), 5) == tuple(range(60))
    assert sampled_slices(series([], slice_mm=8), 5) == tuple(range(60))
    assert sampled_slices(series([], slice_mm=1), 5) == tuple(range(0, 60, 5))


def test_nothing_is_mined_between_the_sampled_slices() -> None:
    seen = [similar(100, range(20)), Seen(200, range(20), {"lung": 0.9}, look=90)]
    (found,) = labels(series(seen, (MARK,)), settings=MeldSettings())
    expected = [0, 3, 5, 6, 8, 10, 13, 15, 18]
    assert [label.slices[0].slice_index for label in found.positives[1:]] == expected
    assert [label.slices[0].slice_index for label in found.ignored] == expected


def test_each_half_can_be_left_out() -> None:
    seen = [similar(100, range(20, 21)), Seen(200, range(20, 21), {"lung": 0.9}, look=90)]
    (matching,) = labels(series(seen, (MARK,)), settings=MeldSettings(sampling_mm=2, with_negative_regions=False))
    assert (len(matching.positives), matching.ignored, matching.negatives) == (2, (), ())
    (regions,) = labels(series(seen, (MARK,)), settings=MeldSettings(sampling_mm=2, with_matching=False))
    assert (len(regions.positives), len(regions.ignored), len(regions.negatives)) == (1, 1, 59)


def test_suspicious_places_taught_as_lesions_are_none_that_are_ignored() -> None:
    seen = [Seen(200, range(20, 21), {"lung": 0.9}, look=90)]
    (found,) = labels(series(seen), settings=MeldSettings(sampling_mm=2, suspicious_as_lesions=True))
    assert (drawn(found.positives), found.ignored) == ([("negative region", 200, [20])], ())
    assert len(found.negatives) == 59


@pytest.mark.parametrize(("name", "value"), [("distance_limit", 2.1), ("overlap_ratio", 1.1), ("sampling_mm", -1)])
def test_impossible_settings_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        MeldSettings(**{name: value})
